// Packs the Python files of the page: those that a first diagram imports are compiled by the same Python, because compiling
// them in the browser takes longer than everything else; the others stay text, which is smaller.
//
//     node compile.mjs BUNDLE.zip OUT_BUNDLE.zip OUT_STDLIB.zip
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { loadPyodide } from "pyodide";

const [bundle, ...outputs] = process.argv.slice(2);
const stdlib = fileURLToPath(new URL("python_stdlib.zip", import.meta.resolve("pyodide")));
const pyodide = await loadPyodide();
pyodide.FS.writeFile("/bundle.zip", readFileSync(bundle));
pyodide.FS.writeFile("/stdlib.zip", readFileSync(stdlib));
pyodide.runPython(readFileSync(new URL("pack.py", import.meta.url), "utf8"));
writeFileSync(outputs[0], pyodide.FS.readFile("/out_bundle.zip"));
writeFileSync(outputs[1], pyodide.FS.readFile("/out_stdlib.zip"));
