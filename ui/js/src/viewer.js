// The viewer component: what Python says is loaded, JavaScript says how it is looked at.
import { fillBetween } from "./between.js";
import { element } from "./dom.js";
import { Edits } from "./edits.js";
import { fillBall, floodFill } from "./fill.js";
import { helpCard, listenToKeys } from "./keys.js";
import { legend } from "./legend.js";
import { mapList } from "./maps.js";
import { Planes } from "./planes.js";
import { describePlace, describeVolume } from "./readout.js";
import { Scene, hasWebGL2 } from "./scene.js";
import { toolbar } from "./toolbar.js";
import { putCompressed } from "./transfer.js";
import { Course } from "./course.js";

const PENS = new Set(["brush", "filled", "eraser", "flood", "ball"]);
const CLICKS = new Set(["flood", "ball"]);
const mounted = new WeakMap();
const groups = new Map();

class Viewer {
  constructor(parent) {
    this.edits = new Edits();
    Object.assign(this, { layout: "four", tool: "cross", radiological: true, noseLeft: true });
    Object.assign(this, { opacity: 0.5, outline: false, anatomy: true, editing: false, saving: false });
    Object.assign(this, { presets: [], entries: [], measurements: [], range: [0, 1], unit: "", data: {} });
    this.pen = { label: 1, size: 5, tolerance: 1 };
    this.canvas = element("canvas");
    this.readout = element("div", { className: "ms-readout" });
    this.facts = element("div", { className: "ms-facts" });
    this.message = element("div", { className: "ms-message", role: "status" });
    this.bar = toolbar(this);
    this.mapStyle = { opacity: 0.6, from: 0.05 };
    this.maps = mapList(this);
    this.course = new Course(this);
    this.side = legend(this, this.maps, this.course.element);
    this.help = helpCard(() => this.toggleHelp());
    const stage = element("div", { className: "ms-stage" }, this.canvas, this.message, this.help);
    const foot = element("div", { className: "ms-foot" }, this.readout, this.facts);
    this.root = element(
      "div",
      { className: "ms-root", tabIndex: 0 },
      this.bar,
      element("div", { className: "ms-body" }, stage, this.side),
      foot,
    );
    this.root.viewer = this; // for tests and the browser's console
    listenToKeys(this.root, this);
    parent.append(this.root); // beside the style sheet that Streamlit puts there
  }

  async open() {
    this.scene = new Scene(this.canvas, {
      onMove: () => this.showPlace(),
      onDrawn: () => this.keepEdit(),
      onMeasured: () => this.refresh(),
    });
    await this.scene.attach();
    this.canvas.addEventListener("pointerup", (event) => this.clicked(event));
  }

  /** Bring the picture in step with what Python says is loaded. */
  async apply(data, report) {
    const before = this.data;
    this.data = data;
    this.report = report;
    this.root.style.setProperty("--ms-height", `${data.height}px`);
    this.facts.textContent = describeVolume(data.volume);
    if (before.volume?.id !== data.volume.id) await this.loadVolume(data.volume);
    const labels = data.labels;
    // After a run that was watched and gave nothing, the last frame is not what there is.
    const left = before.watch && !data.watch;
    if (labels?.id !== this.shownLabels || left) await this.loadLabels(labels);
    else this.takeEntries(labels?.entries ?? []);
    this.maps.offer(labels?.maps ?? []);
    this.course.apply(labels?.frames ?? [], data.watch ?? null);
    this.join(data.group);
    this.refresh();
  }

  async loadVolume(volume) {
    this.say("Loading the image…");
    this.shownLabels = undefined;
    this.edits.forget();
    this.presets = volume.presets;
    this.unit = volume.unit ? ` ${volume.unit}` : "";
    this.range = volume.window;
    this.pen.tolerance = (volume.window[1] - volume.window[0]) / 10;
    await this.scene.showVolume(volume);
    this.say("");
    this.root.dataset.volume = volume.id;
    this.showPlace();
  }

  async loadLabels(labels) {
    this.editing = false;
    this.setTool("cross");
    this.edits.forget();
    if (labels) {
      this.say("Loading the labels…");
      this.takeEntries(labels.entries);
      await this.scene.showLabels(labels.url);
      // Viewers that move together keep their cross; alone, the cross goes to what was found.
      if (labels.centre && !this.data.group) this.scene.moveTo(labels.centre);
    } else {
      this.takeEntries([]);
      this.scene.closeLabels();
    }
    this.shownLabels = labels?.id;
    this.root.dataset.labels = labels?.id ?? "";
    this.say("");
  }

