// Images as Darknet reads and resizes them (darkparse/detect/preprocess.py), in single precision.

const round = Math.fround;
const GRAY = 0.5;

/**
 * @typedef {{ data: Uint8ClampedArray | Uint8Array, width: number, height: number }} Pixels  RGBA.
 * @typedef {{ size: [number, number], channels: number, resize: string, crop_first: boolean, exif: boolean,
 *   stays_in_letterbox: boolean }} Facts  Input of a network, from bridge.py.
 */

/**
 * Decode an image without a change of its colors.
 * @param {Blob} file
 * @param {boolean} exif  Apply the EXIF orientation.
 * @returns {Promise<Pixels>}
 */
export async function decode(file, exif) {
  const bitmap = await createImageBitmap(await orient(file, exif), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true }));
  context.drawImage(bitmap, 0, 0);
  /** @type {Pixels} */
  let { data } = context.getImageData(0, 0, width, height);
  // A canvas multiplies colors by alpha; Darknet ignores alpha.
  if (data.some((value, index) => index % 4 === 3 && value < 255)) data = readTexture(bitmap) ?? data;
  bitmap.close();
  return { data, width, height };
}

/** Read pixels that are partly transparent. */
function readTexture(bitmap) {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  const data = new Uint8Array(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  return gl.getError() === gl.NO_ERROR ? data : null;
}

/** Return a file that browsers show in its EXIF orientation, or as it is stored. @param {Blob} file @param {boolean} exif */
export const orient = async (file, exif) => (exif ? file : removeExif(file));

/**
 * Remove what makes a browser rotate an image: the APP1 segments of a JPEG, the eXIf chunk of a PNG; of a WebP the name of the chunk.
 * @param {Blob} file
 */
async function removeExif(file) {
  const bytes = new Uint8Array(await file.arrayBuffer()), view = new DataView(bytes.buffer);
  const kept = [];
  let at = 0;
  const keep = (end) => {
    kept.push(bytes.subarray(at, end));
    at = end;
  };
  if (view.byteLength > 4 && view.getUint16(0) === 0xffd8) {
    keep(2);
    // Up to the start of the scan, all segments have a length.
    while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
      const end = at + 2 + view.getUint16(at + 2);
      if (bytes[at + 1] === 0xe1) at = end;
      else keep(end);
    }
  } else if (view.byteLength > 8 && view.getUint32(0) === 0x89504e47) {
    keep(8);
    while (at + 12 <= bytes.length) {
      const end = at + 12 + view.getUint32(at);
      if (view.getUint32(at + 4) === 0x65584966) at = end;
      else keep(end);
    }
  } else if (view.byteLength > 12 && view.getUint32(0) === 0x52494646 && view.getUint32(8) === 0x57454250) {
    for (let chunk = 12; chunk + 8 <= bytes.length;) {
      const size = view.getUint32(chunk + 4, true);
      if (view.getUint32(chunk) === 0x45584946) bytes.fill(0x20, chunk, chunk + 4);
      chunk += 8 + size + (size % 2);
    }
  }
  keep(bytes.length);
  return new Blob(kept, { type: file.type });
}

/** Return the two neighbors of each new position, and their weights (image.c, resize_image). */
function axis(before, after, lastIsExact) {
  const step = after > 1 ? round(round(before - 1) / round(after - 1)) : 0;
  const first = new Int32Array(after), second = new Int32Array(after), near = new Float32Array(after), far = new Float32Array(after);
  for (let i = 0; i < after; i++) {
    const place = round(i * step), start = before === 1 ? 0 : Math.trunc(place);
    [first[i], near[i], far[i]] = [start, round(1 - round(place - start)), round(place - start)];
  }
  const last = after - 1;
  if (lastIsExact || after === 1) [first[last], near[last]] = [lastIsExact ? before - 1 : 0, 1];
  far[last] = 0;
  for (let i = 0; i < after; i++) {
    second[i] = Math.min(first[i] + 1, before - 1);
    first[i] = Math.min(Math.max(first[i], 0), before - 1);
  }
  return { first, second, near, far };
}

/** Return one channel of a part of an image, resized. */
function resizePlane(plane, width, height, newWidth, newHeight) {
  const columns = axis(width, newWidth, true), rows = axis(height, newHeight, false);
  const lines = new Float32Array(height * newWidth), out = new Float32Array(newHeight * newWidth);
  for (let y = 0; y < height; y++) {
    const source = y * width, target = y * newWidth;
    for (let x = 0; x < newWidth; x++) {
      lines[target + x] = round(plane[source + columns.first[x]] * columns.near[x]) + round(plane[source + columns.second[x]] * columns.far[x]);
    }
  }
  for (let y = 0; y < newHeight; y++) {
    const top = rows.first[y] * newWidth, bottom = rows.second[y] * newWidth;
    for (let x = 0; x < newWidth; x++) {
      out[y * newWidth + x] = round(lines[top + x] * rows.near[y]) + round(lines[bottom + x] * rows.far[y]);
    }
  }
  return out;
}

