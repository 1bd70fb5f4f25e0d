// Every call to NiiVue is in this file: its next major version is another interface.
import { DRAG_MODE, MULTIPLANAR_TYPE, NVImage, Niivue, SHOW_RENDER, SLICE_TYPE, cmapper } from "@niivue/niivue";

export const LAYOUTS = {
  four: SLICE_TYPE.MULTIPLANAR,
  axial: SLICE_TYPE.AXIAL,
  coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL,
  render: SLICE_TYPE.RENDER,
};

const DRAGS = {
  cross: DRAG_MODE.crosshair,
  window: DRAG_MODE.windowing,
  pan: DRAG_MODE.pan,
  ruler: DRAG_MODE.measurement,
  angle: DRAG_MODE.angle,
};

const HEADER_BYTES = 352; // of the NIfTI-1 file that NiiVue makes of a drawing

export function hasWebGL2() {
  return document.createElement("canvas").getContext("webgl2") !== null;
}

function isSoftware(gl) {
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const renderer = names ? gl.getParameter(names.UNMASKED_RENDERER_WEBGL) : "";
  return /swiftshader|llvmpipe|software|basic render/i.test(renderer);
}

/** A volume and its label map in linked planes and 3-D; knows nothing of buttons or of the server. */
export class Scene {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{onMove: Function, onDrawn: Function, onMeasured: Function}} listeners
   */
  constructor(canvas, { onMove, onDrawn, onMeasured }) {
    this.canvas = canvas;
    this.nv = new Niivue({
      logLevel: "error",
      loadingText: "",
      dragAndDropEnabled: false,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      isNearestInterpolation: false,
      crosshairColor: [0.35, 0.75, 0.95, 0.8],
      crosshairWidth: 0.35,
      crosshairWidthUnit: "percent",
      crosshairGap: 12,
      showAllOrientationMarkers: true,
      fontColor: [0.85, 0.88, 0.92, 1],
      backColor: [0, 0, 0, 1],
      rulerColor: [1, 0.85, 0.3, 1],
      measureLineColor: [1, 0.85, 0.3, 1],
      measureTextColor: [1, 0.85, 0.3, 1],
      fontMinPx: 14,
      multiplanarLayout: MULTIPLANAR_TYPE.AUTO,
      multiplanarEqualSize: false,
      multiplanarPadPixels: 4,
      dragMode: DRAG_MODE.windowing,
      dragModePrimary: DRAG_MODE.crosshair,
      maxDrawUndoBitmaps: 2, // the filled pen reads the last one; undo itself is in edits.js
      clipPlaneHotKey: "none",
      cycleClipPlaneHotKey: "none",
      viewModeHotKey: "none",
    });
    this.nv.opts.isForceMouseClickToVoxelCenters = true;
    this.nv.onLocationChange = () => onMove();
    this.nv.onDrawingChanged = (action) => action === "draw" && onDrawn();
    this.nv.onMeasurementCompleted = () => onMeasured();
    this.nv.onAngleCompleted = () => onMeasured();
    this.drawOpacity = 0.5;
  }

  async attach() {
    await this.nv.attachToCanvas(this.canvas);
    this.software = isSoftware(this.nv.gl);
    this.nv.opts.multiplanarShowRender = this.software ? SHOW_RENDER.NEVER : SHOW_RENDER.ALWAYS;
    this.setLayout("four");
  }

  /** @param {{url: string, window: number[]}} volume */
  async showVolume({ url, window: [low, high] }) {
    this.closeLabels();
    this.map = null; // loading a volume drops what lay over the one before
    await this.nv.loadVolumes([{ url, name: "volume.nii", colormap: "gray", cal_min: low, cal_max: high }]);
    this.nv.setDrawOpacity(this.drawOpacity);
  }

  /** Show a label map of at most 255 labels on the grid of the volume. */
  async showLabels(url) {
    const image = await NVImage.loadFromUrl({ url, name: "labels.nii" });
    if (!this.nv.loadDrawing(image)) {
      throw new Error("the label map is not on the grid of the volume");
    }
    this.#smooth();
  }

  /**
   * Show a map on the volume's grid over the image and under the labels; null hides it.
   *
   * The volume is not uploaded again: on a CT in software that would take seconds.
   *
   * @param {{url: string, colours: string, range: number[]}|null} map
   * @param {{opacity: number, from: number}} style values below ``from`` are not drawn
   */
  async showMap(map, { opacity, from }) {
    const [back] = this.nv.volumes;
    if (map && this.map?.url !== map.url) {
      const image = await NVImage.loadFromUrl({ url: map.url, name: "map.nii", colormap: map.colours });
      if (back !== this.nv.volumes[0]) return; // another volume came meanwhile
      this.nv.volumes = [back, image];
      this.nv.overlays = [image];
      this.map = { url: map.url, image };
    }
    if (!this.map) return;
    const { image } = this.map;
    image.opacity = map ? opacity : 0;
    [image.cal_min, image.cal_max] = [from, map?.range[1] ?? 1];
    this.map.shown = map !== null;
    this.nv.refreshLayers(image, 1);
    this.nv.drawScene();
  }

  /** The value of the map under the cross; null if none is shown. */
  get mapValue() {
    if (!this.map?.shown) return null;
    const native = this.map.image.mm2vox(this.#worldAt(this.nv.scene.crosshairPos));
    return this.map.image.getValue(native[0], native[1], native[2]);
  }

  closeLabels() {
    if (this.nv.drawBitmap) this.nv.closeDrawing();
  }

  /** The label map (one byte a voxel) in the display's own order; null if there is none. */
  get bitmap() {
    return this.nv.drawBitmap;
  }

  /** Voxels along the display's axes, which run to the right, front and top of the patient. */
  get size() {
    return this.nv.back.dimsRAS.slice(1, 4);
  }

  /** Millimetres between voxels along the display's axes. */
  get spacing() {
    return this.nv.back.pixDimsRAS.slice(1, 4);
  }

  /** Show the label map as it is now in memory. */
  refreshLabels() {
    this.nv.refreshDrawing(true);
  }

  /** @param {{index: number, colour: string, shown: boolean}[]} entries */
  setColours(entries) {
    const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
    for (const { index, colour, shown } of entries) {
      table.R.push(parseInt(colour.slice(1, 3), 16));
      table.G.push(parseInt(colour.slice(3, 5), 16));
      table.B.push(parseInt(colour.slice(5, 7), 16));
      table.A.push(shown ? 255 : 0);
      table.I.push(index);
      table.labels.push("");
    }
    this.nv.drawLut = cmapper.makeDrawLut(table);
    this.nv.refreshColormaps();
    this.nv.drawScene();
  }

  /** @param {{opacity: number, outline: boolean}} style */
  setLabelStyle({ opacity, outline }) {
    this.drawOpacity = opacity;
    this.nv.drawRimOpacity = outline ? 1 : -1;
    this.nv.setDrawOpacity(outline ? 0.001 : opacity); // 0 would hide the rim as well
  }

  setLayout(name) {
    this.layout = name;
    this.nv.setSliceType(LAYOUTS[name]);
    if (name === "render") this.#smooth();
  }

  setRadiological(yes) {
    this.nv.opts.isRadiologicalConvention = yes;
    this.nv.drawScene();
  }

  setNoseLeft(yes) {
    this.nv.opts.sagittalNoseLeft = yes;
    this.nv.drawScene();
  }

  setInterpolated(yes) {
    this.nv.setInterpolation(!yes);
  }

  get window() {
    const { cal_min: low, cal_max: high } = this.nv.volumes[0];
    return [low, high];
  }

  setWindow(low, high) {
    const [image] = this.nv.volumes;
    image.cal_min = low;
    image.cal_max = Math.max(high, low + 1e-6);
    this.nv.refreshLayers(image, 0);
    this.nv.drawScene();
  }

  /** Whether the image is drawn in 3-D, or the labels alone. */
  setAnatomyIn3D(yes) {
    const [image] = this.nv.volumes;
    image.opacity = yes ? 1 : 0;
    this.nv.refreshLayers(image, 0);
    this.nv.drawScene();
  }

  /** What the left button does: cross, window, pan, ruler or angle. */
  setTool(name) {
    this.nv.setDrawingEnabled(false);
    this.nv.opts.dragModePrimary = DRAGS[name] ?? DRAG_MODE.crosshair;
  }

  /** The left button draws; value 0 erases. */
  setPen({ value, size, filled }) {
    this.nv.setDrawingEnabled(true);
    this.nv.opts.penSize = size;
    this.nv.setPenValue(value, filled);
  }

  /** Make an empty label map to draw in. */
  startLabels() {
    this.nv.createEmptyDrawing();
  }

  growCut() {
    this.nv.drawGrowCut();
  }

  /** Where the cross is: its display voxel, world position in mm, and the image's value there. */
  get place() {
    const { nv } = this;
    const voxel = Array.from(nv.frac2vox(nv.scene.crosshairPos));
    const world = this.#worldAt(nv.scene.crosshairPos);
    return { voxel, world, value: this.valueAt(voxel) };
  }

  valueAt([x, y, z]) {
    const image = this.nv.volumes[0];
    const size = this.size;
    if ([x, y, z].some((v, axis) => v < 0 || v >= size[axis])) return NaN;
    const native = image.mm2vox(this.#worldAt(this.nv.vox2frac([x, y, z])));
    return image.getValue(native[0], native[1], native[2]);
  }

  moveTo(world) {
    this.nv.scene.crosshairPos = this.nv.mm2frac(world, 0, true);
    this.nv.drawScene();
    this.nv.createOnLocationChange();
  }

  moveBy(x, y, z) {
    this.nv.moveCrosshairInVox(x, y, z);
  }

  zoom(factor) {
    const [x, y, z, scale] = this.nv.scene.pan2Dxyzmm;
    this.nv.setPan2Dxyzmm([x, y, z, Math.min(20, Math.max(0.5, scale * factor))]);
  }

  resetView() {
    this.nv.setPan2Dxyzmm([0, 0, 0, 1]);
  }

  /** The axis that was last looked at or drawn in: 0 sagittal, 1 coronal, 2 axial. */
  get planeAxis() {
    const single = { axial: 2, coronal: 1, sagittal: 0 }[this.layout];
    if (single !== undefined) return single;
    const [x, y] = this.nv.mousePos.map((v) => v * this.nv.uiData.dpr);
    const tile = this.nv.screenSlices[this.nv.tileIndex(x, y)];
    return [2, 1, 0][tile?.axCorSag] ?? 2;
  }

  get measurements() {
    const { completedMeasurements: lines, completedAngles: angles } = this.nv.document;
    const at = (place) => this.#worldAt(this.nv.mm2frac(place));
    return [
      ...lines.map((m) => ({ kind: "line", mm: m.distance, at: at(m.startMM) })),
      ...angles.map((a) => ({ kind: "angle", degrees: a.angle, at: at(a.firstLineMM.end) })),
    ];
  }

  clearMeasurements() {
    this.nv.clearAllMeasurements();
  }

  /** Voxels of the label map, one byte each, in the order of the volume's own file. */
  async encodeLabels() {
    const file = await this.nv.saveImage({ filename: "", isSaveDrawing: true });
    return file.subarray(HEADER_BYTES);
  }

  /** Move the cross of other scenes with this one's. */
  link(scenes) {
    this.nv.broadcastTo(scenes.map((scene) => scene.nv), { crosshair: true, zoomPan: true });
  }

  picture() {
    this.nv.drawScene();
    return this.canvas.toDataURL("image/png");
  }

  close() {
    this.nv.cleanup();
    // Browsers allow sixteen contexts a page; a lost one is free for the next viewer.
    this.nv.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  /** RAS+ mm; NiiVue on its own would leave out the turn of an oblique scan. */
  #worldAt(fraction) {
    return Array.from(this.nv.frac2mm(fraction, 0, true)).slice(0, 3);
  }

  #smooth() {
    // Shaded surfaces cost seconds in software, and only the 3-D view shows them.
    const wanted = this.layout === "render" && this.bitmap && !this.software ? 1 : 0;
    if (this.nv.opts.smoothDrawing === wanted) return;
    this.nv.opts.smoothDrawing = wanted;
    if (this.bitmap) this.nv.refreshDrawing(true);
  }
}
