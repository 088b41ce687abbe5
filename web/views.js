// The views of a cfg: each asks the engine and returns the elements of a panel.
import { Diagram } from "./diagram.js";
import { element, getContext, save, table } from "./dom.js";

/**
 * What a view works with.
 * @typedef {{ name: string, text: string, files: Record<string, string> }} Cfg
 * @typedef {{ engine: import("./engine.js").Engine, cfg: Cfg, showLine: (line: number) => void,
 *   other: { name: string, text: string } | null, pickOther: () => void, networks: string[], chooseOther: (name: string) => void }} Context
 */

const button = (text, click) => element("button", { type: "button", click }, text);
const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const theme = () => document.documentElement.dataset.theme || (isDark() ? "dark" : "light");

/** Overview first; the layers follow when they are drawn. @param {Context} context */
export async function* diagram({ engine, cfg, showLine }) {
  const report = element("aside", { id: "layer", "aria-live": "polite", "aria-label": "Layer" }, "Choose a layer to see what it does.");
  const place = element("div", { id: "layers" }, element("p", { class: "wait" }, "Drawing the layers …"));
  /** @type {Diagram | null} */
  let layers = null;
  let rows = {};
  const choose = async (index) => {
    layers?.show(rows[index] ?? index);
    const facts = await engine.call("layer", { ...cfg, index });
    report.replaceChildren(...describeLayer(facts, choose));
    showLine(facts.section[0][0]);
  };
  const { svg } = await engine.call("overview", cfg);
  const overview = new Diagram("Overview: one box per stage", svg, choose);
  overview.element.id = "overview";
  const body = element("div", { id: "diagrams" }, overview.element, place, report);
  yield [body];
  overview.fitWidth(0.3, 1);
  const drawn = await engine.call("layers", cfg);
  rows = drawn.rows;
  const made = layers = new Diagram("Layers: one row per layer", drawn.svg, choose);
  const download = async (form) => {
    const { file, text } = await engine.call("download", { ...cfg, form, theme: theme() });
    save(file, new Blob([text], { type: form === "svg" ? "image/svg+xml" : "text/html" }));
  };
  const png = async () => {
    const { file, text } = await engine.call("download", { ...cfg, form: "svg", theme: theme() });
    save(file.replace(/svg$/, "png"), await rasterize(text));
  };
  const tools = element("div", { class: "tools", role: "group", "aria-label": "Diagram" }, ...made.tools(),
    button("SVG", () => download("svg")), button("PNG", png), button("HTML", () => download("html")));
  place.replaceChildren(tools, made.element);
  made.fitWidth(0.75, 1);
}

function describeLayer(facts, choose) {
  const link = (index) => (index < 0 ? "the input" : button(`L${index}`, () => choose(index)));
  const rows = [
    ...facts.inputs.map(([, shape], number) => ["in", shape, link(facts.sources[number])]),
    ["out", facts.output, element("span", {}, ...(facts.readers.length ? facts.readers.slice(0, 20).map(link) : ["the network's output"]))],
    ["height×width", facts.spatial], ["channels", facts.channels],
    ["parameters", facts.parameters.toLocaleString("en")],
    ["multiply-adds", `${facts.macs.toLocaleString("en")}, ${facts.share}`],
    ...(facts.receptive_field ? [["receptive field", facts.receptive_field]] : []),
  ];
  return [
    element("h3", {}, `L${facts.index} ${facts.label}`),
    ...facts.reasoning.map((sentence) => element("p", {}, sentence)),
    element("dl", {}, ...rows.flatMap(([name, ...values]) => [element("dt", {}, name), element("dd", {}, ...values.flatMap((value) => [value, " "]))])),
  ];
}

