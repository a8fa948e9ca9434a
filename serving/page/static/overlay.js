// The controls of the heat map: which model's, for which class, how opaque.

import { heatMap } from "./api.js";
import { paint, paintScale } from "./colours.js";
import { find, make, percent } from "./dom.js";
import { questions } from "./queue.js";

const PREDICTED = -1;
const controls = { on: find("overlay-on"), model: find("overlay-model"), index: find("overlay-class"), member: find("overlay-member"), opacity: find("opacity") };
const note = find("overlay-note");

export class Overlay {
  // `answered` is called with (item, model, prediction) when a heat map came with an answer.
  constructor(viewer, answered) {
    Object.assign(this, { viewer, answered, item: null, models: [] });
    for (const name of ["on", "model", "index", "member"]) controls[name].addEventListener("change", () => this.update());
    controls.opacity.addEventListener("input", () => this.fade());
    paintScale(find("colours"));
    this.fade();
  }

  fade() {
    this.viewer.setOpacity(controls.opacity.value / 100);
    controls.opacity.nextElementSibling.textContent = `${controls.opacity.value} %`;
  }

  // Of which picture and which models; to be called whenever they or their answers change.
  about(item, models) {
    this.item = item;
    this.models = models.filter((model) => model.state === "ready");
    const able = this.models.filter((model) => model.explains);
    options(controls.model, able.map(({ name }) => [name, name]));
    for (const control of Object.values(controls)) control.disabled = !able.length;
    if (able.length) this.update();
    else {
      this.viewer.setMap(null);
      note.textContent = this.models.length ? "None of these models can show where it looks: they have no signature for it. Models that this release trains have one." : "";
    }
  }

  async update() {
    const { item } = this;
    const model = controls.model.value;
    const answer = item?.answers.get(model)?.answer;
    const classes = answer?.classes ?? [];
    options(controls.index, [[PREDICTED, "the predicted one"], ...classes.map((name, index) => [index, name])]);
    options(controls.member, [["", "all together"], ...Object.keys(answer?.members ?? {}).map((name) => [name, name])]);
    find("overlay-member-label").hidden = !Object.keys(answer?.members ?? {}).length;
    this.viewer.setMap(null);
    note.textContent = "";
    if (!controls.on.checked || !item?.picture || !answer) return;
    const index = Number(controls.index.value);
    const wanted = () => this.item === item && controls.on.checked && controls.model.value === model && Number(controls.index.value) === index;
    const key = keyOf(model, answer, index);
    try {
      if (!item.maps.has(key)) {
        note.textContent = "Asking…";
        item.maps.set(key, questions.add(() => heatMap(item.file, model, index), true));
      }
      const found = await item.maps.get(key);
      if (!wanted()) return;
      if (found.prediction.version === answer.version) {
        this.show(found);
        return;
      }
      item.maps.delete(key); // another version took over: its answer counts, too
      item.maps.set(keyOf(model, found.prediction, index), found);
      this.answered(item, model, found.prediction);
    } catch (problem) {
      item.maps.delete(key);
      if (wanted()) note.replaceChildren(problem.message, " ", make("button", { type: "button", onclick: () => this.update() }, "Try again"));
    }
  }

  show(found) {
    const member = controls.member.value;
    const map = found.maps[member] ?? found.maps[""];
    const shares = member ? found.prediction.members[member] : found.prediction.probabilities;
    const whose = member || found.prediction.model;
    const empty = map.levels.every((level) => level === 0);
    const about = `${found.explained} (${percent(shares[found.explained])} by ${whose})`;
    note.textContent = empty ? `No region speaks for ${about}.` : `Regions that speak for ${about}, coarse: a network sees in cells.`;
    this.viewer.setMap(empty ? null : paint(map));
  }
}

const keyOf = (model, { version }, index) => `${model} ${version} ${index}`;

// Fills a select with [value, text] pairs and keeps what was chosen, where it is still there.
function options(select, pairs) {
  const texts = JSON.stringify(pairs);
  if (select.dataset.pairs === texts) return;
  const chosen = select.value;
  select.replaceChildren(...pairs.map(([value, text]) => make("option", { value }, text)));
  select.dataset.pairs = texts;
  if (pairs.some(([value]) => String(value) === chosen)) select.value = chosen;
}
