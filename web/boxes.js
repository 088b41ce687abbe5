// Runs a network on images, in a worker.
import * as ort from "./vendor/ort.wasm.bundle.min.mjs";
import { decode, fit, toBoxes } from "./image.js";

const TOP = 5; // classes of a classifier

ort.env.wasm.numThreads = 1;
// The JavaScript beside it is part of the bundle.
ort.env.wasm.wasmPaths = { wasm: new URL("vendor/ort-wasm-simd-threaded.wasm", import.meta.url).href };

/** @type {{ session: any, facts: any }} */
let loaded;

/** Load a graph whose arrays are in a .weights file. */
async function load({ facts, weights }) {
  const data = new Uint8Array(await weights.arrayBuffer());
  const session = await ort.InferenceSession.create(facts.graph, { executionProviders: ["wasm"], externalData: [{ path: facts.weights, data }] });
  loaded = { session, facts };
  return {};
}

async function run({ image }) {
  const { session, facts } = loaded, start = performance.now();
  const pixels = await decode(image, facts.exif);
  const { input, scaled } = fit(pixels, facts);
  const [height, width] = facts.size;
  const feeds = { [session.inputNames[0]]: new ort.Tensor("float32", input, [1, facts.channels, height, width]) };
  const [output] = Object.values(await session.run(feeds));
  const values = /** @type {Float32Array} */ (output.data);
  const boxes = facts.detects ? toBoxes(values, facts, scaled) : rank(values, facts);
  const named = boxes.map((one) => ({ ...one, name: facts.names[one.label] ?? `class ${one.label}` }));
  return { boxes: named, width: pixels.width, height: pixels.height, seconds: (performance.now() - start) / 1000 };
}

/** Return the best classes of a classifier; those of a word tree are multiplied along it (postprocess.py, apply_tree). */
function rank(values, { parents, leaves_only }) {
  const scores = values.slice();
  parents.forEach((parent, node) => {
    if (parent >= 0) scores[node] *= scores[parent];
  });
  if (leaves_only) for (const parent of parents) if (parent >= 0) scores[parent] = 0;
  const order = [...scores.keys()].filter((index) => Number.isFinite(scores[index])).sort((a, b) => scores[b] - scores[a] || a - b);
  return order.slice(0, TOP).map((label) => ({ label, score: scores[label], box: null }));
}

onmessage = async ({ data: { id, method, parameters } }) => {
  try {
    postMessage({ id, result: await { load, run }[method](parameters) });
  } catch (problem) {
    postMessage({ id, error: String(problem.message ?? problem) });
  }
};