/** Draw an SVG as PNG at twice its size, at most 8192 pixels a side. @param {string} svg */
async function rasterize(svg) {
  const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const image = new Image();
  image.src = url;
  await image.decode();
  const scale = Math.min(2, 8192 / image.width, 8192 / image.height);
  const canvas = /** @type {HTMLCanvasElement} */ (element("canvas", { width: Math.ceil(image.width * scale), height: Math.ceil(image.height * scale) }));
  getContext(canvas).drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  return new Promise((resolve) => canvas.toBlob(resolve));
}

/** @param {Context} context */
export async function* explanation({ engine, cfg }) {
  const { paragraphs, cards } = await engine.call("explain", cfg);
  const text = paragraphs.map(({ lines, is_list }) =>
    (is_list ? element("ul", {}, ...lines.map((line) => element("li", {}, line))) : element("p", {}, lines.join(" "))));
  const tables = cards.map(({ heading, rows }) => {
    const body = rows.flatMap(({ cells, tones, notes }) => [
      element("tr", {}, ...cells.map((cell, column) => element("td", { class: tones[column - 2] }, cell))),
      ...notes.map((note) => element("tr", {}, element("td"), element("td", { colspan: 4, class: note.saves ? "saves" : "costs" }, note.text))),
    ]);
    const made = table(heading, ["layer", "kind", "height×width", "channels", "weights"], []);
    made.tBodies[0].append(...body);
    return made;
  });
  yield [...text, ...tables];
}

/** @param {Context} context */
export async function* layerTable({ engine, cfg }) {
  const { rows, totals } = await engine.call("show", cfg);
  const heads = ["layer", "kind", "input", "output", "parameters", "BFLOPs", "reduces"];
  const cells = rows.map((row) => [`L${row.index}`, row.layer, row.input, row.output, row.params ? row.params.toLocaleString("en") : "",
    row.bflops ? row.bflops.toFixed(3) : "", row.reduction]);
  const csv = [heads, ...cells].map((line) => line.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(",")).join("\n");
  yield [
    element("div", { class: "tools" }, button("CSV", () => save(cfg.name.replace(/\.\w+$/, "") + ".csv", new Blob([csv], { type: "text/csv" })))),
    table(totals, heads, cells, (number) => (rows[number].reduces ? "reduces" : null)),
  ];
}

/** @param {Context} context */
export async function* source({ engine, cfg }) {
  const { text, file } = await engine.call("source", cfg);
  const copied = element("span", { role: "status" });
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    copied.textContent = "copied";
  };
  yield [
    element("div", { class: "tools" }, button("Copy", copy), button("Save", () => save(file, new Blob([text], { type: "text/x-python" }))), copied),
    element("pre", { class: "source", tabindex: 0, "aria-label": "PyTorch source", role: "region" }, text),
  ];
}

/** @param {Context} context */
export async function* comparison({ engine, cfg, other, pickOther, networks, chooseOther }) {
  const change = ({ target }) => target.value && chooseOther(target.value);
  const select = element("select", { change },
    element("option", { value: "" }, "choose …"), ...networks.map((name) => element("option", {}, name)));
  const tools = element("div", { class: "tools" }, element("label", {}, "Compare with ", select), button("Open another cfg …", pickOther));
  if (!other) {
    yield [tools, element("p", {}, "Choose the network to compare with; the differences are listed and marked.")];
    return;
  }
  const result = await engine.call("compare", { ...cfg, other_name: other.name, other_text: other.text });
  const heading = element("h3", {}, `${other.name} → ${cfg.name}`);
  if (result.same) {
    yield [tools, heading, element("p", {}, "The same network.")];
    return;
  }
  const view = new Diagram("Both networks, with their differences marked", result.svg, null);
  const rows = result.layers.map((one) => [`${one.sign} ${one.place}`, one.layer, one.changes.join(", ")]);
  yield [tools, heading, element("ul", {}, ...result.totals.map((total) => element("li", {}, total))),
    table(rows.length === 1 ? "1 layer differs" : `${rows.length} layers differ`, ["layer", "kind", "what changed"], rows),
    element("div", { class: "tools" }, ...view.tools()), view.element];
  view.fitWidth(0.6, 1);
}
