// Client of the Python worker: calls with a time limit. What does not answer in time is ended, and a new worker is started.

const LIMIT = 10_000; // ms, for one view of a cfg
const WEIGHTS_LIMIT = 120_000; // ms, for files of hundreds of megabytes

/** An error whose message is for the user. */
export class Refused extends Error {}

export class Engine {
  /**
   * @param {Promise<void>} permitted  Resolves when Python may start.
   * @param {(state: string) => void} report  Called with what is being loaded; empty when Python is ready.
   */
  constructor(permitted, report) {
    this.permitted = permitted;
    this.report = report;
    this.number = 0;
    this.calls = new Map();
    /** @type {Worker | null} */
    this.worker = null;
    this.ready = this.#start();
  }

  #start() {
    const ready = this.permitted.then(() => this.#load());
    ready.then(() => this.report(""), () => {});
    return ready;
  }

  #load() {
    const worker = this.worker = new Worker("worker.js", { type: "module" });
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => {
        if (data.loading !== undefined) this.report(data.loading);
        else if (data.failed) reject(new Refused(data.failed));
        else if (data.ready) resolve(undefined);
        else this.finish(data);
      };
      worker.onerror = (event) => reject(new Refused(`Python could not be started: ${event.message ?? "its worker failed"}`));
    });
  }

  finish({ id, result, error }) {
    const call = this.calls.get(id);
    if (!call) return;
    this.calls.delete(id);
    clearTimeout(call.timer);
    if (error === undefined) call.resolve(result);
    else call.reject(new Refused(error));
  }

  /**
   * Call a method of bridge.py. Calls run one after the other, and each has its own time.
   * @param {string} method
   * @param {Record<string, unknown>} parameters
   * @param {{ limit?: number, file?: File }} [options]  A file is given as the parameter `path`.
   * @returns {Promise<any>}
   */
  async call(method, parameters, { limit = LIMIT, file } = {}) {
    const previous = this.last ?? Promise.resolve();
    const result = previous.catch(() => {}).then(() => this.#send(method, parameters, limit, file));
    this.last = result;
    return result;
  }

  async #send(method, parameters, limit, file) {
    await this.ready;
    return new Promise((resolve, reject) => {
      const id = ++this.number;
      const allowed = file ? WEIGHTS_LIMIT : limit;
      const timer = setTimeout(() => this.#restart(reject, allowed), allowed);
      this.calls.set(id, { resolve, reject, timer });
      this.worker?.postMessage({ id, method, parameters, file });
    });
  }

  #restart(reject, limit) {
    this.worker?.terminate();
    reject(new Refused(`This took longer than ${limit / 1000} s and was stopped.`));
    this.ready = this.#start();
  }
}
