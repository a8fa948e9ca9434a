// The page: takes files, asks the models about them, shows the picture that is selected.

import * as api from "./api.js";
import { brief, doubtful, summary, trouble } from "./answers.js";
import * as cards from "./cards.js";
import { find } from "./dom.js";
import { Overlay } from "./overlay.js";
import { pictures, questions } from "./queue.js";
import * as strip from "./strip.js";
import { Viewer, WHOLE_WINDOW } from "./viewer.js";

const LOOK_AGAIN = 10_000; // milliseconds between two questions for the models' states
const KEPT = 8; // pictures in memory; others are read again when they are selected
const MAX_BYTES = Number(document.body.dataset.maxBytes);

const items = [];
let current = null;
let models = [];
let away = { message: "Not asked yet." }; // the problem because of which the models' states are not known; null where they are

const viewer = new Viewer(find("canvas"), (window, zoom) => {
  for (const name of ["centre", "width"]) {
    find(name).value = window[name];
    find(name).nextElementSibling.textContent = window[name];
  }
  find("invert").checked = window.invert;
  find("zoom").textContent = `${Math.round(100 * zoom)} %`;
});
const overlay = new Overlay(viewer, (item, model, answer) => settle(item, model, { answer }));

// === The models ===

// Asks for the models' states. A model that has become ready is asked what it could not answer before.
async function look() {
  const [told, problem] = await api.models().then((found) => [found, null], (found) => [null, found]);
  // As it is now: another look may have ended meanwhile.
  const before = JSON.stringify([away, models]);
  const wereReady = away ? [] : ready().map(({ name }) => name);
  away = problem;
  if (told) {
    models = told.models;
    const others = models.filter((model) => model.state !== "ready").map(({ name, message }) => ` ${name}: ${message}`);
    find("server").textContent = `${ready().length} of ${models.length} ${models.length === 1 ? "model" : "models"} ready on ${told.server}.${others.join("")}`;
  } else {
    find("server").textContent = "";
    if (find("connection").dataset.shown !== away.message) find("connection").replaceChildren(trouble(away, look)); // said once, not every time
    find("connection").dataset.shown = away.message;
    questions.drop(away);
  }
  find("connection").hidden = !away;
  if (JSON.stringify([away, models]) === before) return;
  if (!away && ready().some(({ name }) => !wereReady.includes(name))) items.forEach((item) => askAll(item));
  showAnswers();
}

const ready = () => models.filter((model) => model.state === "ready");

// === One picture ===

function add(file) {
  const item = { file, name: file.name, answers: new Map(), maps: new Map(), picture: null, problem: null };
  strip.add(item, { select: () => select(item, true), remove: () => remove(item) });
  items.push(item);
  if (file.size > MAX_BYTES) fail(item, { kind: "file", message: `Too large: files may have ${MAX_BYTES / 2 ** 20} MB.` });
  else read(item).then(() => askAll(item));
  if (!current) select(item);
}

async function read(item) {
  item.tell("Reading…");
  try {
    const picture = await pictures.add(() => api.picture(item.file), item, item === current);
    item.problem = null;
    item.picture = picture;
    item.thumbnail(picture);
    report(item);
    forget();
  } catch (problem) {
    fail(item, problem);
  }
  if (item === current) show();
}

function fail(item, problem) {
  if (!items.includes(item)) return; // was removed meanwhile
  item.problem = problem;
  item.tell(problem.message, { kind: "error" });
  say(`${item.name}: ${problem.message}`);
  if (item === current) show();
}

// Drops the pictures read first, but for the one on the screen: a hundred of them would fill the memory.
function forget() {
  const kept = items.filter((item) => item.picture && item !== current);
  kept.slice(0, Math.max(0, kept.length - KEPT)).forEach((item) => { item.picture = null; });
}

// Asks the models that have not answered, and again those whose problem may be over and is of one of these kinds.
function askAll(item, kinds = ["server", "page", "model"]) {
  if (!items.includes(item) || (item.problem && !item.problem.again)) return;
  if (item.problem) {
    read(item).then(() => { if (!item.problem) askAll(item); });
    return;
  }
  for (const { name } of ready()) {
    const asked = item.answers.get(name);
    if (asked && !(asked.problem?.again && kinds.includes(asked.problem.kind))) continue;
    if (away) settle(item, name, { problem: away }); // asked when the server is back
    else ask(item, name);
  }
}

