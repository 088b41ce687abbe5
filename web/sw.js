// Stores the page for use offline, and adds the security policy to every response: a policy in <meta> does not bind workers.
// build.py writes the list of files with their hashes in front of this file:
//
//     const FILES = { "page.js": { hash: "sha256-…", size: 1234 }, … }, LATER = { … };
/* global FILES, LATER, POLICY, VERSION */

const CACHE = `darkparse-${VERSION}`;
const HEADERS = {
  "Content-Security-Policy": POLICY,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
};
const SCOPE = new URL("./", self.location.href);

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", (event) => {
  // After a forced reload no service worker controls a page until it asks.
  if (event.data === "claim") event.waitUntil(self.clients.claim());
});
self.addEventListener("fetch", (event) => event.respondWith(respond(event.request)));

async function install() {
  const cache = await caches.open(CACHE);
  const total = Object.values(FILES).reduce((sum, file) => sum + file.size, 0);
  let loaded = 0;
  await Promise.all(Object.keys(FILES).map(async (name) => {
    await store(cache, name, FILES[name].hash);
    loaded += FILES[name].size;
    for (const client of await self.clients.matchAll({ includeUncontrolled: true })) client.postMessage({ loaded, total });
  }));
}

async function activate() {
  for (const name of await caches.keys()) if (name.startsWith("darkparse-") && name !== CACHE) await caches.delete(name);
  await self.clients.claim();
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
  const file = FILES[name] ?? LATER[name];
  if (!file) return confine(await fetch(request));
  const cache = await caches.open(CACHE), key = new URL(name, SCOPE);
  if (!(await cache.match(key))) await store(cache, name, file.hash);
  return confine(await cache.match(key));
}

/** Add the policy to a response. */
function confine({ body, status, headers }) {
  return new Response(body, { status, headers: { ...Object.fromEntries(headers), ...HEADERS } });
}
