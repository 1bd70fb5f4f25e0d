/**
 * Fill the region around a voxel whose values are near that voxel's, through the faces of voxels.
 *
 * Only background is filled, and nothing farther away than the radius, so that a leak stays small.
 *
 * @param {Uint8Array} bitmap labels, the first axis fastest; changed in place
 * @param {number[]} size voxels along the three axes
 * @param {number[]} spacing mm along the three axes
 * @param {number[]} seed the voxel to begin at
 * @param {{label: number, tolerance: number, radiusMm: number, valueAt: Function}} how
 * @returns {number} voxels that were filled
 */
export function floodFill(bitmap, size, spacing, seed, { label, tolerance, radiusMm, valueAt }) {
  const [nx, ny, nz] = size;
  const centre = valueAt(seed);
  const seen = new Set();
  const waiting = [seed];
  let filled = 0;
  while (waiting.length) {
    const [x, y, z] = waiting.pop();
    if (x < 0 || y < 0 || z < 0 || x >= nx || y >= ny || z >= nz) continue;
    const place = x + nx * (y + ny * z);
    if (seen.has(place)) continue;
    seen.add(place);
    const far = Math.hypot(...[x, y, z].map((v, axis) => (v - seed[axis]) * spacing[axis]));
    if (far > radiusMm || bitmap[place] !== 0 || Math.abs(valueAt([x, y, z]) - centre) > tolerance) continue;
    bitmap[place] = label;
    filled++;
    waiting.push([x - 1, y, z], [x + 1, y, z], [x, y - 1, z], [x, y + 1, z], [x, y, z - 1], [x, y, z + 1]);
  }
  return filled;
}

/**
 * Give a ball around a voxel a label, whatever was there.
 *
 * @param {Uint8Array} bitmap labels, the first axis fastest; changed in place
 * @param {number[]} size voxels along the three axes
 * @param {number[]} spacing mm along the three axes
 * @param {number[]} centre the voxel in the middle
 * @param {{label: number, radiusMm: number}} how
 */
export function fillBall(bitmap, size, spacing, centre, { label, radiusMm }) {
  const reach = spacing.map((mm) => Math.floor(radiusMm / mm));
  const [from, to] = [
    centre.map((v, axis) => Math.max(0, v - reach[axis])),
    centre.map((v, axis) => Math.min(size[axis] - 1, v + reach[axis])),
  ];
  for (let z = from[2]; z <= to[2]; z++) {
    for (let y = from[1]; y <= to[1]; y++) {
      for (let x = from[0]; x <= to[0]; x++) {
        const far = Math.hypot(...[x, y, z].map((v, axis) => (v - centre[axis]) * spacing[axis]));
        if (far <= radiusMm) bitmap[x + size[0] * (y + size[1] * z)] = label;
      }
    }
  }
}
