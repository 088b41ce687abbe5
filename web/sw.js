// Stores the page for use offline, and adds the security policy to every response: a policy in <meta> does not bind workers.
// build.py writes the list of files with their hashes in front of this file:
//
//     const FILES = { "page.js": { hash: "sha256-…", size: 1234 }, … }, LATER = { … };
const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const CACHE = `darkparse-${VERSION}`;
const HEADERS = {
  "Content-Security-Policy": POLICY,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
};
const SCOPE = new URL("./", self.location.href);

worker.addEventListener("install", (event) => event.waitUntil(install()));
worker.addEventListener("activate", (event) => event.waitUntil(activate()));
worker.addEventListener("message", (event) => {
  // After a forced reload no service worker controls a page until it asks.
  if (event.data === "claim") event.waitUntil(worker.clients.claim());
  if (event.data === "store") event.waitUntil(storeLater(event.ports[0]));
});
worker.addEventListener("fetch", (event) => event.respondWith(respond(event.request)));

async function install() {
  const cache = await caches.open(CACHE);
  const total = Object.values(FILES).reduce((sum, file) => sum + file.size, 0);
  let loaded = 0;
  await Promise.all(Object.keys(FILES).map(async (name) => {
    await store(cache, name, FILES[name].hash);
    loaded += FILES[name].size;
    for (const client of await worker.clients.matchAll({ includeUncontrolled: true })) client.postMessage({ loaded, total });
  }));
}

async function activate() {
  for (const name of await caches.keys()) if (name.startsWith("darkparse-") && name !== CACHE) await caches.delete(name);
  await worker.clients.claim();
}

/** Store what images need, and report when that is done. @param {MessagePort} port */
async function storeLater(port) {
  try {
    const cache = await caches.open(CACHE);
    await Promise.all(Object.keys(LATER).map((name) => find(cache, name)));
    port.postMessage({});
  } catch (problem) {
    port.postMessage({ error: problem.message });
  }
}

/** Load a file of this version, checked by its hash. */
async function store(cache, name, hash) {
  const url = new URL(name, SCOPE);
  const response = await fetch(url, { integrity: hash, cache: "no-cache", redirect: "error" });
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  await cache.put(url, response);
}

async function respond(request) {
  const url = new URL(request.url);
  if (url.origin !== SCOPE.origin || request.method !== "GET") return Response.error();
  const name = url.pathname.startsWith(SCOPE.pathname) ? url.pathname.slice(SCOPE.pathname.length) || "index.html" : "";
  if (!(name in FILES || name in LATER)) return confine(await fetch(request));
  return confine(await find(await caches.open(CACHE), name));
}

/** Return a stored file, which is loaded if it is missing. */
async function find(cache, name) {
  const key = new URL(name, SCOPE);
  if (!(await cache.match(key))) await store(cache, name, (FILES[name] ?? LATER[name]).hash);
  return cache.match(key);
}

/** Add the policy to a response. */
function confine({ body, status, headers }) {
  return new Response(body, { status, headers: { ...Object.fromEntries(headers), ...HEADERS } });
}
