// The page's state, and what happens when people do something.

import { Phrase } from "./phrase.js";
import { COLOURS, decode } from "./responses.js";
import { ask, Picture, save } from "./server.js";
import * as view from "./view.js";

const PAUSE = 80; // milliseconds after a key before the server is asked

const element = (id) => document.getElementById(id);
const phrases = [];
let model = null;
let opening = null; // the Picture that was taken last
let picture = null; // the one that is shown
let shown = null; // its pixels, an ImageBitmap
let current = null; // the phrase that was typed in last
let retry = null;

// ---- phrases

function addPhrase(text = "") {
  const colour = COLOURS.find((each) => phrases.every((phrase) => phrase.colour !== each));
  const phrase = new Phrase(
    { words: model.words, colour, maxLength: model.maxPhrase, text },
    {
      changed: (each) => { choose(each); segment(each, PAUSE); },
      chosen: choose, shown: draw, removed: removePhrase, entered: next,
    },
  );
  phrases.push(phrase);
  element("phrases").append(phrase.element);
  number();
  current = phrase;
  if (text) segment(phrase);
  draw();
  return phrase;
}

function removePhrase(phrase) {
  const place = phrases.indexOf(phrase);
  phrase.forget();
  phrases.splice(place, 1);
  phrase.element.remove();
  if (!phrases.length) addPhrase();
  number();
  current = phrases[Math.min(place, phrases.length - 1)];
  current.input.focus();
  draw();
}

function replacePhrases(texts) {
  for (const phrase of phrases.splice(0)) {
    phrase.forget();
    phrase.element.remove();
  }
  texts.forEach((text) => addPhrase(text));
}

function number() {
  phrases.forEach((phrase, n) => { phrase.number = n + 1; });
  element("add").disabled = phrases.length >= COLOURS.length;
}

function choose(phrase) {
  const before = current;
  current = phrase;
  if (before !== phrase) draw();
}

function next() {
  const empty = phrases.find((phrase) => !phrase.text);
  if (empty) empty.input.focus();
  else if (phrases.length < COLOURS.length) addPhrase().input.focus();
}

// Ask for the response map of a phrase, `pause` milliseconds from now unless it changes before.
async function segment(phrase, pause = 0) {
  phrase.abort?.abort();
  phrase.abort = new AbortController();
  const { signal } = phrase.abort;
  if (!phrase.text || !picture) {
    phrase.forget();
    draw();
    return;
  }
  await new Promise((done) => { setTimeout(done, pause); });
  if (signal.aborted) return;
  try {
    const said = await (await picture.get("response", { phrase: phrase.text }, signal)).json();
    phrase.map = said.response && decode(said.response);
    phrase.read(said);
    complain(null);
    draw();
  } catch (error) {
    if (error.name !== "AbortError") complain(error, () => phrases.forEach((each) => segment(each)));
  }
}

// ---- pictures

// Take a picture. The one before stays until it is ready; the last one that was taken wins.
async function open(file, name) {
  if (!file) return;
  if (file.size > model.maxBytes) {
    complain(new Error(`${name} has ${Math.round(file.size / 1e6)} MB; at most ${model.maxBytes / 1e6} MB are taken.`));
    return;
  }
  const opened = opening = new Picture(file, name);
  busy("Looking at the picture …");
  complain(null);
  try {
    await opened.send();
    const bitmap = await createImageBitmap(file).catch(() => {
      throw new Error("This browser cannot show the picture; take a JPEG or PNG file.");
    });
    if (opening !== opened) return;
    [picture, shown] = [opened, bitmap];
    view.show(shown, name);
    phrases.forEach((phrase) => phrase.forget());
    phrases.forEach((phrase) => segment(phrase));
    if (!phrases.some((phrase) => phrase.text)) phrases[0].input.focus();
    draw();
  } catch (error) {
    if (opening !== opened) return;
    complain(error, () => open(file, name));
  }
  busy("");
}

async function openExample({ name, phrases: said }) {
  try {
    replacePhrases(said);
    await open(await (await ask(`/examples/${name}`)).blob(), name);
  } catch (error) {
    complain(error, () => openExample({ name, phrases: said }));
  }
}

// ---- view

function draw() {
  view.draw(phrases, current);
  element("overlay").disabled = !shown;
  element("mask").disabled = !(shown && current?.map);
  element("mask").textContent = `Mask of phrase ${phrases.indexOf(current) + 1}`;
}

function busy(text) {
  element("busy").textContent = text;
  element("frame").classList.toggle("working", Boolean(text));
}

// Show an error, and a button for `again` where that may help: no answer, or a busy server.
function complain(error, again = null) {
  element("error").hidden = !error;
  element("error-text").textContent = error?.message ?? "";
  element("again").hidden = ![0, 500, 503].includes(error?.status);
  retry = again;
}

// ---- downloads

async function saveOverlay() {
  const canvas = new OffscreenCanvas(shown.width, shown.height);
  const context = canvas.getContext("2d");
  context.drawImage(shown, 0, 0);
  view.paint(context, phrases, current);
  save(await canvas.convertToBlob(), `${stem()}_overlay.png`);
}

async function saveMask() {
  const asked = { phrase: current.text, threshold: view.threshold };
  const answer = await picture.get("mask.png", asked);
  const said = current.text.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60);
  save(await answer.blob(), `${stem()}_${said}_mask.png`);
}

const stem = () => picture.name.replace(/\.[^.]*$/, "");

// ---- start

function listen() {
  const attempt = (task) => () => task().catch((error) => complain(error, attempt(task)));
  element("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) open(target.files[0], target.files[0].name);
    target.value = "";
  });
  element("add").addEventListener("click", () => addPhrase().input.focus());
  element("again").addEventListener("click", () => retry?.());
  element("overlay").addEventListener("click", attempt(saveOverlay));
  element("mask").addEventListener("click", attempt(saveMask));
  document.querySelector(".panel").addEventListener("input", ({ target }) => {
    if (target.name === "view" || target.id === "threshold") draw();
  });
  document.addEventListener("paste", ({ clipboardData }) => {
    const file = [...clipboardData.files].find(({ type }) => type.startsWith("image/"));
    if (file) open(file, file.name || "pasted.png");
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    element("frame").classList.add("over");
  });
  document.addEventListener("dragleave", () => element("frame").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    element("frame").classList.remove("over");
    const file = event.dataTransfer.files[0];
    if (file) open(file, file.name);
  });
}

function addExample(example) {
  const button = document.createElement("button");
  const image = document.createElement("img");
  button.type = "button";
  image.src = `/examples/${example.name}`;
  image.alt = `Example: ${example.name.replace(/\.[^.]*$/, "")}`;
  button.append(image);
  button.addEventListener("click", () => openExample(example));
  element("examples").append(button);
}

async function start() {
  complain(null);
  try {
    model = await (await ask("/model")).json();
  } catch (error) {
    complain(error, start);
    return;
  }
  addPhrase();
  model.examples.forEach(addExample);
  element("words").textContent = model.words.join(", ");
  element("about").textContent = `It knows ${model.words.length} words. The server keeps no `
    + `picture: of the last ${model.pictures}, it keeps in memory what the net computes.`;
  listen();
  draw();
}

start();
