// Heat as `cxr explain` paints it (data/images/overlays.py): matplotlib's turbo, and as opaque as it is hot.

const TURBO = [
  [48, 18, 59], [64, 64, 162], [70, 107, 227], [66, 148, 255], [40, 188, 235], [24, 221, 194], [50, 242, 152], [109, 254, 98], [164, 252, 60],
  [205, 236, 52], [238, 207, 58], [253, 172, 52], [251, 126, 33], [235, 80, 14], [208, 47, 5], [169, 22, 1], [122, 4, 3],
];

// Red, green and blue of a level in 0..255.
function colour(level) {
  const at = (level / 255) * (TURBO.length - 1);
  const low = Math.min(Math.floor(at), TURBO.length - 2);
  return TURBO[low].map((value, i) => Math.round(value + (at - low) * (TURBO[low + 1][i] - value)));
}

const COLOURS = Array.from({ length: 256 }, (_, level) => colour(level));

// A canvas of a heat map's picture. The map is coarse (a cell of the network's last feature map each): it is interpolated here, before it
// is coloured, since colours between blue and red are no mixture of the two.
export function paint(map, scale = 16) {
  const { rows, columns, levels } = map;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns * scale, rows * scale];
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let y = 0; y < canvas.height; y += 1) {
    const [top, bottom, down] = between((y + 0.5) / scale - 0.5, rows);
    for (let x = 0; x < canvas.width; x += 1) {
      const [left, right, across] = between((x + 0.5) / scale - 0.5, columns);
      const upper = levels[top * columns + left] * (1 - across) + levels[top * columns + right] * across;
      const lower = levels[bottom * columns + left] * (1 - across) + levels[bottom * columns + right] * across;
      const level = Math.round(upper * (1 - down) + lower * down);
      image.data.set([...COLOURS[level], level], 4 * (y * canvas.width + x));
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// The cells beside a position, and how near it is to the second.
function between(position, count) {
  const at = Math.min(Math.max(position, 0), count - 1);
  const low = Math.floor(at);
  return [low, Math.min(low + 1, count - 1), at - low];
}

export function paintScale(canvas) {
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x += 1) {
    context.fillStyle = `rgb(${COLOURS[Math.round((255 * x) / (canvas.width - 1))].join(" ")})`;
    context.fillRect(x, 0, 1, 1);
  }
}
