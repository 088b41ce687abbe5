"use strict";
// One page, no requests: the diagram is inline, its facts are in #data. Text from the cfg only ever becomes textContent.
const data = JSON.parse(document.getElementById("data").textContent);
const view = document.getElementById("view");
const panel = document.getElementById("panel");
const svg = view.querySelector("svg");
const overview = document.getElementById("overview");
const byId = (id) => document.getElementById(id);
const size = { width: svg.viewBox.baseVal.width * 4 / 3, height: svg.viewBox.baseVal.height * 4 / 3 };
let zoom = 1;
let chosen = null;

// The row or box of a layer is a link "#L6".
const number = (link) => Number(link.getAttribute("href").slice(2));
const links = new Map([...svg.querySelectorAll("a")].map((link) => [number(link), link]));
// A later row would cover the outer half of a row's own stroke, and cells its inner half: the frame is on top, inside.
for (const link of svg.querySelectorAll("a")) {
  const frame = link.querySelector(".row").cloneNode(false);
  for (const [name, by] of [["x", 1], ["y", 1], ["width", -2], ["height", -2]]) frame.setAttribute(name, Number(frame.getAttribute(name)) + by);
  frame.setAttribute("class", "select");
  link.append(frame);
}
const rows = [...links.keys()].sort((a, b) => a - b);
for (const [index, link] of links) {
  const words = [...link.querySelectorAll("text")].map((text) => text.textContent);
  link.id = `L${index}`;
  link.setAttribute("tabindex", "0");
  link.setAttribute("role", "button");
  link.setAttribute("aria-label", words.join(" ") + data.layers[index].name.replace(/^L\d+/, ""));
}
const edges = [...svg.querySelectorAll("g.edge")].map((element) => {
  const ends = element.id.split("-").map((name) => (name === "input" ? -1 : Number(name.slice(1))));
  return { element, source: ends[0], target: ends[1] };
});

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function setZoom(value, center) {
  const before = zoom;
  zoom = Math.min(8, Math.max(0.05, value));
  const at = center || { x: view.clientWidth / 2, y: view.clientHeight / 2 };
  const x = (view.scrollLeft + at.x) / before, y = (view.scrollTop + at.y) / before;
  svg.setAttribute("width", size.width * zoom);
  svg.setAttribute("height", size.height * zoom);
  view.scrollTo(x * zoom - at.x, y * zoom - at.y);
  byId("scale").textContent = `${Math.round(zoom * 100)}%`;
}

function fit() {
  setZoom(Math.min((view.clientWidth - 4) / size.width, (view.clientHeight - 4) / size.height));
}

function layerButton(index) {
  const button = element("button", index < 0 ? "input" : data.layers[index].name, { type: "button", class: "layer" });
  if (index < 0) button.disabled = true;
  else button.addEventListener("click", () => choose(index));
  return button;
}

function fact(list, name, ...values) {
  const value = element("dd");
  value.append(...values);
  list.append(element("dt", name), value);
}

function tell(index) {
  const story = data.layers[index];
  panel.replaceChildren(element("h2", `${story.name}  ${story.label}`));
  if (story.row !== index) panel.append(element("p", `One of several equal copies; the row of the first, ${data.layers[story.row].name}, stands for it.`));
  for (const sentence of story.reasoning) panel.append(element("p", sentence));
  const list = element("dl");
  story.inputs.forEach(([, shape], position) => fact(list, "in", layerButton(story.sources[position]), ` ${shape}`));
  fact(list, "out", story.output);
  fact(list, "read by", ...(story.readers.length ? story.readers.map(layerButton) : ["the network's output"]));
  fact(list, "height×width", story.spatial);
  fact(list, "channels", story.channels);
  fact(list, "weights", story.weights.toLocaleString("en"));
  fact(list, "parameters", story.parameters.toLocaleString("en"));
  fact(list, "FLOPs", `${(2 * story.macs).toLocaleString("en")} (${story.macs.toLocaleString("en")} multiply-adds), ${story.share}`);
  if (!story.macs && story.bflops) fact(list, "as Darknet counts", `${story.bflops.toFixed(3)} BFLOPs`);
  if (story.receptive_field) fact(list, "receptive field", story.receptive_field);
  if (story.overlay) fact(list, data.overlay, story.overlay);
  panel.append(list, element("h3", `${story.source}, line ${story.section[0][0]}`));
  const text = element("pre");
  for (const [number, line] of story.section) text.append(element("span", number, { class: "number" }), `${line}\n`);
  const near = element("nav", undefined, { "aria-label": "Neighbors" });
  const close = element("button", "Close", { type: "button" });
  close.addEventListener("click", dismiss);
  if (index > 0) near.append(layerButton(index - 1));
  if (index + 1 < data.layers.length) near.append(layerButton(index + 1));
  near.append(close);
  panel.append(text, near);
  panel.hidden = false;
}

function dismiss() {
  panel.hidden = true;
  byId("found").textContent = "";
  mark(null);
  view.focus();
}

function mark(row) {
  svg.querySelectorAll("a").forEach((link) => link.classList.remove("chosen", "linked"));
  const paint = (index, name) => links.get(index)?.classList.add(name);
  const story = chosen === null || row === null ? null : data.layers[chosen];
  if (story) for (const index of [...story.sources, ...story.readers]) if (index >= 0) paint(data.layers[index].row, "linked");
  paint(row, "chosen");
  for (const edge of edges) edge.element.classList.toggle("near", row !== null && (edge.source === row || edge.target === row));
}