  takeEntries(entries) {
    const hidden = new Set(this.entries.filter((entry) => !entry.shown).map(({ index }) => index));
    this.entries = entries.map((entry) => ({ ...entry, shown: !hidden.has(entry.index) }));
    if (!this.entries.some(({ index }) => index === this.pen.label)) this.pen.label = this.entries[0]?.index ?? 1;
    this.scene.setColours(this.entries);
    this.scene.setLabelStyle(this);
  }

  get labelsTitle() {
    return this.data.labels?.title ?? "Labels";
  }

  get editable() {
    return Boolean((this.data.labels ?? this.data.draft)?.saveUrl);
  }

  get emptyHint() {
    return this.data.draft ? "None yet. Run a model, or press Edit to draw." : "None yet.";
  }

  refresh() {
    this.measurements = this.scene.measurements;
    this.range = this.scene.window;
    this.bar.update();
    this.side.update();
  }

  say(text, bad = false) {
    this.message.textContent = text;
    this.message.classList.toggle("ms-bad", bad);
  }

  showPlace() {
    this.range = this.scene.window;
    this.readout.replaceChildren(...describePlace(this));
  }

  join(group) {
    if (!group || this.group === group) return;
    this.group = group;
    const others = (groups.get(group) ?? []).filter((viewer) => viewer.root.isConnected);
    groups.set(group, [...others, this]);
    for (const viewer of groups.get(group)) {
      viewer.scene.link(groups.get(group).filter((other) => other !== viewer).map((other) => other.scene));
    }
  }

  // What the bar, the list and the keys call.

  setLayout(name) {
    this.layout = name;
    this.scene.setLayout(name);
    this.refresh();
  }

  setTool(name) {
    if (PENS.has(name) && !this.editing) {
      this.setEditing(true);
      if (!this.editing) return;
    }
    this.tool = name;
    this.applyTool();
    this.bar.update();
  }

  applyTool() {
    if (CLICKS.has(this.tool) || !PENS.has(this.tool)) this.scene.setTool(this.tool);
    else {
      const value = this.tool === "eraser" ? 0 : this.pen.label;
      this.scene.setPen({ value, size: this.tool === "filled" ? 1 : this.pen.size, filled: this.tool === "filled" });
    }
  }

  setWindow(low, high) {
    this.scene.setWindow(low, high);
    this.refresh();
  }

  swapSides() {
    this.radiological = !this.radiological;
    this.scene.setRadiological(this.radiological);
    this.refresh();
  }

  swapNose() {
    this.noseLeft = !this.noseLeft;
    this.scene.setNoseLeft(this.noseLeft);
    this.refresh();
  }

  setOpacity(opacity) {
    this.opacity = opacity;
    this.scene.setLabelStyle(this);
  }

  toggleOutline() {
    this.outline = !this.outline;
    this.scene.setLabelStyle(this);
    this.refresh();
  }

  outlineForMap(shown) {
    if (shown) this.outlineBefore = this.outline;
    this.outline = shown || this.outlineBefore;
    this.scene.setLabelStyle(this);
    this.refresh();
  }

  toggleLabels() {
    const show = !this.entries.some(({ shown }) => shown);
    this.entries.forEach((entry) => (entry.shown = show));
    this.scene.setColours(this.entries);
    this.refresh();
  }

  showLabels(entries, shown) {
    entries.forEach((entry) => (entry.shown = shown));
    this.scene.setColours(this.entries);
    this.refresh();
  }

  showAlone(entry) {
    this.entries.forEach((other) => (other.shown = other === entry));
    this.scene.setColours(this.entries);
    this.refresh();
    this.goTo(entry);
  }

  goTo({ centre }) {
    if (centre) this.scene.moveTo(centre);
  }

  showLabel(entry, shown) {
    entry.shown = shown;
    this.scene.setColours(this.entries);
  }

  setAnatomy(yes) {
    this.anatomy = yes;
    this.scene.setAnatomyIn3D(yes);
  }

  step(across, up) {
    const axis = this.scene.planeAxis;
    const moves = { 2: [across, up, 0], 1: [across, 0, up], 0: [0, across, up] };
    const [x, y, z] = moves[axis];
    this.scene.moveBy(axis !== 0 && this.radiological ? -x : x, y, z);
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden;
  }

  savePicture() {
    this.download(this.scene.picture(), "picture.png");
  }

