// Copies the arrays of a .weights file into the ONNX graph that refers to them. The bytes are not read: they stay parts of
// the file until the browser saves the result.

const MODEL = { graph: 7, metadata: 14 };
const TENSOR = { raw: 9, external: 13, location: 14 };
const INITIALIZER = 5, BLOCK = 2;
const REFERENCE = "darkparse.weights";

/** @param {Uint8Array} data @param {number} at @returns {[number, number]} value and end */
function readInt(data, at) {
  let value = 0, scale = 1;
  for (;;) {
    const byte = data[at++];
    value += (byte & 127) * scale;
    if (byte < 128) return [value, at];
    scale *= 128;
  }
}

/** @param {number} value @returns {number[]} */
const encodeInt = (value) => (value < 128 ? [value] : [(value % 128) | 128, ...encodeInt(Math.floor(value / 128))]);

/** Yield number, wire type, bytes and content of each field of a message. @param {Uint8Array} message */
function* fields(message) {
  for (let at = 0; at < message.length;) {
    const start = at;
    let tag, size;
    [tag, at] = readInt(message, at);
    const wire = tag % 8;
    let begin = at;
    if (wire === 0) [, at] = readInt(message, at);
    else if (wire === BLOCK) {
      [size, begin] = readInt(message, at);
      at = begin + size;
    } else at += wire === 1 ? 8 : 4;
    yield { number: Math.floor(tag / 8), all: message.subarray(start, at), content: message.subarray(begin, at) };
  }
}

const opening = (number, size) => new Uint8Array([...encodeInt(number * 8 + BLOCK), ...encodeInt(size)]);
const sizeOf = (parts) => parts.reduce((sum, part) => sum + (part.size ?? part.length), 0);
const block = (number, parts) => [opening(number, sizeOf(parts)), ...parts];
const decoder = new TextDecoder();

/** Return key and value of an entry such as StringStringEntryProto. */
function entry(message) {
  const values = [...fields(message)].map(({ content }) => decoder.decode(content));
  return /** @type {[string, string]} */ ([values[0], values[1] ?? ""]);
}

/** Return a tensor with its values in place of the reference to them. */
function inlineTensor(tensor, file) {
  const all = [...fields(tensor)];
  const external = all.filter(({ number }) => number === TENSOR.external);
  if (!external.length) return [tensor];
  const place = Object.fromEntries(external.map(({ content }) => entry(content)));
  const start = Number(place.offset), end = start + Number(place.length);
  const kept = all.filter(({ number }) => number !== TENSOR.external && number !== TENSOR.location).map((field) => field.all);
  return [...kept, opening(TENSOR.raw, end - start), file.slice(start, end)];
}

/**
 * Return an ONNX file that needs no other file.
 * @param {Uint8Array} model  Graph that refers to the file.
 * @param {Blob} file  The .weights file.
 */
export function inlineWeights(model, file) {
  const parts = [];
  for (const { number, all, content } of fields(model)) {
    if (number === MODEL.metadata && entry(content)[0] === REFERENCE) continue;
    if (number !== MODEL.graph) parts.push(all);
    else parts.push(...block(number, [...fields(content)].flatMap((field) =>
      (field.number === INITIALIZER ? block(INITIALIZER, inlineTensor(field.content, file)) : [field.all]))));
  }
  return new Blob(parts, { type: "application/octet-stream" });
}
