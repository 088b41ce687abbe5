// The page: what is open, which view is shown, and files that are dropped, pasted, chosen or linked to.
import { byId, element } from "./dom.js";
import { Editor, listFindings } from "./editor.js";
import { Engine } from "./engine.js";
import { makeLink, readLink } from "./link.js";
import { serviceWorker } from "./offline.js";
import * as views from "./views.js";
import { weightsView } from "./weights.js";

const MAX_CFG_BYTES = 8_000_000;
/** @type {Record<"diagram" | "explanation" | "table" | "source" | "comparison" | "weights", [string, (context: any) => AsyncGenerator<Node[]>]>} */
const VIEWS = {
  diagram: ["Diagram", views.diagram], explanation: ["Explanation", views.explanation], table: ["Table", views.layerTable],
  source: ["Source", views.source], comparison: ["Compare", views.comparison], weights: ["Weights and images", weightsView],
};
const networkList = /** @type {HTMLSelectElement} */ (byId("networks"));
const networks = [...networkList.options].map((option) => option.value).filter(Boolean);

/**
 * What is open. `files` are those that a cfg may name (tree=, map=), by name.
 * @type {{ name: string, compiled: views.Cfg | null, other: { name: string, text: string } | null, files: Record<string, string>,
 *   weights: File | null, names: string[] | null, images: File[], view: keyof typeof VIEWS }}
 */
const state = { name: "", compiled: null, other: null, files: {}, weights: null, names: null, images: [], view: "diagram" };
let generation = 0;
const editor = new Editor(() => refresh());

const report = (text, isError = false) => {
  byId("status").textContent = text;
  byId("status").classList.toggle("error", isError);
};
const fail = (problem) => report(problem.message, true);
// An error stays until something else is opened.
const engine = new Engine(serviceWorker(report), (text) => byId("status").classList.contains("error") || report(text));

/** Check the text and draw the current view; a later call makes an earlier one stop. */
async function refresh() {
  const number = ++generation, isCurrent = () => number === generation;
  const cfg = { name: state.name || "pasted.cfg", text: editor.text, files: state.files };
  // Control characters and marks of direction may make a name look like another one.
  byId("file-name").textContent = cfg.name.replace(/\p{C}/gu, "?");
  if (!cfg.text.trim()) return;
  try {
    const { findings, network } = await engine.call("check", cfg);
    if (!isCurrent()) return;
    editor.mark(findings);
    listFindings(findings, editor);
    const count = (severity) => findings.filter((one) => one.severity === severity).length;
    const counts = `${count("error")} errors, ${count("warning")} warnings`;
    byId("summary").textContent = network ? `${network.totals}. Dialect ${network.dialect}. ${counts}.` : `${counts}. Does not compile.`;
    byId("link").toggleAttribute("disabled", false);
    state.compiled = network ? cfg : state.compiled;
    byId("panel").classList.toggle("stale", !network);
    if (network) await show(isCurrent);
    if (isCurrent()) report("");
  } catch (problem) {
    if (isCurrent()) fail(problem);
  }
}

/** Show the current view of the last text that compiled. */
async function show(isCurrent = () => true) {
  const cfg = state.compiled, view = state.view;
  for (const tab of byId("tabs").children) {
    const isChosen = tab.id === `tab-${view}`;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.setAttribute("tabindex", isChosen ? "0" : "-1");
  }
  byId("panel").setAttribute("aria-labelledby", `tab-${view}`);
  if (!cfg) return;
  const context = { engine, cfg, ...state, networks, showLine: (line) => editor.showLine(line, false), pickOther: () => pick(true),
    pickFiles: () => pick(false), chooseOther, report };
  for await (const parts of VIEWS[view][1](context)) {
    if (!isCurrent() || view !== state.view) return;
    byId("panel").replaceChildren(...parts);
  }
}

/** @param {keyof typeof VIEWS} name */
const showView = (name) => {
  state.view = name;
  show().catch(fail);
};

async function open(name, text) {
  Object.assign(state, { name, compiled: null });
  // Empty if the file is not that of a shipped network.
  const stem = name.replace(/\.cfg$/, "");
  networkList.value = networks.includes(stem) ? stem : "";
  byId("panel").replaceChildren();
  editor.text = text;
  await refresh();
}

