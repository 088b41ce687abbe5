// View of weights and images: what a file holds or why it does not fit, ONNX files, and boxes.
import { element, getContext, megabytes, save, table } from "./dom.js";
import { orient } from "./image.js";
import { storeRuntime } from "./offline.js";
import { inlineWeights } from "./onnx.js";

const MAX_QUIET_BFLOPS = 20; // above, an image takes so long that the page asks first
const BFLOPS_PER_SECOND = 6; // of one WebAssembly thread; a server core of 2023 computes 11
const HEADS = { nms: "boxes after suppression", decoded: "all boxes", raw: "outputs of the heads" };

const button = (text, click) => element("button", { type: "button", click }, text);

/** Client of the worker that runs networks. */
class Runner {
  constructor() {
    this.worker = new Worker("boxes.js", { type: "module" });
    this.calls = new Map();
    this.worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.calls.get(id);
      this.calls.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    this.worker.onerror = (event) => this.calls.forEach(({ reject }) => reject(new Error(event.message || "ONNX Runtime could not be started")));
  }

  call(method, parameters) {
    const id = Math.random();
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.worker.postMessage({ id, method, parameters });
    });
  }
}

/** @type {{ runner: Runner, key: string, weights: File } | null} */
let current = null;

/** Return a runner that has loaded this network with these weights. */
async function getRunner(facts, cfg, weights, names) {
  const key = JSON.stringify([cfg, names]);
  if (current?.key === key && current.weights === weights) return current.runner;
  current?.runner.worker.terminate();
  const runner = new Runner();
  current = { runner, key, weights };
  try {
    await runner.call("load", { facts, weights });
  } catch (problem) {
    current = null;
    throw problem;
  }
  return runner;
}

/** @param {any} context */
export async function* weightsView(context) {
  const { engine, cfg, weights, names, images, pickFiles } = context;
  const tools = element("div", { class: "tools" }, button("Open weights and images …", pickFiles));
  if (!weights) {
    tools.append(...offlineTools(context));
    yield [tools, element("p", {}, `Drop the .weights file of ${cfg.name} to see what it holds, to save it as ONNX, and to find objects in images.`)];
    return;
  }
  storeRuntime().catch(() => {}); // without it, the first image reports the problem
  yield [tools, element("p", { class: "wait" }, `Reading ${weights.name}, ${megabytes(weights.size)} …`)];
  const report = await engine.call("weights", cfg, { file: weights });
  const verdict = element("pre", { class: `report ${report.fits ? "" : "error"}`, role: "region", "aria-label": "Report on the weights", tabindex: 0 }, report.message);
  const place = element("div", { id: "images" });
  const parts = [tools, verdict, element("p", {}, [`Dialect ${report.dialect}.`, report.header && `Header: ${report.header}.`].filter(Boolean).join(" "))];
  const rows = report.rows.map((row) => [`L${row.layer}`, row.kind, row.tensor, row.shape, row.floats.toLocaleString("en"), row.offset.toLocaleString("en"),
    row.in_file === row.floats ? "" : row.in_file ? `cut after ${row.in_file.toLocaleString("en")}` : "missing"]);
  const arrays = element("details", { open: !report.fits }, element("summary", {}, `${rows.length} arrays`),
    table("Arrays in file order", ["layer", "kind", "tensor", "shape", "floats", "offset in bytes", "in the file"], rows, (number) => (rows[number][6] ? "error" : null)));
  if (report.fits) parts.push(exportTools(context), place);
  yield [...parts, arrays];
  if (!report.fits) return;
  if (!images.length) {
    place.append(element("p", {}, "Drop images to find objects in them."));
    return;
  }
  const facts = await engine.call("graph", { ...cfg, heads: report.detects ? "nms" : "raw", names }, { file: weights });
  const start = async () => {
    place.replaceChildren(element("p", { class: "wait" }, "Loading ONNX Runtime …"));
    const runner = await getRunner(facts, cfg, weights, names);
    const shown = images.map((image) => element("figure", { class: "image" }, element("figcaption", {}, `${image.name} …`)));
    place.replaceChildren(...shown);
    for (const [number, image] of images.entries()) await runImage(runner, image, facts.exif, shown[number]);
  };
  if (facts.bflops <= MAX_QUIET_BFLOPS) await start();
  else {
    const seconds = Math.ceil(facts.bflops / BFLOPS_PER_SECOND);
    place.append(element("p", {}, `One image needs ${facts.bflops.toFixed(0)} BFLOPs, about ${seconds} s in the browser.`),
      button(`Run ${images.length === 1 ? "it" : `all ${images.length}`}`, () => start().catch((problem) => context.report(problem.message, true))));
  }
}

