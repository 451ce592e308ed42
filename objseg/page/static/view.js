// The picture with its masks, or the response map of a phrase, and the words for what they show.

import { drawMap, drawMask, figures, range, resize } from "./responses.js";

// The longer side of the canvases, in pixels: fine enough for outlines, small enough to follow a hand.
const [LEAST, MOST] = [1024, 1600];

const element = (id) => document.getElementById(id);
const photo = element("photo").getContext("2d");
const marks = element("marks").getContext("2d");
let title = "";
let waiting = null; // what is drawn in the next frame
let spoken = 0;

export let threshold = 0;

// Show a picture, an ImageBitmap.
export function show(bitmap, name) {
  title = name;
  element("empty").hidden = true;
  element("canvases").hidden = false;
  const longer = Math.max(bitmap.width, bitmap.height);
  const scale = Math.min(MOST, Math.max(LEAST, longer)) / longer;
  for (const { canvas } of [photo, marks]) {
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  }
  element("canvases").style.setProperty("--aspect", bitmap.width / bitmap.height);
  photo.drawImage(bitmap, 0, 0, photo.canvas.width, photo.canvas.height);
}

// Draw once more before the next frame, with `current` as the phrase whose map may be shown.
export function draw(phrases, current) {
  threshold = Number(element("threshold").value);
  const text = `${signed(threshold)}, at least ${percent(1 / (1 + Math.exp(-threshold)))} sure`;
  element("threshold-text").textContent = text;
  element("threshold").setAttribute("aria-valuetext", text);
  const map = showsMap() && current?.map;
  element("legend").hidden = !map;
  if (map) {
    const [low, high] = range(map).map(signed);
    element("legend-low").textContent = `Phrase ${phrases.indexOf(current) + 1}: ${low}`;
    element("legend-high").textContent = high;
  }
  if (!waiting) requestAnimationFrame(drawNow);
  waiting = [phrases, current];
}

function drawNow() {
  const [phrases, current] = waiting;
  waiting = null;
  marks.clearRect(0, 0, marks.canvas.width, marks.canvas.height);
  paint(marks, phrases, current);
  describe(phrases);
}

// Draw masks, or the response map of `current`, in the size of the context's canvas.
export function paint(context, phrases, current) {
  const { width, height } = context.canvas;
  if (showsMap()) {
    if (current?.map) drawMap(context, resize(current.map, width, height), ...range(current.map));
    return;
  }
  const drawn = phrases.filter(({ map, visible }) => map && visible)
    .map((phrase) => ({ ...phrase, area: figures(phrase.map, threshold).area }))
    .sort((one, other) => other.area - one.area); // small masks on top of large ones
  for (const { map, colour } of drawn) {
    drawMask(context, resize(map, width, height), threshold, colour);
  }
}

// Say beside each phrase what was found; screen readers are told after a pause.
function describe(phrases) {
  const said = phrases.map((phrase) => {
    phrase.result.textContent = result(phrase);
    return phrase.result.textContent && `${phrase.text}: ${phrase.result.textContent}`;
  }).filter(Boolean).join(". ");
  element("canvases").setAttribute("aria-label", `${title}. ${said}`);
  clearTimeout(spoken);
  spoken = setTimeout(() => { element("spoken").textContent = said; }, 1000);
}

function result({ map, guess }) {
  if (guess) return "No known word, so no mask.";
  if (!map) return "";
  const { area, score } = figures(map, threshold);
  return area ? `${percent(area)} of the picture, score ${score.toFixed(2)}`
    : "Nothing found: lower the threshold, or say it differently.";
}

const showsMap = () => document.querySelector("[name=view]:checked").value === "map";
const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(1)}`;
// One more digit near the ends, where rounding would hide what is left.
const percent = (share) => `${(100 * share).toFixed(share < 0.1 || (share > 0.99 && share < 1) ? 1 : 0)} %`;