const chooseNetwork = async (name) => {
  const { name: file, text } = await engine.call("shipped", { name });
  await open(file, text);
};
const chooseOther = async (name) => {
  state.other = await engine.call("shipped", { name });
  showView("comparison");
};

/** Open files of any kind that the page reads. @param {Iterable<File>} files */
async function take(files, isOther = false) {
  const images = [];
  let hasWeights = false, hasSideFiles = false;
  for (const file of files) {
    const ending = file.name.toLowerCase().split(".").pop() ?? "";
    if (file.type.startsWith("image/")) images.push(file);
    else if (ending === "tree" || ending === "map") {
      state.files = { ...state.files, [file.name]: await file.text() };
      hasSideFiles = true;
    } else if (ending === "names") state.names = (await file.text()).trimEnd().split(/\r?\n/);
    else if (ending === "cfg" || ending === "txt" || file.size < 1_000_000 && !["weights", "onnx", "pt", "npz", "h5", "safetensors"].includes(ending)) await takeCfg(file, isOther);
    else [state.weights, hasWeights] = [file, true];
  }
  if (hasSideFiles) await refresh();
  if (hasWeights || images.length) {
    if (images.length) state.images = images;
    state.view = "weights";
    if (!state.compiled) report("Now open the .cfg that belongs to it.");
    await show();
  }
}

async function takeCfg(file, isOther) {
  if (file.size > MAX_CFG_BYTES) throw new Error(`${file.name} is too large for a cfg`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  let latin1 = "";
  for (let start = 0; start < bytes.length; start += 8192) latin1 += String.fromCharCode(...bytes.subarray(start, start + 8192));
  const { text } = await engine.call("decode", { name: file.name, latin1 });
  if (!isOther) return open(file.name, text);
  // As the text field does with the first text.
  state.other = { name: file.name, text: text.replace(/\r\n?/g, "\n") };
  showView("comparison");
}

let picksOther = false;
function pick(isOther) {
  picksOther = isOther;
  byId("files").click();
}

function listen() {
  networkList.addEventListener("change", () => networkList.value && chooseNetwork(networkList.value).catch(fail));
  byId("open").addEventListener("click", () => pick(false));
  const files = /** @type {HTMLInputElement} */ (byId("files"));
  files.addEventListener("change", () => {
    take([...files.files ?? []], picksOther).catch(fail);
    files.value = "";
  });
  byId("link").addEventListener("click", async () => {
    await navigator.clipboard.writeText(await makeLink(state.name || "pasted.cfg", editor.text));
    report("Link copied. It contains the whole text.");
  });
  const theme = /** @type {HTMLSelectElement} */ (byId("theme"));
  theme.addEventListener("change", () => { document.documentElement.dataset.theme = theme.value; });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const isOther = state.view === "comparison" && byId("panel").contains(/** @type {Node} */ (event.target));
    take([...event.dataTransfer?.files ?? []], isOther).catch(fail);
  });
  addEventListener("paste", ({ clipboardData }) => clipboardData?.files.length && take([...clipboardData.files]).catch(fail));
  addEventListener("hashchange", () => follow().catch(fail));
  for (const [name, [title]] of Object.entries(VIEWS)) {
    const click = () => showView(/** @type {keyof typeof VIEWS} */ (name));
    byId("tabs").append(element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", click }, title));
  }
  byId("tabs").addEventListener("keydown", (event) => {
    const tabs = [...byId("tabs").children], step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = /** @type {HTMLElement} */ (tabs[(tabs.indexOf(/** @type {Element} */ (event.target)) + step + tabs.length) % tabs.length]);
    next.focus();
    next.click();
  });
}

/** Open what the address links to. */
async function follow() {
  const { net, name, text } = await readLink();
  if (net) await chooseNetwork(net);
  else if (text !== undefined) await open(name, text);
}

listen();
showView(state.view);
engine.ready.then(follow).then(() => (editor.text && !state.compiled ? refresh() : undefined)).catch(fail);
