// Names that build.py adds: the files of npm packages, and constants in front of the service worker.
declare module "*/vendor/pyodide.mjs" {
  export * from "pyodide";
}
declare module "*/vendor/ort.wasm.bundle.min.mjs" {
  export * from "onnxruntime-web";
}
declare const FILES: Record<string, { hash: string, size: number }>;
declare const LATER: typeof FILES;
declare const POLICY: string;
declare const VERSION: string;