// A layer of a folded copy is shown by the row of the first copy.
function choose(index, focus = true) {
  chosen = index;
  const row = data.layers[index].row;
  tell(index);
  mark(row);
  const link = links.get(row);
  if (!link) return;
  if (focus) link.focus({ preventScroll: true });
  const fits = link.getBoundingClientRect().width <= view.clientWidth;
  link.scrollIntoView({ block: "center", inline: fits ? "center" : "start" });
  history.replaceState(null, "", `#L${index}`);
}

function step(by) {
  const at = chosen === null ? -1 : rows.indexOf(data.layers[chosen].row);
  const next = chosen === null ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  choose(rows[next]);
}

// Find: a number is a layer; anything else is looked for in labels, cells, reasons, and the cfg's own lines. No key has a ×.
let hits = [], hit = -1, asked = "";
const plain = (text) => text.toLowerCase().replaceAll("×", "x");
function search(text) {
  const words = plain(text.trim());
  const layer = /^l?(\d+)(?:\s|$)/.exec(words);
  if (layer && Number(layer[1]) < data.layers.length) return [Number(layer[1])];
  const holds = (story) => [story.label, story.kind, named(story.spatial), named(story.channels), ...story.reasoning, ...story.section.map((line) => line[1])];
  return words ? data.layers.filter((story) => holds(story).some((part) => plain(part).includes(words))).map((story) => story.index) : [];
}
// The signs of cells stand for words that one may look for.
const signs = { "▼": "reduced", "▲": "expanded" };
const named = (text) => Object.entries(signs).reduce((all, [sign, word]) => (text.includes(sign) ? `${all} ${word}` : all), text);
byId("query").addEventListener("input", () => {
  const text = byId("query").value;
  [hits, hit, asked] = [search(text), -1, text];
  const none = text.trim() ? "not found" : "";
  byId("found").textContent = hits.length ? `${hits.length} found` : none;
  svg.querySelectorAll("a").forEach((link) => link.classList.remove("found"));
  if (hits.length < rows.length) for (const index of hits) links.get(data.layers[index].row)?.classList.add("found");
});
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("query").value;
  if (text !== asked) [hits, hit, asked] = [search(text), -1, text];
  byId("found").textContent = hits.length ? "" : "not found";
  if (!hits.length) return;
  hit = (hit + 1) % hits.length;
  byId("found").textContent = `${hit + 1} of ${hits.length}`;
  if (zoom < 0.6) setZoom(0.8);
  choose(hits[hit], false);
});
for (const story of data.layers) byId("layers").append(element("option", undefined, { value: `${story.name} ${story.label}` }));

// A stage of the overview opens its layers.
overview?.querySelectorAll("a").forEach((link) => {
  link.setAttribute("role", "button");
  link.setAttribute("tabindex", "0");
  link.setAttribute("aria-label", link.querySelector("title").textContent);
});
overview?.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link) return;
  event.preventDefault();
  if (zoom < 0.6) setZoom(0.8);
  choose(number(link));
});

svg.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  const edge = edges.find((one) => one.element.contains(event.target));
  if (link) {
    event.preventDefault();
    choose(number(link));
  } else if (edge) {
    const back = chosen !== null && data.layers[chosen].row === edge.target && edge.source >= 0;
    choose(back ? edge.source : edge.target);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") return dismiss();
  if (event.target.closest("input, select")) return;
  const acts = {
    "/": () => byId("query").focus(),
    "+": () => setZoom(zoom * 1.25),
    "=": () => setZoom(zoom * 1.25),
    "-": () => setZoom(zoom / 1.25),
    "0": fit,
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
  };
  const link = event.target.closest("#view a, #overview a");
  if ((event.key === "Enter" || event.key === " ") && link) link.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
  else if (acts[event.key] && !(event.target.closest("aside") && event.key.startsWith("Arrow"))) acts[event.key]();
  else return;
  event.preventDefault();
});

view.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  const box = view.getBoundingClientRect();
  setZoom(zoom * Math.exp(-event.deltaY / 300), { x: event.clientX - box.left, y: event.clientY - box.top });
}, { passive: false });

// Drag to move, also across rows: a click is one that has not moved.
let grip = null, moved = false;
view.addEventListener("pointerdown", (event) => {
  moved = false;
  if (event.button === 0) grip = { x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop };
});
addEventListener("pointermove", (event) => {
  if (!grip || (!moved && Math.hypot(event.clientX - grip.x, event.clientY - grip.y) < 4)) return;
  moved = true;
  view.classList.add("dragged");
  view.scrollTo(grip.left - (event.clientX - grip.x), grip.top - (event.clientY - grip.y));
});
addEventListener("pointerup", () => { grip = null; view.classList.remove("dragged"); });
view.addEventListener("dragstart", (event) => event.preventDefault());
view.addEventListener("click", (event) => {
  if (!moved) return;
  moved = false;
  event.preventDefault();
  event.stopPropagation();
}, { capture: true });

byId("in").addEventListener("click", () => setZoom(zoom * 1.25));
byId("out").addEventListener("click", () => setZoom(zoom / 1.25));
byId("fit").addEventListener("click", fit);
byId("print").addEventListener("click", () => print());
if (data.follows && matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.dataset.theme = "dark";
byId("theme").value = document.documentElement.dataset.theme;
byId("theme").addEventListener("change", (event) => { document.documentElement.dataset.theme = event.target.value; });

// Text of 9 points stays at least 9 pixels high; the overview shows the whole.
setZoom(Math.min(1, Math.max(0.75, (view.clientWidth - 4) / size.width)));
view.scrollTo(0, 0);
const wanted = /^#L(\d+)$/.exec(location.hash);
if (wanted && Number(wanted[1]) < data.layers.length) {
  if (zoom < 0.6) setZoom(0.8);
  choose(Number(wanted[1]));
}
