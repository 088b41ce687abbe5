// Text pane: a text field above a copy of its text in which findings are underlined.
import { byId, element } from "./dom.js";

const TYPING_PAUSE = 300; // ms

export class Editor {
  /** @param {() => void} changed  Called when the text was edited and typing pauses. */
  constructor(changed) {
    this.field = /** @type {HTMLTextAreaElement} */ (byId("text"));
    this.marks = byId("marks");
    this.timer = 0;
    this.field.addEventListener("input", () => {
      this.mark([]);
      clearTimeout(this.timer);
      this.timer = setTimeout(changed, TYPING_PAUSE);
    });
    this.field.addEventListener("scroll", () => this.#align());
  }

  get text() {
    return this.field.value;
  }

  set text(text) {
    clearTimeout(this.timer);
    this.field.value = text;
    this.mark([]);
    this.field.scrollTo(0, 0);
  }

  /**
   * Underline the places of findings.
   * @param {{ severity: string, places: { start: number, end: number }[] }[]} findings
   */
  mark(findings) {
    const text = this.text;
    const places = findings.flatMap(({ severity, places }) => places.map((place) => ({ ...place, severity }))).sort((a, b) => a.start - b.start);
    const parts = [];
    let end = 0;
    for (const place of places) {
      if (place.start < end) continue;
      parts.push(text.slice(end, place.start), element("mark", { class: place.severity }, text.slice(place.start, Math.max(place.end, place.start + 1))));
      end = Math.max(place.end, place.start + 1);
    }
    // A line end at the end of a <pre> takes no height, in a text field it does.
    this.marks.replaceChildren(...parts, `${text.slice(end)}\n`);
    this.#align();
  }

  /** Select a line and scroll to it. @param {number} line  Number of the line, from 1. */
  showLine(line, focus = true) {
    const lines = this.text.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    this.field.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
    if (focus) this.field.focus({ preventScroll: true });
    const height = this.field.scrollHeight / Math.max(1, lines.length);
    this.field.scrollTop = (line - 4) * height;
    this.#align();
  }

  #align() {
    this.marks.scrollTop = this.field.scrollTop;
    this.marks.scrollLeft = this.field.scrollLeft;
  }
}

/**
 * List findings; each leads to its line.
 * @param {{ severity: string, code: string, message: string, notes: string[], places: { line: number }[] }[]} findings
 * @param {Editor} editor
 */
export function listFindings(findings, editor) {
  const items = findings.slice(0, 100).map(({ severity, message, notes, places }) => {
    const times = places.length > 1 ? ` (${places.length} times)` : "";
    const text = `${severity}: ${message}${times}`;
    const body = places.length
      ? element("button", { type: "button", click: () => editor.showLine(places[0].line) }, `line ${places[0].line}: ${text}`)
      : element("span", {}, text);
    return element("li", { class: severity }, body, ...notes.map((note) => element("p", {}, note)));
  });
  byId("findings").replaceChildren(...items);
}
