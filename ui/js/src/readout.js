import { element } from "./dom.js";

const ends = ["LR", "PA", "IS"];

/** "256 × 256 × 20 voxels · 0.859 × 0.859 × 7 mm · LPS, oblique by 7.7°". */
export function describeVolume({ shape, spacing, orientation, oblique }) {
  const mm = spacing.map((value) => Number(value.toPrecision(3)));
  // Planes follow the scan's own axes: where those are turned, the letters name the nearest direction.
  const turned = oblique >= 0.1 ? `, oblique by ${oblique.toFixed(1)}°` : "";
  return `${shape.join(" × ")} voxels · ${mm.join(" × ")} mm · ${orientation}${turned}`;
}

/** What is under the cross: the voxel of the file, the place in the patient, the value, the label. */
export function describePlace({ scene, data, entries, unit }) {
  const { voxel, world, value } = scene.place;
  const native = toVoxel(data.volume.affine, world);
  const place = world.map((mm, axis) => `${ends[axis][mm < 0 ? 0 : 1]} ${Math.abs(mm).toFixed(1)}`);
  const [nx, ny] = scene.size;
  const index = scene.bitmap?.[voxel[0] + nx * (voxel[1] + ny * voxel[2])] ?? 0;
  const label = entries.find((entry) => entry.index === index);
  const parts = [
    ["value", `${Number(value.toPrecision(5))}${unit}`],
    ["mm", place.join("  ")],
    ["voxel", native.join(", ")],
    ["label", label?.name ?? "–"],
    ...(scene.mapValue === null ? [] : [["map", scene.mapValue.toFixed(3)]]),
  ];
  return parts.map(([name, text]) => element("span", { dataset: { readout: name } }, element("i", {}, name), text));
}

/** The nearest voxel (i, j, k) of the file to a place in RAS+ mm. */
function toVoxel(affine, world) {
  const [a, b, c] = affine;
  const d = world.map((mm, axis) => mm - affine[axis][3]);
  const m = [a.slice(0, 3), b.slice(0, 3), c.slice(0, 3)];
  const determinant = det(m);
  // Cramer's rule: three by three, and never singular (medseg refuses such affines).
  return [0, 1, 2].map((axis) => {
    const replaced = m.map((row, r) => row.map((value, column) => (column === axis ? d[r] : value)));
    return Math.round(det(replaced) / determinant) + 0;
  });
}

function det([[a, b, c], [d, e, f], [g, h, i]]) {
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
}
