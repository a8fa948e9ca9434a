// The models' cards on the screen. One that says the same as before stays: the focus in it, what was opened and scrolled too.

import { card, remarks } from "./answers.js";
import { find, make } from "./dom.js";

let about = null; // the picture
let shown = new Map(); // by the model's name: its card, and the markup that this was made with

// `again` is called with the name of a model that is to be asked again.
export function show(item, models, again) {
  const focused = document.activeElement.closest(".card") ? document.activeElement : null;
  const before = item === about ? shown : new Map(); // buttons of another picture's card would ask about that
  about = item;
  shown = new Map(models.map((model) => [model.name, fresh(model, item.answers.get(model.name), () => again(model.name), before.get(model.name))]));
  const answer = [...item.answers.values()].find((asked) => asked.answer)?.answer;
  find("remarks").replaceChildren(...remarks(answer));
  const cards = [...shown.values()].map((one) => one.made);
  lay(find("cards"), cards.length ? cards : [make("p", { className: "quiet" }, "No model has answered yet.")]);
  if (focused && document.activeElement !== focused) counterpart(focused).focus({ preventScroll: true });
}

function fresh(model, asked, again, old) {
  const made = card(model, asked, again);
  const markup = made.outerHTML;
  return old?.markup === markup ? old : { made, markup };
}

// Makes these the children of an element. What stays is not taken out in between, which would take the focus from it.
function lay(parent, children) {
  [...parent.children].filter((child) => !children.includes(child)).forEach((child) => child.remove());
  children.forEach((child, at) => { if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null); });
}

// What takes the place of an element whose card was made anew; if nothing does, the card's heading, and if there is no card, that of all.
function counterpart(gone) {
  const title = find(gone.closest(".card").getAttribute("aria-labelledby"));
  if (!title) return find("answers-title");
  const name = (element) => element.getAttribute("aria-label") ?? element.textContent;
  const alike = (element) => element.localName === gone.localName && name(element) === name(gone);
  return [...title.closest(".card").querySelectorAll("button, summary, [tabindex]")].find(alike) ?? title;
}
