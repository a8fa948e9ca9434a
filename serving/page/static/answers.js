// What each model says of a picture, as cards.

import { listed, make, percent, when } from "./dom.js";

const BORDER = document.body.dataset.unlikeBorder;
const likeliest = (shares) => Object.keys(shares).reduce((best, name) => (shares[name] > shares[best] ? name : best));

// One line for screen readers. What it is worth comes first.
export function summary(answer) {
  return `${answer.outside ? "outside of what the model knows: " : doubtful(answer) ? "with a note: " : ""}${answer.label} ${percent(answer.probabilities[answer.label])}`;
}

// The same where there is little room: its end may be cut away.
export function brief(answer) {
  if (!doubtful(answer)) return summary(answer);
  return `${answer.outside ? "outside" : "see note"}: ${answer.label} ${percent(answer.probabilities[answer.label], 0)}`;
}

export const doubtful = ({ outside, remarks }) => Boolean(outside || remarks.length);

// What the file's header says against an answer, as notes.
export function remarks(answer) {
  if (!answer?.remarks.length) return [];
  const said = make("p", {}, make("strong", {}, "The file's header says that this may not be a frontal chest X-ray:"), ` ${listed(answer.remarks)}.`);
  return [make("div", { className: "note" }, said, make("p", {}, "The models are made for frontal chest X-rays. They answer nevertheless."))];
}

export function versionOf({ version, numbered }) {
  return `version ${version}${numbered ? `, pushed ${when(numbered)}` : ""}`;
}

// A card of one model: its state as /api/models tells it, and what became of the question ({answer}, {problem} or nothing yet).
export function card(model, { answer, problem } = {}, again) {
  const id = `model-${model.name}`;
  const title = make("h3", { id, tabIndex: -1 }, model.name);
  const version = answer ?? (model.version ? model : null);
  const made = make("article", { className: answer?.outside ? "card dim" : "card", "aria-labelledby": id }, make("header", {}, title, version && make("span", { className: "quiet" }, versionOf(version))));
  if (answer) made.append(...answered(answer, model, again));
  else if (problem) made.append(trouble(problem, again));
  else if (model.state === "ready") made.append(make("p", { className: "quiet" }, "Asking…"));
  else made.append(trouble({ ...model, again: false }));
  return made;
}

export function trouble(problem, again) {
  return make(
    "div", { className: "note" },
    make("p", {}, problem.message),
    problem.details ? make("details", {}, make("summary", {}, "Details for the administrator"), problem.details) : null,
    problem.again && again ? make("button", { type: "button", onclick: again }, "Try again") : null,
  );
}

function answered(answer, model, again) {
  const outside = answer.outside
    ? make("div", { className: "note" }, make("p", {}, make("strong", {}, "Outside of what the model knows.")),
      make("p", {}, "This picture is unlike the images that the model was trained on. Do not believe this answer."))
    : null;
  const synthetic = answer.synthetic
    ? make("div", { className: "note" }, make("p", {}, make("strong", {}, "Trained on SYNTHETIC images:"), " its answers say nothing about patients."))
    : null;
  const newer = model.version && model.version !== answer.version
    ? make("div", { className: "note" }, make("p", {}, `Version ${model.version} is served now; this is the answer of version ${answer.version}.`),
      make("button", { type: "button", onclick: again }, "Ask again"))
    : null;
  return [
    newer, synthetic, outside,
    make("p", { className: "label" }, answer.label),
    ...(answer.outside ? [] : undecided(answer)),
    shares(answer),
    Object.keys(answer.members).length ? votes(answer) : null,
    answer.unlike_training === null ? null
      : make("p", { className: "quiet" }, `Unlike the training images: ${besideBorder(answer.unlike_training)} on a scale from 0 to 1. Above ${BORDER} the picture is outside of what the model knows.`),
  ].filter(Boolean);
}

// With as many digits as tell it from the border: 0.50 would be said to lie beyond 0.5.
function besideBorder(score) {
  const digits = [2, 3, 4, 5].find(count => score.toFixed(count) !== Number(BORDER).toFixed(count)) ?? 6;
  return score.toFixed(digits);
}

// Nothing is ruled out: a set holds the right class as often as it was made to, over many images. An older model does not say how often.
function undecided({ conformal_set: names, conformal_coverage: coverage, classes }) {
  if (!names) return [];
  const text = names.length > 1 ? `The model cannot decide between ${listed(names)}.` : `Only ${names[0]} is in the model's set of possible classes.`;
  const worth = names.length === classes.length
    ? "All classes are in its set: it excludes none."
    : `This excludes no disease: of images like those of the validation split, ${missed(coverage)} their true class outside their set.`;
  return [make("p", {}, text), make("p", { className: "quiet" }, worth)];
}

function missed(coverage) {
  if (coverage === null) return "some (the model's card says how many) have";
  return `about ${Number((100 * (1 - coverage)).toFixed(1))} in 100 have`;
}

// Models that say how unlike the training images a picture is are calibrated, too, unless configured otherwise (docs/serving.md): on images
// like those.
function worth({ outside, unlike_training: unlike }) {
  if (outside) return "Probabilities (not calibrated for such a picture)";
  return unlike === null ? "Probabilities" : "Calibrated probabilities";
}

function shares(answer) {
  const rows = answer.classes.map((name) => {
    const share = answer.probabilities[name];
    const bar = make("div");
    bar.style.width = `${100 * share}%`;
    return make(
      "tr", { className: name === answer.label ? "first" : "" },
      make("th", { scope: "row" }, name), make("td", { className: "bar", "aria-hidden": "true" }, bar), make("td", { className: "number" }, percent(share)),
    );
  });
  return make("table", { className: "shares" }, make("caption", {}, worth(answer)), make("tbody", {}, ...rows));
}

function votes({ members, label, classes }) {
  const names = Object.keys(members);
  const agree = names.filter((name) => likeliest(members[name]) === label);
  const head = make("tr", {}, make("th", { scope: "col" }, "Member"), ...classes.map((name) => make("th", { scope: "col" }, name)));
  const rows = names.map((name) => {
    const best = likeliest(members[name]);
    const cells = classes.map((found) => make("td", { className: found === best ? "number first" : "number" }, percent(members[name][found])));
    return make("tr", {}, make("th", { scope: "row" }, name), ...cells);
  });
  const caption = make("caption", {}, `Votes of the members: ${agree.length} of ${names.length} for ${label}`);
  const table = make("table", { className: "votes" }, caption, make("thead", {}, head), make("tbody", {}, ...rows));
  return make("div", { className: "scroll", tabIndex: 0, role: "group", "aria-label": "Votes of the members" }, table);
}