/** Return the channels of an image from 0 to 1: red, green and blue, or gray as stb_image computes it. */
function planes({ data, width, height }, channels) {
  if (channels !== 1 && channels !== 3) throw new Error(`this network takes ${channels} channels; the page reads images with 1 or 3`);
  const made = Array.from({ length: channels }, () => new Float32Array(width * height));
  for (let i = 0; i < width * height; i++) {
    if (channels === 3) for (let c = 0; c < 3; c++) made[c][i] = data[4 * i + c] / 255;
    else made[0][i] = ((data[4 * i] * 77 + data[4 * i + 1] * 150 + data[4 * i + 2] * 29) >> 8) / 255;
  }
  return made;
}

/** Cut out the largest square in the middle. */
function cropSquare({ data, width, height }) {
  const side = Math.min(width, height), left = Math.floor((width - side) / 2), top = Math.floor((height - side) / 2);
  const cut = new Uint8Array(4 * side * side);
  for (let y = 0; y < side; y++) cut.set(data.subarray(4 * ((top + y) * width + left), 4 * ((top + y) * width + left + side)), 4 * y * side);
  return { data: cut, width: side, height: side };
}

/**
 * Return height and width of the resized image, and where it lies in the input.
 * @param {Pixels} image
 * @param {Facts} facts
 */
function place({ width, height }, { size: [netHeight, netWidth], resize, crop_first }) {
  if (resize === "stretch" || (resize === "crop" && crop_first)) return { scaled: [netHeight, netWidth], top: 0, left: 0 };
  const byWidth = [Math.floor((height * netWidth) / width), netWidth], byHeight = [netHeight, Math.floor((width * netHeight) / height)];
  if (resize === "crop") {
    const scaled = width < height ? byWidth : [netHeight, Math.floor((width * netWidth) / height)];
    return { scaled, top: Math.trunc((netHeight - scaled[0]) / 2), left: Math.trunc((netWidth - scaled[1]) / 2) };
  }
  const scaled = round(netWidth / width) < round(netHeight / height) ? byWidth : byHeight;
  return { scaled, top: Math.floor((netHeight - scaled[0]) / 2), left: Math.floor((netWidth - scaled[1]) / 2) };
}

/**
 * Fit an image to the input of a network.
 * @param {Pixels} image
 * @param {Facts} facts
 * @returns {{ input: Float32Array, scaled: number[] }}  Channels, height, width; and the size of the image in it.
 */
export function fit(image, facts) {
  const [netHeight, netWidth] = facts.size;
  const source = facts.resize === "crop" && facts.crop_first ? cropSquare(image) : image;
  const { scaled: [height, width], top, left } = place(source, facts);
  const input = new Float32Array(facts.channels * netHeight * netWidth).fill(GRAY);
  if (!height || !width) return { input, scaled: [height, width] };
  const clamp = (value, end) => Math.min(Math.max(value, 0), end - 1);
  planes(source, facts.channels).forEach((plane, channel) => {
    const resized = resizePlane(plane, source.width, source.height, width, height);
    for (let y = 0; y < netHeight; y++) {
      for (let x = 0; x < netWidth; x++) {
        const isInside = y >= top && y < top + height && x >= left && x < left + width;
        // Outside, a crop repeats the edge.
        if (isInside || facts.resize === "crop") {
          input[(channel * netHeight + y) * netWidth + x] = resized[clamp(y - top, height) * width + clamp(x - left, width)];
        }
      }
    }
  });
  return { input, scaled: [height, width] };
}

/**
 * Convert rows of `detections` to boxes in fractions of the image (yolo_layer.c, correct_yolo_boxes).
 * @param {Float32Array} rows  Image, class, score, center x, center y, width, height.
 * @param {Facts} facts
 * @param {number[]} scaled
 */
export function toBoxes(rows, { size: [netHeight, netWidth], stays_in_letterbox }, [height, width]) {
  const boxes = [];
  for (let at = 0; at < rows.length && height && width; at += 7) {
    const [, label, score, x, y, w, h] = rows.subarray(at, at + 7);
    const box = stays_in_letterbox ? [x, y, w, h] : [
      (x - (netWidth - width) / 2 / netWidth) / (width / netWidth), (y - (netHeight - height) / 2 / netHeight) / (height / netHeight),
      w * (netWidth / width), h * (netHeight / height),
    ];
    if (box.every(Number.isFinite)) boxes.push({ label, score, box });
  }
  return boxes;
}
