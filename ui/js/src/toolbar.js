import { action, element, group, toggle } from "./dom.js";

const LAYOUTS = [
  ["four", "Planes", "All planes, linked (1)"],
  ["axial", "Axial", "Axial plane alone (2)"],
  ["coronal", "Coronal", "Coronal plane alone (3)"],
  ["sagittal", "Sagittal", "Sagittal plane alone (4)"],
  ["render", "3-D", "3-D view (5)"],
];

const TOOLS = [
  ["cross", "Cross", "Move the cross (c)"],
  ["window", "Window", "Drag to change window and level (w); the right button always does"],
  ["pan", "Move", "Move and zoom the picture (p)"],
  ["ruler", "Ruler", "Measure a distance (m)"],
  ["angle", "Angle", "Measure an angle: drag one line, click the end of the other (a)"],
];

const PENS = [
  ["brush", "Brush", "Paint the chosen label (b)"],
  ["filled", "Outline", "Draw an outline that is filled (f)"],
  ["eraser", "Eraser", "Erase labels (e)"],
  ["flood", "Flood", "Fill what looks alike around a click (g)"],
  ["ball", "Ball", "Click to add a ball in 3-D, as wide as the brush; with shift, to take one away (d)"],
];

/** The bar above the picture; ``update`` brings every button in step with the viewer. */
export function toolbar(viewer) {
  const parts = [];
  const keep = (part) => (parts.push(part), part);
  const choice = (kind, choose) => ([name, text, title]) =>
    keep(toggle({ text, title, name, isOn: () => viewer[kind] === name, onClick: () => choose(name) }));
  const layouts = LAYOUTS.map(choice("layout", (name) => viewer.setLayout(name)));
  const tools = TOOLS.map(choice("tool", (name) => viewer.setTool(name)));
  const pens = PENS.map(choice("tool", (name) => viewer.setTool(name)));
  const edit = keep(
    toggle({
      text: "Edit",
      name: "edit",
      title: "Correct the labels, or draw new ones",
      isOn: () => viewer.editing,
      onClick: () => viewer.setEditing(!viewer.editing),
    }),
  );
  const bar = element(
    "div",
    { className: "ms-bar" },
    group("Views", ...layouts),
    group("Left button", ...tools),
    group("Window", ...windowFields(viewer, keep)),
    group(
      "Sides",
      keep(
        toggle({
          text: "R | L",
          name: "sides",
          title: "Radiological: the patient's right is on the left of the picture (r)",
          isOn: () => viewer.radiological,
          onClick: () => viewer.swapSides(),
        }),
      ),
      keep(
        toggle({
          text: "Nose left",
          name: "nose",
          title: "Turn the sagittal plane so that the face looks to the left",
          isOn: () => viewer.noseLeft,
          onClick: () => viewer.swapNose(),
        }),
      ),
    ),
    group(
      "Other",
      edit,
      action({ text: "PNG", name: "picture", title: "Save this picture", onClick: () => viewer.savePicture() }),
      action({ text: "?", name: "help", title: "Keys and mouse (?)", onClick: () => viewer.toggleHelp() }),
    ),
  );
  const editBar = editingBar(viewer, pens, keep);
  const whole = element("div", {}, bar, editBar);
  whole.update = () => {
    editBar.hidden = !viewer.editing;
    edit.hidden = !viewer.editable;
    for (const part of parts) part.update();
  };
  return whole;
}

function windowFields(viewer, keep) {
  const presets = element("select", {
    className: "ms-field",
    title: "Window presets",
    onchange: () => presets.value !== "" && viewer.setWindow(...viewer.presets[Number(presets.value)].range),
  });
  const field = (index, title) =>
    element("input", {
      className: "ms-field ms-number",
      type: "number",
      title,
      onchange: ({ target }) => {
        const range = viewer.scene.window;
        range[index] = Number(target.value);
        viewer.setWindow(...range);
      },
    });
  const [low, high] = [field(0, "Black: this value and below"), field(1, "White: this value and above")];
  let shown = null;
  keep({
    update: () => {
      if (shown !== viewer.presets) {
        shown = viewer.presets;
        const none = element("option", { value: "" }, "Window…");
        presets.replaceChildren(none, ...shown.map(({ name }, n) => element("option", { value: n }, name)));
      }
      const range = viewer.range;
      const same = shown.findIndex((preset) => preset.range.every((value, n) => value === range[n]));
      presets.value = same < 0 ? "" : String(same);
      [low.value, high.value] = range.map((value) => Number(value.toPrecision(4)));
    },
  });
  return [presets, low, high];
}

function editingBar(viewer, pens, keep) {
  const label = element("select", {
    className: "ms-field",
    title: "The label to draw with",
    name: "label",
    onchange: () => viewer.setPenLabel(Number(label.value)),
  });
  const size = element("input", {
    className: "ms-field ms-number",
    type: "number",
    min: 1,
    max: 51,
    step: 2,
    title: "Brush size in voxels ([ and ])",
    onchange: () => viewer.resizePen(Number(size.value) - viewer.pen.size),
  });
  const tolerance = element("input", {
    className: "ms-field ms-number",
    type: "number",
    min: 0,
    title: "Flood: how far a value may differ from the one that was clicked",
    onchange: () => (viewer.pen.tolerance = Number(tolerance.value)),
  });
  const undo = action({ text: "Undo", name: "undo", title: "Undo (ctrl z)", onClick: () => viewer.undo() });
  const redo = action({ text: "Redo", name: "redo", title: "Redo (ctrl y)", onClick: () => viewer.redo() });
  const save = action({
    text: "Save",
    name: "save",
    className: "ms-primary",
    title: "Save the edited labels as a result of their own (ctrl s)",
    onClick: () => viewer.save(),
  });
  keep({
    update: () => {
      const options = viewer.entries.map(({ index, name }) => element("option", { value: index }, name));
      label.replaceChildren(...options);
      label.value = String(viewer.pen.label);
      size.value = viewer.pen.size;
      tolerance.value = Number(viewer.pen.tolerance.toPrecision(3));
      undo.disabled = viewer.edits.done.length === 0;
      redo.disabled = viewer.edits.undone.length === 0;
      save.disabled = !viewer.edits.unsaved || viewer.saving;
      save.textContent = viewer.saving ? "Saving…" : "Save";
    },
  });
  const named = (text, field) => element("label", { className: "ms-named" }, text, field);
  return element(
    "div",
    { className: "ms-bar ms-edit", hidden: true },
    group("Pens", ...pens),
    group("Pen", named("label", label), named("size", size), named("± value", tolerance)),
    group(
      "Whole label",
      action({
        text: "Between slices",
        name: "between",
        title: "Fill the slices between those that are drawn, along the axis of the plane that was used last",
        onClick: () => viewer.fillBetween(),
      }),
      action({
        text: "Grow",
        name: "grow",
        title: "Grow-cut: let the drawn labels, among them one for what lies around, spread over the image",
        onClick: () => viewer.growCut(),
      }),
    ),
    group("Edits", undo, redo, save),
  );
}
