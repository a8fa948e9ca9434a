// The list of pictures: one button each, with a thumbnail, the name and a line on what came of it.

import { find, make } from "./dom.js";

const THUMBNAIL = 96; // pixels

const strip = find("strip");
const list = strip.querySelector("ul");

// Adds an entry to the list; `item` gets functions that change it.
export function add(item, { select, remove }) {
  const canvas = make("canvas", { width: THUMBNAIL, height: THUMBNAIL, "aria-hidden": "true" });
  const line = make("span", { className: "quiet" }, "Waiting…");
  const button = make("button", { type: "button", className: "item", title: item.name, onclick: select }, canvas, make("span", {}, item.name), line);
  const away = make("button", { type: "button", className: "remove", "aria-label": `Remove ${item.name}`, onclick: remove }, "×");
  const entry = make("li", {}, button, away);
  item.tell = (text, { kind = "quiet", title = text } = {}) => { // kind: a class of page.css
    line.textContent = text;
    line.title = title;
    line.className = kind;
  };
  item.mark = (current) => {
    button.setAttribute("aria-current", current ? "true" : "false");
    if (current) entry.scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  item.take = () => {
    const neighbour = entry.nextElementSibling ?? entry.previousElementSibling;
    const focused = entry.contains(document.activeElement);
    entry.remove();
    strip.hidden = !list.children.length;
    if (focused) neighbour?.querySelector(".remove").focus();
  };
  item.thumbnail = (picture) => draw(canvas, picture);
  list.append(entry);
  strip.hidden = false;
}

function draw(canvas, { width, height, levels }) {
  const step = Math.max(width, height) / THUMBNAIL;
  const [w, h] = [Math.floor(width / step), Math.floor(height / step)];
  const image = new ImageData(w, h);
  for (let y = 0; y < h; y += 1) {
    for (let x = 0; x < w; x += 1) {
      const grey = levels[Math.floor((y + 0.5) * step) * width + Math.floor((x + 0.5) * step)];
      image.data.set([grey, grey, grey, 255], 4 * (y * w + x));
    }
  }
  canvas.getContext("2d").putImageData(image, Math.floor((THUMBNAIL - w) / 2), Math.floor((THUMBNAIL - h) / 2));
}