/** A button that makes images work offline before weights are opened. */
function offlineTools({ report }) {
  const state = element("span", { role: "status" });
  const store = async () => {
    state.textContent = "Loading …";
    try {
      await storeRuntime();
      state.textContent = "Stored. Images work offline, too.";
    } catch (problem) {
      state.textContent = "";
      report(problem.message, true);
    }
  };
  return [button("Store what images need offline", store), state];
}

/** Buttons that save the network as ONNX. */
function exportTools({ engine, cfg, weights, names, report }) {
  const select = /** @type {HTMLSelectElement} */ (element("select", { id: "heads" }, ...Object.entries(HEADS).map(([value, text]) => element("option", { value }, text))));
  const make = async (write) => {
    try {
      const facts = await engine.call("graph", { ...cfg, heads: select.value, names }, { file: weights });
      write(facts);
    } catch (problem) {
      report(problem.message, true);
    }
  };
  const whole = () => make(({ file, graph }) => save(file, inlineWeights(graph, weights)));
  const beside = () => make(({ file, graph }) => save(file.replace(/\.onnx$/, ".graph.onnx"), new Blob([graph])));
  return element("div", { class: "tools" }, element("label", {}, "ONNX with ", select), button("Save one file", whole),
    button(`Save the graph alone, to lie beside ${weights.name}`, beside));
}

/** Run the network on an image and show what it finds. */
async function runImage(runner, image, exif, figure) {
  try {
    const { boxes, width, height, seconds } = await runner.call("run", { image });
    const bitmap = await createImageBitmap(await orient(image, exif));
    const canvas = draw(image.name, bitmap, boxes, width, height);
    const rows = boxes.map(({ name, score, box }) => [name, `${(100 * score).toFixed(1)}%`, box ? pixels(box, width, height) : ""]);
    const found = boxes.length ? table(`${boxes.length} found in ${seconds.toFixed(1)} s`, ["class", "score", "left, top, right, bottom"], rows)
      : element("p", {}, `Nothing found in ${seconds.toFixed(1)} s.`);
    figure.replaceChildren(element("figcaption", {}, image.name), canvas, found);
    // For programs that read the page.
    figure.dataset.boxes = JSON.stringify(boxes);
  } catch (problem) {
    figure.replaceChildren(element("figcaption", { class: "error" }, `${image.name}: ${problem.message}`));
  }
}

const corners = ([x, y, w, h], width, height) => [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height];
const pixels = (box, width, height) => corners(box, width, height).map((value) => value.toFixed(0)).join(", ");

function draw(name, bitmap, boxes, width, height) {
  const label = `${name} with ${boxes.length} boxes`;
  const canvas = /** @type {HTMLCanvasElement} */ (element("canvas", { width, height, role: "img", "aria-label": label }));
  const context = getContext(canvas), line = Math.max(2, Math.round(height * 0.006)), high = Math.max(14, height * 0.035);
  context.drawImage(bitmap, 0, 0, width, height);
  Object.assign(context, { lineWidth: line, font: `${Math.max(12, height * 0.03)}px Arial, sans-serif`, textBaseline: "bottom" });
  for (const { label: number, name, score, box } of boxes.filter((one) => one.box)) {
    const [left, top, right, bottom] = corners(box, width, height);
    context.strokeStyle = `hsl(${(number * 47) % 360} 80% 45%)`;
    context.strokeRect(left, top, right - left, bottom - top);
    const text = `${name} ${(100 * score).toFixed(0)}%`, x = Math.max(0, left), y = Math.max(high, top);
    context.fillStyle = "#212529";
    context.fillRect(x, y - high, context.measureText(text).width, high);
    context.fillStyle = "#FFFFFF";
    context.fillText(text, x, y);
  }
  return canvas;
}