async function ask(item, model) {
  item.answers.set(model, {});
  if (item === current) showAnswers();
  try {
    settle(item, model, { answer: await questions.add(() => api.prediction(item.file, model), item, item === current) });
    if (away) look(); // it is back
  } catch (problem) {
    settle(item, model, { problem });
    if (problem.again && !away) look();
  }
}

function settle(item, model, outcome) {
  if (!items.includes(item)) return; // was removed meanwhile
  item.answers.set(model, outcome);
  report(item);
  const known = models.find(({ name }) => name === model);
  if (outcome.answer && known) Object.assign(known, { version: outcome.answer.version, numbered: outcome.answer.numbered });
  if (outcome.answer) say(`${item.name}: ${model} says ${summary(outcome.answer)}`);
  else say(`${item.name}: ${model}: ${outcome.problem.message}`);
  if (item === current) showAnswers();
}

// Tells the strip the first model's answer, or why there is none.
function report(item) {
  const asked = models.map(({ name }) => item.answers.get(name)).find((found) => found?.answer || found?.problem);
  if (!asked) item.tell(ready().length ? "Asking…" : "Waiting for the models…");
  else if (asked.problem) item.tell(asked.problem.message);
  else item.tell(brief(asked.answer), { kind: doubtful(asked.answer) ? "warn" : "quiet", title: summary(asked.answer) });
}

function remove(item) {
  const at = items.indexOf(item);
  items.splice(at, 1);
  [pictures, questions].forEach((queue) => queue.forget(item));
  item.take();
  if (item === current) select(items[Math.min(at, items.length - 1)] ?? null, true);
}

// === What is on the screen ===

function select(item, focus = false) {
  current = item;
  items.forEach((one) => one.mark(one === item));
  find("work").hidden = !item;
  if (!item) {
    if (focus) find("files").focus();
    return;
  }
  if (!item.picture && !item.problem && item.answers.size) read(item); // was forgotten
  show();
  if (focus) find("name").focus({ preventScroll: true });
}

function show() {
  const { name, picture, problem } = current;
  find("name").textContent = name;
  find("file-error").hidden = !problem;
  find("file-error").replaceChildren(...(problem ? [problem.again ? trouble(problem, () => askAll(current)) : problem.message] : []));
  find("viewer").hidden = !picture || Boolean(problem);
  find("tools").hidden = find("viewer").hidden;
  find("answers").hidden = Boolean(problem);
  if (picture && !problem) {
    viewer.show(picture);
    const scaled = picture.original === `${picture.width}x${picture.height}` ? "" : ` (file: ${picture.original.replace("x", " × ")})`;
    find("caption").textContent = `${picture.width} × ${picture.height} pixels${scaled}`;
  }
  showAnswers();
}

function showAnswers() {
  const item = current;
  if (item) cards.show(item, models, (model) => ask(item, model));
  overlay.about(item, models);
}

function say(text) {
  find("status").textContent = text;
}

// === What the user does ===

function take(files) {
  [...files].forEach(add);
}

find("files").addEventListener("change", ({ target }) => {
  take(target.files);
  target.value = ""; // the same file may be chosen again
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    find("drop").hidden = name === "drop" || (name === "dragleave" && !event.relatedTarget);
    if (name === "drop") take(event.dataTransfer.files);
  });
}
find("window").open = !matchMedia("(max-width: 60rem)").matches; // in one column (page.css) it stands before the answers
for (const name of ["centre", "width"]) find(name).addEventListener("input", ({ target }) => viewer.setWindow({ [name]: Number(target.value) }));
find("invert").addEventListener("change", ({ target }) => viewer.setWindow({ invert: target.checked }));
find("window-reset").addEventListener("click", () => viewer.setWindow(WHOLE_WINDOW));
find("zoom-in").addEventListener("click", () => viewer.zoomBy(1.25));
find("zoom-out").addEventListener("click", () => viewer.zoomBy(1 / 1.25));
find("zoom-whole").addEventListener("click", () => viewer.whole());
find("remove-all").addEventListener("click", () => [...items.filter((item) => item !== current), current].forEach(remove));
setInterval(async () => {
  if (document.hidden) return;
  await look();
  if (!away) items.forEach((item) => askAll(item, ["server", "page"])); // a question may fail after its server has come back
}, LOOK_AGAIN);
look();