  saveMeasurements() {
    const rows = this.measurements.map((m) => [m.kind, (m.mm ?? m.degrees).toFixed(2), ...m.at.map((v) => v.toFixed(2))]);
    const text = [["kind", "mm or degrees", "x_mm", "y_mm", "z_mm"], ...rows].map((row) => row.join(",")).join("\n");
    this.download(URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" })), "measurements.csv");
  }

  clearMeasurements() {
    this.scene.clearMeasurements();
    this.refresh();
  }

  download(href, name) {
    element("a", { href, download: name }).click();
  }

  // Editing.

  setEditing(yes) {
    if (yes && !this.editable) {
      this.say("This picture cannot be edited.", true);
      return;
    }
    this.editing = yes;
    if (yes) {
      if (!this.data.labels && !this.scene.bitmap) {
        this.scene.startLabels();
        this.takeEntries(this.data.draft.entries);
      }
      if (!this.edits.last) this.edits.start(this.scene.bitmap);
      this.tool = "brush";
    } else this.tool = "cross";
    this.applyTool();
    this.refresh();
  }

  setPenLabel(label) {
    this.pen.label = label;
    this.applyTool();
  }

  resizePen(by) {
    this.pen.size = Math.min(51, Math.max(1, this.pen.size + by));
    this.applyTool();
    this.bar.update();
  }

  /** Record what has just been drawn, and count again. */
  keepEdit() {
    if (this.edits.record(this.scene.bitmap)) this.recount();
  }

  recount() {
    const counts = new Float64Array(256);
    const bitmap = this.scene.bitmap;
    for (let n = 0; n < bitmap.length; n++) counts[bitmap[n]]++;
    for (const entry of this.entries) {
      if (entry.voxels !== counts[entry.index]) Object.assign(entry, { mean: null, cut: [] });
      entry.voxels = counts[entry.index];
      entry.ml = entry.voxels * this.data.volume.voxelMl;
    }
    this.refresh();
  }

  change(edit) {
    edit();
    this.scene.refreshLabels();
    this.keepEdit();
  }

  undo() {
    if (this.editing && this.edits.undo(this.scene.bitmap)) this.afterMove();
  }

  redo() {
    if (this.editing && this.edits.redo(this.scene.bitmap)) this.afterMove();
  }

  afterMove() {
    this.scene.refreshLabels();
    this.recount();
  }

  clicked({ button, shiftKey }) {
    if (button !== 0 || !this.editing) return;
    if (this.tool === "flood") this.flood();
    if (this.tool === "ball") this.ball(shiftKey ? 0 : this.pen.label);
  }

  ball(label) {
    const { scene } = this;
    const radiusMm = (this.pen.size * Math.min(...scene.spacing)) / 2;
    this.change(() => fillBall(scene.bitmap, scene.size, scene.spacing, scene.place.voxel, { label, radiusMm }));
  }

  flood() {
    const { scene } = this;
    const { label, tolerance } = this.pen;
    const valueAt = (voxel) => scene.valueAt(voxel);
    const how = { label, tolerance, radiusMm: 30, valueAt };
    this.change(() => floodFill(scene.bitmap, scene.size, scene.spacing, scene.place.voxel, how));
  }

  fillBetween() {
    this.change(() => fillBetween(this.scene.bitmap, this.scene.size, this.scene.planeAxis, this.pen.label));
  }

  growCut() {
    this.change(() => this.scene.growCut());
  }

  async save() {
    const target = this.data.labels ?? this.data.draft;
    if (!this.edits.unsaved || this.saving) return;
    this.saving = true;
    this.bar.update();
    try {
      const saved = await putCompressed(target.saveUrl, await this.scene.encodeLabels());
      this.edits.markSaved();
      // What the server will send back as this result is what is shown already.
      this.shownLabels = saved.id;
      this.root.dataset.labels = saved.id;
      this.say("");
      this.report(saved.result);
    } catch (error) {
      this.say(`Not saved: ${error.message}`, true);
    }
    this.saving = false;
    this.bar.update();
  }

  close() {
    this.course.close();
    groups.set(this.group, (groups.get(this.group) ?? []).filter((viewer) => viewer !== this));
    this.scene?.close();
    this.root.remove();
  }
}

export default function mount({ data, parentElement, setTriggerValue }) {
  const report = (result) => setTriggerValue("saved", result);
  let state = mounted.get(parentElement);
  if (!state) {
    const shown = hasWebGL2() && !data.plain ? new Viewer(parentElement) : new Planes(parentElement);
    state = { shown, ready: Promise.resolve(shown.open()) };
    mounted.set(parentElement, state);
  }
  // One after the other: a second rerun may come while the first is still loading.
  state.ready = state.ready
    .then(() => state.shown.apply(data, report))
    .catch((error) => state.shown.say(`The picture cannot be shown: ${error.message}`, true));
  return () => {
    state.shown.close();
    mounted.delete(parentElement);
  };
}
