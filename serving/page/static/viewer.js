// One picture on a canvas: window, zoom, moving, and a heat map over it.

const MOST_ZOOM = 16;
const STEP = 1.25; // of zoom
const MOVE = 40; // pixels of the screen
export const WHOLE_WINDOW = { centre: 128, width: 256, invert: false };

export class Viewer {
  // `changed` is called with (window, zoom) when the user changes them on the canvas.
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed, picture: null, map: null, opacity: 0.6, window: { ...WHOLE_WINDOW } });
    this.shown = document.createElement("canvas"); // the picture through the window, pixel by pixel
    this.pointers = new Map();
    this.whole();
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.release(event));
    canvas.addEventListener("dblclick", () => this.whole());
  }

  // Shows a picture as api.js gives it.
  show(picture) {
    this.picture = picture;
    this.map = null;
    [this.shown.width, this.shown.height] = [picture.width, picture.height];
    this.image = this.shown.getContext("2d").createImageData(picture.width, picture.height);
    new Uint32Array(this.image.data.buffer).fill(0xff000000);
    this.setWindow(WHOLE_WINDOW);
    this.whole();
  }

  // A canvas of a heat map that covers the whole picture, or null.
  setMap(map) {
    this.map = map;
    this.draw();
  }

  setOpacity(opacity) {
    this.opacity = opacity;
    this.draw();
  }

  setWindow(window) {
    this.window = { ...this.window, ...window };
    if (!this.picture) return;
    const { centre, width, invert } = this.window;
    const levels = Uint8ClampedArray.from({ length: 256 }, (_, grey) => ((grey - centre + width / 2) * 255) / Math.max(width - 1, 1));
    if (invert) levels.forEach((level, grey) => { levels[grey] = 255 - level; });
    const { data } = this.image;
    this.picture.levels.forEach((grey, i) => {
      data[4 * i] = data[4 * i + 1] = data[4 * i + 2] = levels[grey];
    });
    this.shown.getContext("2d").putImageData(this.image, 0, 0);
    this.draw();
    this.changed(this.window, this.zoom);
  }

  whole() {
    [this.zoom, this.x, this.y] = [1, 0.5, 0.5];
    this.moved();
  }

  // Zooms by a factor; the point of the screen, in canvas pixels from its middle, stays where it is.
  zoomBy(factor, [dx, dy] = [0, 0]) {
    const before = this.scale();
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    const after = this.scale();
    this.x += (dx / before - dx / after) / this.picture.width;
    this.y += (dy / before - dy / after) / this.picture.height;
    this.moved();
  }

  moveBy(dx, dy) {
    this.x -= dx / this.scale() / this.picture.width;
    this.y -= dy / this.scale() / this.picture.height;
    this.moved();
  }

  moved() {
    const least = 0.5 / this.zoom;
    const inside = (at) => Math.min(Math.max(at, least), 1 - least);
    [this.x, this.y] = [inside(this.x), inside(this.y)];
    this.canvas.style.touchAction = this.zoom > 1 ? "none" : "pan-y"; // a finger scrolls the page where there is nothing to move
    this.draw();
    this.changed(this.window, this.zoom);
  }

  // Pixels of the screen (CSS) for one of the picture.
  scale() {
    return this.picture ? (this.zoom * this.canvas.clientWidth) / this.picture.width : 1;
  }

  draw() {
    const { canvas, picture, shown } = this;
    if (!picture) return;
    const wide = canvas.parentElement.clientWidth;
    const shrink = Math.min(1, (0.72 * window.innerHeight * picture.width) / picture.height / wide);
    canvas.style.width = `${Math.round(wide * shrink)}px`;
    canvas.style.height = `${Math.round((wide * shrink * picture.height) / picture.width)}px`;
    const dense = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [Math.round(canvas.clientWidth * dense), Math.round(canvas.clientHeight * dense)];
    const context = canvas.getContext("2d");
    const scale = this.scale() * dense;
    const left = canvas.width / 2 - this.x * picture.width * scale;
    const top = canvas.height / 2 - this.y * picture.height * scale;
    context.imageSmoothingQuality = "high";
    context.drawImage(shown, left, top, picture.width * scale, picture.height * scale);
    if (this.map) {
      context.globalAlpha = this.opacity;
      context.drawImage(this.map, left, top, picture.width * scale, picture.height * scale);
      context.globalAlpha = 1;
    }
  }

  key(event) {
    if (!this.picture || event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowLeft: [MOVE, 0], ArrowRight: [-MOVE, 0], ArrowUp: [0, MOVE], ArrowDown: [0, -MOVE] };
    if (event.key === "+" || event.key === "=") this.zoomBy(STEP);
    else if (event.key === "-") this.zoomBy(1 / STEP);
    else if (event.key === "0") this.whole();
    else if (moves[event.key] && this.zoom > 1) this.moveBy(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  wheel(event) {
    if (!this.picture || !event.ctrlKey) return; // the wheel alone scrolls the page
    event.preventDefault();
    this.zoomBy(event.deltaY < 0 ? STEP : 1 / STEP, this.fromMiddle(event));
  }

  fromMiddle({ offsetX, offsetY }) {
    return [offsetX - this.canvas.clientWidth / 2, offsetY - this.canvas.clientHeight / 2];
  }

  press(event) {
    if (!this.picture || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.canvas.classList.add("moving");
  }

  move(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const now = [event.offsetX, event.offsetY];
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    const [dx, dy] = [now[0] - last[0], now[1] - last[1]];
    this.pointers.set(event.pointerId, now);
    if (other) { // two fingers
      const apart = (point) => Math.max(Math.hypot(point[0] - other[0], point[1] - other[1]), 1);
      this.zoomBy(apart(now) / apart(last));
    } else if (event.shiftKey) {
      const clamp = (value, low, high) => Math.round(Math.min(Math.max(value, low), high));
      const { centre, width } = this.window;
      this.setWindow({ centre: clamp(centre - dy / 2, 0, 255), width: clamp(width + dx / 2, 1, 256) });
    } else {
      this.moveBy(dx, dy);
    }
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.canvas.classList.remove("moving");
  }
}
