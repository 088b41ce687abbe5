// The service worker stores the page and adds the policy that keeps Python's worker from reaching other sites.
import { byId } from "./dom.js";

const UNABLE = "This page needs a service worker, which keeps what it runs from reaching other sites, and stores it for use offline. "
  + "This browser runs none here: open the page by https or from localhost, and not in a private window.";

/**
 * Wait until the service worker controls this page.
 * @param {(text: string) => void} report
 */
export async function serviceWorker(report) {
  const workers = navigator.serviceWorker;
  if (!workers) throw new Error(UNABLE);
  const bar = /** @type {HTMLProgressElement} */ (byId("progress"));
  let hasFailed = false;
  workers.addEventListener("message", ({ data: { loaded, total } }) => {
    if (hasFailed) return;
    bar.hidden = loaded === total;
    bar.value = loaded / total;
    report(`Loading darkparse, ${(loaded / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`);
  });
  const registration = await workers.register("sw.js").catch((problem) => {
    throw new Error(`${UNABLE} (${problem.message})`);
  });
  const failed = new Promise((_, reject) => {
    const worker = registration.installing;
    worker?.addEventListener("statechange", () => {
      if (worker.state !== "redundant") return;
      hasFailed = bar.hidden = true;
      reject(new Error("The page could not be loaded completely; reload it."));
    });
  });
  await Promise.race([workers.ready, failed]);
  if (workers.controller) return;
  const controlled = new Promise((resolve) => workers.addEventListener("controllerchange", resolve, { once: true }));
  registration.active?.postMessage("claim");
  await controlled;
}

/** Store what images need for use offline: ONNX Runtime. */
export async function storeRuntime() {
  const { port1, port2 } = new MessageChannel();
  const answer = new Promise((resolve) => { port1.onmessage = ({ data }) => resolve(data); });
  navigator.serviceWorker.controller?.postMessage("store", [port2]);
  const { error } = await answer;
  if (error) throw new Error(`ONNX Runtime could not be loaded: ${error}`);
}
