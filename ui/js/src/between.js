// Shape-based interpolation: between two outlined slices, the zero level of their signed distances
// (Raya & Udupa 1990, doi:10.1109/42.52980; exact distances after Felzenszwalb & Huttenlocher 2012,
// doi:10.4086/toc.2012.v008a019).

const FAR = 1e20;

/** Lower envelope of parabolas: squared distances along one line, in place. */
function transformLine(values, start, step, length, line, tops, bounds) {
  for (let q = 0; q < length; q++) line[q] = values[start + q * step];
  let k = 0;
  tops[0] = 0;
  bounds[0] = -Infinity;
  bounds[1] = Infinity;
  for (let q = 1; q < length; q++) {
    let cross;
    do {
      const r = tops[k];
      cross = (line[q] - line[r] + q * q - r * r) / (2 * (q - r));
    } while (cross <= bounds[k] && --k > -1);
    k++;
    tops[k] = q;
    bounds[k] = cross;
    bounds[k + 1] = Infinity;
  }
  k = 0;
  for (let q = 0; q < length; q++) {
    while (bounds[k + 1] < q) k++;
    values[start + q * step] = (q - tops[k]) ** 2 + line[tops[k]];
  }
}

function distances(mask, width, height) {
  const squared = Float64Array.from(mask, (inside) => (inside ? 0 : FAR));
  const longest = Math.max(width, height);
  const work = [new Float64Array(longest), new Int32Array(longest), new Float64Array(longest + 1)];
  for (let x = 0; x < width; x++) transformLine(squared, x, width, height, ...work);
  for (let y = 0; y < height; y++) transformLine(squared, y * width, 1, width, ...work);
  return squared.map(Math.sqrt);
}

/** Distance in pixels to the outline of a mask: negative inside. */
export function signedDistance(mask, width, height) {
  const outside = distances(mask, width, height);
  const inside = distances(mask.map((v) => (v ? 0 : 1)), width, height);
  return outside.map((d, n) => d - inside[n]);
}

/**
 * Fill the slices between those that hold a label, along one axis; only background is filled.
 *
 * @param {Uint8Array} bitmap labels, the first axis fastest; changed in place
 * @param {number[]} size voxels along the three axes
 * @param {number} axis the axis to interpolate along
 * @param {number} label which
 */
export function fillBetween(bitmap, size, axis, label) {
  const strides = [1, size[0], size[0] * size[1]];
  const [u, v] = [0, 1, 2].filter((other) => other !== axis);
  const [width, height] = [size[u], size[v]];
  const place = (slice, n) => slice * strides[axis] + (n % width) * strides[u] + Math.floor(n / width) * strides[v];
  const read = (slice) =>
    Uint8Array.from({ length: width * height }, (_, n) => (bitmap[place(slice, n)] === label ? 1 : 0));
  let lower = null;
  for (let slice = 0; slice < size[axis]; slice++) {
    const mask = read(slice);
    if (!mask.includes(1)) continue;
    if (lower !== null && slice - lower.slice > 1) {
      const below = signedDistance(lower.mask, width, height);
      const above = signedDistance(mask, width, height);
      for (let between = lower.slice + 1; between < slice; between++) {
        const share = (between - lower.slice) / (slice - lower.slice);
        for (let n = 0; n < width * height; n++) {
          const at = place(between, n);
          if (bitmap[at] === 0 && (1 - share) * below[n] + share * above[n] < 0) bitmap[at] = label;
        }
      }
    }
    lower = { slice, mask };
  }
}
