// Weights and images.
import { element } from "./dom.js";

/** @param {any} context */
export async function* weightsView() {
  yield [element("p", {}, "Drop a .weights file for this network to see what it holds.")];
}
