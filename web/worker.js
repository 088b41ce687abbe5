// Python, in a worker: loads Pyodide and darkparse, then answers calls of bridge.py's methods.
import { loadPyodide } from "./vendor/pyodide.mjs";

/** Whether the policy that the service worker adds is in force here; without it a cfg could reach other sites. */
function isConfined() {
  try {
    new Function("return 1")();
    return false;
  } catch {
    return true;
  }
}

/** @type {Promise<{ FS: any, bridge: any }>} */
const started = start();
started.then(() => postMessage({ ready: true }), (problem) => postMessage({ failed: `Python could not be started: ${problem.message}` }));

async function start() {
  if (!isConfined()) throw new Error("the page's security policy is not in force; reload the page");
  postMessage({ loading: "Starting Python" });
  const base = new URL("vendor/", import.meta.url).href;
  const [pyodide, bundle] = await Promise.all([
    loadPyodide({
      indexURL: base,
      stdLibURL: `${base}stdlib.zip`,
      packageBaseUrl: base,
      lockFileContents: fetch(`${base}lock.json`).then((response) => response.text()),
    }),
    fetch("bundle.zip").then((response) => response.arrayBuffer()),
  ]);
  postMessage({ loading: "Loading darkparse" });
  pyodide.unpackArchive(bundle, "zip", { extractDir: "/bundle" });
  pyodide.runPython("import sys; sys.path.insert(0, '/bundle')");
  pyodide.FS.mkdir("/weights");
  return { FS: pyodide.FS, bridge: pyodide.pyimport("bridge") };
}

/** @type {{ file: File, path: string } | null} */
let held = null;

/** Give Python a file and return its path. The bytes are not copied until Python reads them. @param {File} file */
async function hold(FS, file) {
  const { name, size, lastModified } = held?.file ?? {};
  if (held && name === file.name && size === file.size && lastModified === file.lastModified) return held.path;
  const bytes = new Uint8Array(await file.arrayBuffer());
  for (const old of FS.readdir("/weights")) if (!old.startsWith(".")) FS.unlink(`/weights/${old}`);
  held = { file, path: `/weights/${file.name.replace(/[\/\0]/g, "_")}` };
  FS.writeFile(held.path, bytes, { canOwn: true });
  return held.path;
}

onmessage = async ({ data: { id, method, parameters, file } }) => {
  try {
    const { FS, bridge } = await started;
    const path = file ? { path: await hold(FS, file) } : {};
    const answer = JSON.parse(bridge.call(method, JSON.stringify({ ...parameters, ...path })));
    if (answer.error !== undefined) return postMessage({ id, error: answer.error });
    const { result } = answer;
    if (method === "graph") {
      result.graph = FS.readFile(result.path);
      FS.unlink(result.path);
    }
    postMessage({ id, result });
  } catch (problem) {
    const lines = String(problem.message ?? problem).trim().split("\n");
    postMessage({ id, error: `Internal error: ${lines[lines.length - 1]}` });
  }
};
