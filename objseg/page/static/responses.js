// Response maps: decoding them, bringing them to a size, masks, and drawing both.
// A map is {width, height, values}: Int16 thousandths, row by row. It covers the whole picture.

export const COLOURS = [
  [224, 32, 232], [255, 214, 0], [0, 190, 235], [255, 122, 26], [46, 204, 96], [92, 116, 255],
];

// Colours of viridis, from the lowest to the highest response.
const SCALE = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

export function decode({ width, height, thousandths }) {
  const bytes = Uint8Array.from(atob(thousandths), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const values = Int16Array.from({ length: width * height }, (_, n) => view.getInt16(2 * n, true));
  return { width, height, values };
}

// Share of the picture above `threshold`, and the mean probability of foreground there, as
// objseg.methods.segmenter.score_of computes it.
export function figures(map, threshold) {
  let count = 0;
  let sum = 0;
  for (const value of map.values) {
    if (value > 1000 * threshold) {
      count += 1;
      sum += 1 / (1 + Math.exp(-value / 1000));
    }
  }
  return { area: count / map.values.length, score: count ? sum / count : 0 };
}

export function range(map) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of map.values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low / 1000, high / 1000];
}

// Bilinear, with pixel centres where cv2.resize has them.
export function resize(map, width, height) {
  if (map.width === width && map.height === height) return map.values;
  const values = new Float32Array(width * height);
  const columns = weights(map.width, width);
  const rows = weights(map.height, height);
  for (let y = 0; y < height; y += 1) {
    const [top, bottom] = [rows.first[y] * map.width, rows.second[y] * map.width];
    const down = rows.share[y];
    for (let x = 0; x < width; x += 1) {
      const [left, right, across] = [columns.first[x], columns.second[x], columns.share[x]];
      const above = map.values[top + left] * (1 - across) + map.values[top + right] * across;
      const below = map.values[bottom + left] * (1 - across) + map.values[bottom + right] * across;
      values[y * width + x] = above * (1 - down) + below * down;
    }
  }
  return values;
}

// For each of `to` pixels the two of `from` that it lies between, and the share of the second.
function weights(from, to) {
  const first = new Int32Array(to);
  const second = new Int32Array(to);
  const share = new Float32Array(to);
  for (let n = 0; n < to; n += 1) {
    const place = Math.min(from - 1, Math.max(0, ((n + 0.5) * from) / to - 0.5));
    first[n] = Math.floor(place);
    second[n] = Math.min(from - 1, first[n] + 1);
    share[n] = place - first[n];
  }
  return { first, second, share };
}

// Draw the mask, tinted and outlined with a dark rim, on top of what `context` shows.
export function drawMask(context, values, threshold, colour) {
  const { width, height } = context.canvas;
  const line = Math.max(1, Math.round(Math.max(width, height) / 400));
  const inside = new Uint8Array(width * height);
  for (let n = 0; n < inside.length; n += 1) inside[n] = values[n] > 1000 * threshold ? 1 : 0;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const [tint, edge, rim] = [rgba(colour, 90), rgba(colour, 255), rgba([20, 20, 24], 210)];
  for (let y = 0; y < height; y += 1) {
    const [up, down] = [Math.max(0, y - line) * width, Math.min(height - 1, y + line) * width];
    for (let x = 0; x < width; x += 1) {
      const n = y * width + x;
      const neighbours = inside[up + x] + inside[down + x]
        + inside[n - Math.min(x, line)] + inside[n + Math.min(width - 1 - x, line)];
      if (inside[n]) pixels[n] = neighbours < 4 ? edge : tint;
      else if (neighbours > 0) pixels[n] = rim;
    }
  }
  paint(context, image);
}

// Draw a response map between `low` and `high` over the whole canvas.
export function drawMap(context, values, low, high) {
  const { width, height } = context.canvas;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const palette = Uint32Array.from({ length: 256 }, (_, n) => rgba(scale(n / 255), 205));
  const factor = 255 / Math.max(1, 1000 * (high - low));
  for (let n = 0; n < pixels.length; n += 1) {
    pixels[n] = palette[Math.min(255, Math.max(0, Math.round((values[n] - 1000 * low) * factor)))];
  }
  paint(context, image);
}

function scale(share) {
  const place = share * (SCALE.length - 1);
  const first = Math.min(SCALE.length - 2, Math.floor(place));
  return SCALE[first].map((value, n) => value + (SCALE[first + 1][n] - value) * (place - first));
}

function rgba([red, green, blue], alpha) {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0; // little-endian, as all browsers
}

// putImageData would replace what is there.
function paint(context, image) {
  const layer = new OffscreenCanvas(image.width, image.height);
  layer.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(layer, 0, 0);
}
