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
    Object.assign(this, { viewer, answered, item: null, explaining: new Set(), able: [], chosen: false }); // models seen to explain, those that do now; whether the user chose one
    controls.model.addEventListener("change", () => (this.chosen = true));
    for (const name of ["on", "model", "index", "member"]) controls[name].addEventListener("change", () => this.update());
    controls.opacity.addEventListener("input", () => this.fade());
    paintScale(find("colours"));
    this.fade();
  }

  fade() {
    this.viewer.setOpacity(controls.opacity.value / 100);
    controls.opacity.nextElementSibling.textContent = `${controls.opacity.value} %`;
  }

  // Of which picture (null: of none) and which models; to be called whenever they or their answers change. A model that is busy for a moment
  // keeps its place: the choice of another is the user's. Before the user chooses it is the first of the page, also where that one began later.
  about(item, models) {
    this.item = item;
    const ready = models.filter((model) => model.state === "ready");
    this.able = ready.filter((model) => model.explains).map(({ name }) => name);
    const seen = new Set([...this.explaining, ...this.able]);
    this.explaining = new Set([...models.map(({ name }) => name).filter((name) => seen.has(name)), ...seen]); // in the page's order; then those that are gone
    options(controls.model, [...this.explaining].map((name) => (this.able.includes(name) ? [name, name] : [name, `${name} (not now)`, true])));
    if (!this.chosen) controls.model.selectedIndex = this.explaining.size ? 0 : -1;
    for (const control of Object.values(controls)) control.disabled = !this.explaining.size;
    if (this.explaining.size) this.update();
    else {
      this.viewer.setMap(null);
      note.textContent = ready.length ? "None of these models can show where it looks: they have no signature for it. Models that this release trains have one." : "";
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
    if (!controls.on.checked || !item?.picture) return;
    const index = Number(controls.index.value);
    const key = answer && keyOf(model, answer, index);
    if (!this.able.includes(model) && !item.maps.has(key)) {
      note.textContent = `${model} cannot show where it looks now: it is starting, busy or gone.`;
      return;
    }
    if (!answer) return;
    const wanted = () => this.item === item && controls.on.checked && controls.model.value === model && Number(controls.index.value) === index;
    try {
      if (!item.maps.has(key)) {
        note.textContent = "Asking…";
        item.maps.set(key, questions.add(() => heatMap(item.file, model, index), item, true));
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
    note.textContent = empty ? `No region supports ${about}.` : `Regions that support ${about}. They are coarse: the network sees the picture in cells.`;
    this.viewer.setMap(empty ? null : paint(map));
  }
}

const keyOf = (model, { version }, index) => `${model} ${version} ${index}`;

// Fills a select with [value, text, whether it is disabled] and keeps what was chosen, where it is still there.
function options(select, rows) {
  const texts = JSON.stringify(rows);
  if (select.dataset.rows === texts) return;
  const chosen = select.value;
  select.replaceChildren(...rows.map(([value, text, disabled = false]) => make("option", { value, disabled }, text)));
  select.dataset.rows = texts;
  if (rows.some(([value]) => String(value) === chosen)) select.value = chosen;
}
