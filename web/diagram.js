// A diagram with zoom and with rows that can be chosen.
import { element } from "./dom.js";

const POINT = 4 / 3; // CSS pixels

/** Parse the SVG of bridge.py. */
function parse(text) {
  const document_ = new DOMParser().parseFromString(text, "image/svg+xml");
  const svg = document_.documentElement;
  if (svg.localName !== "svg") throw new Error("the diagram is damaged");
  return /** @type {SVGSVGElement} */ (/** @type {unknown} */ (document.importNode(svg, true)));
}

export class Diagram {
  /**
   * @param {string} label
   * @param {string} text  SVG.
   * @param {((index: number) => void) | null} choose  Called with the layer of a row; null if rows cannot be chosen.
   */
  constructor(label, text, choose) {
    this.svg = parse(text);
    const { width, height } = this.svg.viewBox.baseVal;
    this.size = { width: width * POINT, height: height * POINT };
    this.zoom = 1;
    this.links = new Map();
    for (const link of this.svg.querySelectorAll("a")) this.#addLink(link, choose);
    this.element = element("div", { class: "diagram", tabindex: 0, role: "region", "aria-label": label });
    this.element.append(this.svg);
    this.element.addEventListener("keydown", (event) => this.#press(event));
    this.element.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
    this.#allowDragging();
    this.setZoom(1);
  }

  #addLink(link, choose) {
    if (!choose) return link.removeAttribute("href");
    const index = Number(link.getAttribute("href").slice(2));
    this.links.set(index, link);
    link.setAttribute("role", "button");
    link.setAttribute("aria-label", [...link.querySelectorAll("text")].map((text) => text.textContent).join(" "));
    link.addEventListener("click", (event) => {
      event.preventDefault();
      if (!this.dragged) choose(index);
    });
    link.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose(index);
    });
  }

  /** Mark the row of a layer and scroll to it. @param {number} index */
  show(index) {
    this.svg.querySelectorAll(".chosen").forEach((one) => one.classList.remove("chosen"));
    const link = this.links.get(index);
    if (!link) return;
    link.classList.add("chosen");
    link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** @param {number} zoom @param {{ x: number, y: number }} [at]  Point that stays where it is. */
  setZoom(zoom, at = { x: this.element.clientWidth / 2, y: this.element.clientHeight / 2 }) {
    const before = this.zoom;
    this.zoom = Math.min(8, Math.max(0.05, zoom));
    const x = (this.element.scrollLeft + at.x) / before, y = (this.element.scrollTop + at.y) / before;
    this.svg.setAttribute("width", String(this.size.width * this.zoom));
    this.svg.setAttribute("height", String(this.size.height * this.zoom));
    this.element.scrollTo(x * this.zoom - at.x, y * this.zoom - at.y);
  }

  fit() {
    const { clientWidth, clientHeight } = this.element;
    this.setZoom(Math.min((clientWidth - 4) / this.size.width, (clientHeight - 4) / this.size.height));
  }

  /** Fit the width, within limits. @param {number} least @param {number} most */
  fitWidth(least, most) {
    this.setZoom(Math.min(most, Math.max(least, (this.element.clientWidth - 4) / this.size.width)));
    this.element.scrollTo(0, 0);
  }

  /** Buttons that zoom. */
  tools() {
    const button = (text, label, act) => element("button", { type: "button", "aria-label": label === text ? null : label, title: label, click: act }, text);
    return [
      button("−", "Zoom out", () => this.setZoom(this.zoom / 1.25)),
      button("+", "Zoom in", () => this.setZoom(this.zoom * 1.25)),
      button("Fit", "Fit", () => this.fit()),
    ];
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = { "+": () => this.setZoom(this.zoom * 1.25), "-": () => this.setZoom(this.zoom / 1.25), 0: () => this.fit() };
    const act = acts[event.key === "=" ? "+" : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #turn(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = this.element.getBoundingClientRect();
    this.setZoom(this.zoom * Math.exp(-event.deltaY / 300), { x: event.clientX - box.left, y: event.clientY - box.top });
  }

  #allowDragging() {
    const view = this.element;
    /** @type {{ x: number, y: number, left: number, top: number } | null} */
    let grip = null;
    this.dragged = false;
    view.addEventListener("pointerdown", ({ button, pointerType, clientX, clientY }) => {
      this.dragged = false;
      if (button === 0 && pointerType === "mouse") grip = { x: clientX, y: clientY, left: view.scrollLeft, top: view.scrollTop };
    });
    view.addEventListener("pointermove", ({ buttons, clientX, clientY }) => {
      if (!(buttons & 1)) grip = null;
      if (!grip || (!this.dragged && Math.hypot(clientX - grip.x, clientY - grip.y) < 4)) return;
      this.dragged = true;
      view.scrollTo(grip.left - (clientX - grip.x), grip.top - (clientY - grip.y));
    });
    view.addEventListener("dragstart", (event) => event.preventDefault());
  }
}
