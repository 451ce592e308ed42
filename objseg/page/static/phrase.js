// A phrase: its field with suggestions, what the net reads, and what was found.

const SUGGESTIONS = 6;
let count = 0;

export class Phrase {
  // `changed`, `chosen`, `shown` and `removed` are called with the phrase; `entered` when Return is
  // pressed with no suggestion.
  constructor({ words, colour, maxLength, text = "" }, { changed, chosen, shown, removed, entered }) {
    count += 1;
    this.words = words;
    this.colour = colour;
    this.visible = true;
    this.map = null;
    this.guess = false;
    this.answer = null;
    this.waits = false; // for the end of a word, before it is called unknown
    this.active = -1;
    this.element = document.getElementById("phrase").content.cloneNode(true).firstElementChild;
    const part = (name) => this.element.querySelector(name);
    this.input = part("input");
    this.list = part(".suggestions");
    this.reading = part(".reading");
    this.result = part(".result");
    this.swatch = part(".swatch");
    this.remove = part(".remove");
    this.list.id = `suggestions-${count}`;
    this.reading.id = `reading-${count}`;
    this.result.id = `result-${count}`;
    this.input.setAttribute("aria-controls", this.list.id);
    this.input.setAttribute("aria-describedby", `${this.reading.id} ${this.result.id}`);
    this.list.setAttribute("aria-label", "Known words");
    this.input.maxLength = maxLength;
    this.input.value = text;
    this.element.style.setProperty("--colour", `rgb(${colour.join(" ")})`);
    this.input.addEventListener("input", () => { this.suggest(); changed(this); });
    this.input.addEventListener("focus", () => chosen(this));
    this.input.addEventListener("blur", () => {
      this.close();
      if (!this.waits) return; // what is shown may hold the button that takes the focus
      this.read(this.answer);
      shown(this);
    });
    this.input.addEventListener("keydown", (event) => this.press(event, () => entered(this)));
    this.swatch.addEventListener("click", () => {
      this.visible = !this.visible;
      this.swatch.setAttribute("aria-pressed", String(this.visible));
      shown(this);
    });
    this.remove.addEventListener("click", () => removed(this));
    this.changed = () => changed(this);
  }

  get text() {
    return /[\p{L}\p{N}]/u.test(this.input.value) ? this.input.value.trim() : "";
  }

  set number(number) {
    this.input.setAttribute("aria-label", `Phrase ${number}`);
    this.input.placeholder = number === 1 ? "person on the left" : "another phrase";
    this.swatch.setAttribute("aria-label", `Mark phrase ${number} in the picture`);
    this.remove.setAttribute("aria-label", `Remove phrase ${number}`);
  }

  // The word around the cursor, with where it starts and ends.
  word() {
    const end = this.input.selectionStart;
    const start = end - this.input.value.slice(0, end).match(/[\p{L}\p{N}_]*$/u)[0].length;
    const rest = this.input.value.slice(end).match(/^[\p{L}\p{N}_]*/u)[0].length;
    return { start, end: end + rest, text: this.input.value.slice(start, end + rest).toLowerCase() };
  }

  suggest() {
    const { text } = this.word();
    const found = text && !this.words.includes(text)
      ? this.words.filter((word) => word.startsWith(text)).slice(0, SUGGESTIONS) : [];
    this.list.replaceChildren(...found.map((word, n) => {
      const option = document.createElement("li");
      option.role = "option";
      option.id = `${this.list.id}-${n}`;
      option.textContent = word;
      option.ariaSelected = "false";
      option.addEventListener("mousedown", (event) => { event.preventDefault(); this.take(word); });
      return option;
    }));
    this.active = -1;
    this.input.removeAttribute("aria-activedescendant");
    this.list.hidden = !found.length;
    this.input.setAttribute("aria-expanded", String(found.length > 0));
  }

  close() {
    this.list.hidden = true;
    this.list.replaceChildren();
    this.active = -1;
    this.input.removeAttribute("aria-activedescendant");
    this.input.setAttribute("aria-expanded", "false");
  }

  press(event, entered) {
    const options = [...this.list.children];
    if (event.isComposing) return;
    if (options.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const start = this.active < 0 && step < 0 ? 0 : this.active;
      this.active = (start + step + options.length) % options.length;
      options.forEach((option, n) => { option.ariaSelected = String(n === this.active); });
      this.input.setAttribute("aria-activedescendant", options[this.active].id);
      options[this.active].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Escape" && options.length) {
      event.preventDefault();
      this.close();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (this.active >= 0) this.take(options[this.active].textContent);
      else entered();
    }
  }

  // Put `word` in place of the one around the cursor.
  take(word, place = this.word()) {
    const { value } = this.input;
    this.input.value = value.slice(0, place.start) + word + value.slice(place.end);
    const cursor = place.start + word.length;
    this.input.focus();
    this.input.setSelectionRange(cursor, cursor);
    this.close();
    this.changed();
  }

  // Drop what was found, and what is being asked.
  forget() {
    this.abort?.abort();
    this.map = null;
    this.read(null);
  }

  // Show how the net reads the phrase: an answer of the server, or null.
  read(answer) {
    this.answer = answer;
    const lines = [];
    for (const [word, other] of Object.entries(answer?.substitutes ?? {})) {
      lines.push(line(mark("q", word), " is read as ", mark("q", other), "."));
    }
    for (const [word, nearest] of Object.entries(answer?.unknown ?? {})) {
      if (this.unfinished(word)) continue;
      const known = nearest.flatMap((other) => [" ", this.replacement(word, other)]);
      lines.push(line(mark("s", word), " is not a word it knows.", ...known));
    }
    if (answer?.unread) lines.push(line(`The last ${answer.unread} words are not read.`));
    this.reading.replaceChildren(...lines);
    this.waits = Object.keys(answer?.unknown ?? {}).some((word) => this.unfinished(word));
    this.guess = Boolean(answer) && !answer.known && !this.waits; // so there is no mask
    this.input.setAttribute("aria-invalid", String(this.guess));
  }

  // Is `word` being typed right now, and the beginning of a known word?
  unfinished(word) {
    return document.activeElement === this.input && this.word().text === word
      && this.words.some((known) => known.startsWith(word));
  }

  replacement(word, other) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "replacement";
    button.textContent = other;
    button.setAttribute("aria-label", `Replace ${word} by ${other}`);
    button.addEventListener("click", () => {
      const start = this.input.value.toLowerCase().search(new RegExp(`(?<![\\p{L}\\p{N}_])${word}`, "u"));
      if (start >= 0) this.take(other, { start, end: start + word.length });
    });
    return button;
  }
}

function line(...parts) {
  const element = document.createElement("span");
  element.append(...parts);
  return element;
}

function mark(kind, text) {
  const element = document.createElement("span");
  element.className = kind === "s" ? "unknown" : "said";
  element.textContent = text;
  return element;
}
