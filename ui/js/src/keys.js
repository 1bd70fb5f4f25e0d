import { element } from "./dom.js";

export const KEYS = [
  ["1 2 3 4 5", "all planes, axial, coronal, sagittal, 3-D"],
  ["wheel, arrows", "next slice; move the cross"],
  ["+ − 0", "zoom in, zoom out, whole image"],
  ["r", "swap sides: radiological or neurological"],
  ["c w p m a", "left button: cross, window, move, ruler, angle"],
  ["right drag", "window and level, with any tool"],
  ["l o", "labels on and off; outlines"],
  ["b f e g d", "brush, filled outline, eraser, flood fill, 3-D ball"],
  ["[ ]", "smaller or larger brush"],
  ["ctrl z, ctrl y", "undo, redo"],
  ["ctrl s", "save the edited labels"],
  ["?", "this card"],
];

/** The card that lists the keys and the mouse. */
export function helpCard(onClose) {
  const rows = KEYS.flatMap(([keys, meaning]) => [element("dt", {}, keys), element("dd", {}, meaning)]);
  const close = element("button", { className: "ms-button", type: "button", onclick: onClose }, "Close");
  return element(
    "div",
    { className: "ms-help", hidden: true },
    element("h3", {}, "Keys and mouse"),
    element("dl", {}, ...rows),
    element("p", {}, "Click the picture first, so that it hears the keys."),
    close,
  );
}

const PLAIN = {
  1: (v) => v.setLayout("four"),
  2: (v) => v.setLayout("axial"),
  3: (v) => v.setLayout("coronal"),
  4: (v) => v.setLayout("sagittal"),
  5: (v) => v.setLayout("render"),
  r: (v) => v.swapSides(),
  c: (v) => v.setTool("cross"),
  w: (v) => v.setTool("window"),
  p: (v) => v.setTool("pan"),
  m: (v) => v.setTool("ruler"),
  a: (v) => v.setTool("angle"),
  l: (v) => v.toggleLabels(),
  o: (v) => v.toggleOutline(),
  b: (v) => v.setTool("brush"),
  f: (v) => v.setTool("filled"),
  e: (v) => v.setTool("eraser"),
  g: (v) => v.setTool("flood"),
  d: (v) => v.setTool("ball"),
  "[": (v) => v.resizePen(-2),
  "]": (v) => v.resizePen(2),
  "+": (v) => v.scene.zoom(1.25),
  "=": (v) => v.scene.zoom(1.25),
  "-": (v) => v.scene.zoom(0.8),
  0: (v) => v.scene.resetView(),
  "?": (v) => v.toggleHelp(),
  ArrowLeft: (v) => v.step(-1, 0),
  ArrowRight: (v) => v.step(1, 0),
  ArrowUp: (v) => v.step(0, 1),
  ArrowDown: (v) => v.step(0, -1),
};

const WITH_CONTROL = {
  z: (v) => v.undo(),
  y: (v) => v.redo(),
  Z: (v) => v.redo(),
  s: (v) => v.save(),
};

/** Listen to keys while the viewer has the focus; the page around it and NiiVue hear none of them. */
export function listenToKeys(root, viewer) {
  root.addEventListener(
    "keydown",
    (event) => {
      event.stopPropagation();
      if (event.target.matches("input, select, textarea")) return;
      const known = event.ctrlKey || event.metaKey ? WITH_CONTROL : PLAIN;
      if (!known[event.key] || event.altKey) return;
      event.preventDefault();
      known[event.key](viewer);
    },
    { capture: true },
  );
  root.addEventListener("keyup", (event) => event.stopPropagation(), { capture: true });
}
