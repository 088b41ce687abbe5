// Links to the page: `#net=yolov4` for a network that ships with darkparse, `#name=my.cfg&text=…` with a whole cfg.

const MAX_CHARACTERS = 4_000_000; // what a short fragment may unpack to

const pipe = (data, stream) => new Blob([data]).stream().pipeThrough(stream);

/**
 * @param {string} text
 * @returns {Promise<string>} deflated, in base64url
 */
export async function pack(text) {
  const bytes = new Uint8Array(await new Response(pipe(text, new CompressionStream("deflate-raw"))).arrayBuffer());
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * @param {string} packed
 * @returns {Promise<string>}
 */
export async function unpack(packed) {
  const binary = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
  const reader = pipe(Uint8Array.from(binary, (char) => char.charCodeAt(0)), new DecompressionStream("deflate-raw"))
    .pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += part.value;
    if (text.length > MAX_CHARACTERS) {
      await reader.cancel();
      throw new Error("the text in the link is too long");
    }
  }
  return text;
}

/** @param {string} name @param {string} text */
export async function makeLink(name, text) {
  const url = new URL(location.href);
  url.hash = new URLSearchParams({ name, text: await pack(text) }).toString();
  return url.href;
}

/**
 * Read the fragment of the address.
 * @returns {Promise<{ net?: string, name?: string, text?: string }>}
 */
export async function readLink() {
  const values = new URLSearchParams(location.hash.slice(1));
  const net = values.get("net"), packed = values.get("text");
  if (net) return { net };
  if (!packed) return {};
  try {
    return { name: values.get("name") || "link.cfg", text: await unpack(packed) };
  } catch (problem) {
    throw new Error(`This link is damaged: ${problem.message}`);
  }
}
