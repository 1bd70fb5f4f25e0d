import { action, element } from "./dom.js";

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

const FEW = 12; // more labels are searched, not scrolled through

/** The list beside the picture: labels with their sizes, how they are drawn, and what was measured. */
export function legend(viewer, ...further) {
  const title = element("h3");
  const rows = element("div", { className: "ms-labels" });
  const finder = labelFinder(viewer, () => side.update());
  const style = labelStyle(viewer);
  const measured = element("div", { className: "ms-measured" });
  const side = element("aside", { className: "ms-side" }, title, finder, rows, style, ...further, measured);
  side.update = () => {
    title.textContent = viewer.labelsTitle;
    finder.hidden = viewer.entries.length < FEW;
    rows.classList.toggle("ms-many", viewer.entries.length >= FEW);
    rows.replaceChildren(...viewer.entries.filter(finder.matches).map((entry) => row(viewer, entry)));
    if (!viewer.entries.length) rows.append(element("p", { className: "ms-quiet" }, viewer.emptyHint));
    style.hidden = !viewer.entries.length;
    style.update();
    measured.replaceChildren(...measurements(viewer));
  };
  return side;
}

/** A field that finds labels by name, and buttons for all that it finds. */
function labelFinder(viewer, update) {
  const field = element("input", { className: "ms-field", type: "search", placeholder: "Find a label", oninput: update });
  const matches = ({ name }) => name.toLowerCase().includes(field.value.trim().toLowerCase());
  const show = (yes) => () => viewer.showLabels(viewer.entries.filter(matches), yes);
  const made = element(
    "div",
    { className: "ms-find", hidden: true },
    field,
    action({ text: "Show", title: "Show all that are listed", onClick: show(true) }),
    action({ text: "Hide", title: "Hide all that are listed", onClick: show(false) }),
  );
  made.matches = matches;
  return made;
}

function row(viewer, entry) {
  const box = element("input", {
    type: "checkbox",
    checked: entry.shown,
    title: `Show or hide ${entry.name}`,
    onchange: () => viewer.showLabel(entry, box.checked),
  });
  const swatch = element("span", { className: "ms-swatch" });
  swatch.style.background = entry.colour;
  const facts = [
    `${whole.format(entry.voxels)} voxels`,
    entry.mean === null ? null : `mean ${number.format(entry.mean)}${viewer.unit}`,
  ];
  const details = element("div", { className: "ms-facts" }, facts.filter(Boolean).join(" · "));
  const warning = entry.cut.length
    ? element(
        "div",
        { className: "ms-cut", title: "The label touches the edge of the image: its volume may be too small" },
        `cut by the field of view: ${entry.cut.join(", ")}`,
      )
    : null;
  const name = element(
    "button",
    {
      type: "button",
      className: "ms-name",
      title: "Go there; with shift, show it alone",
      onclick: ({ shiftKey }) => (shiftKey ? viewer.showAlone(entry) : viewer.goTo(entry)),
    },
    entry.name,
  );
  return element(
    "div",
    { className: "ms-row" },
    box,
    swatch,
    name,
    element("span", { className: "ms-ml" }, `${number.format(entry.ml)} mL`),
    details,
    warning,
  );
}

function labelStyle(viewer) {
  const opacity = element("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.05,
    title: "How opaque the labels are",
    oninput: () => viewer.setOpacity(Number(opacity.value)),
  });
  const check = (text, title, get, set) => {
    const box = element("input", { type: "checkbox", onchange: () => set(box.checked) });
    const made = element("label", { className: "ms-check", title }, box, text);
    made.update = () => (box.checked = get());
    return made;
  };
  const outline = check("Outlines only", "Draw the borders of labels (o)", () => viewer.outline, () => viewer.toggleOutline());
  const anatomy = check(
    "Anatomy in 3-D",
    "Draw the image in the 3-D view, not only the labels",
    () => viewer.anatomy,
    (yes) => viewer.setAnatomy(yes),
  );
  const made = element(
    "div",
    { className: "ms-style" },
    element("label", { className: "ms-named" }, "Opacity", opacity),
    outline,
    anatomy,
  );
  made.update = () => {
    opacity.value = viewer.opacity;
    outline.update();
    anatomy.update();
    anatomy.hidden = viewer.layout !== "render";
  };
  return made;
}

function measurements(viewer) {
  const found = viewer.measurements;
  if (!found.length) return [];
  const lines = found.map((m, n) =>
    element(
      "button",
      { className: "ms-measure", type: "button", title: "Go there", onclick: () => viewer.scene.moveTo(m.at) },
      `${n + 1}. ${m.kind === "line" ? `${number.format(m.mm)} mm` : `${number.format(m.degrees)}°`}`,
    ),
  );
  return [
    element("h3", {}, "Measurements"),
    ...lines,
    action({ text: "Clear", title: "Remove all measurements", onClick: () => viewer.clearMeasurements() }),
    action({ text: "CSV", title: "Save the measurements as a table", onClick: () => viewer.saveMeasurements() }),
  ];
}
