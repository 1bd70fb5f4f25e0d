import { element } from "./dom.js";
import { describeVolume } from "./readout.js";

/** Three planes as pictures from the server, for browsers without WebGL2: to look at, not to edit. */
export class Planes {
  constructor(parent) {
    this.message = element("div", { className: "ms-message" });
    this.facts = element("div", { className: "ms-facts" });
    this.views = element("div", { className: "ms-planes" });
    this.labels = element("div", { className: "ms-labels" });
    this.root = element(
      "div",
      { className: "ms-root ms-plain" },
      element("p", { className: "ms-quiet" }, "This browser has no WebGL2: plain slices, without 3-D and editing."),
      this.views,
      this.labels,
      element("div", { className: "ms-foot" }, this.facts),
      this.message,
    );
    parent.append(this.root); // beside the style sheet that Streamlit puts there
  }

  open() {}

  apply({ volume, labels }) {
    this.facts.textContent = describeVolume(volume);
    this.views.replaceChildren(...volume.planes.map((plane) => this.view(plane, volume, labels)));
    const entries = labels?.entries ?? [];
    this.labels.replaceChildren(
      ...entries.map(({ name, colour, ml }) => {
        const swatch = element("span", { className: "ms-swatch" });
        swatch.style.background = colour;
        return element("div", { className: "ms-row" }, swatch, `${name} ${ml.toFixed(1)} mL`);
      }),
    );
    this.root.dataset.volume = volume.id;
  }

  view({ name, axis, count, middle, letters }, volume, labels) {
    const picture = element("img", { alt: `${name} slice` });
    const at = element("span", {});
    const slider = element("input", { type: "range", min: 0, max: count - 1, value: middle, title: `${name} slice` });
    const show = () => {
      const [low, high] = volume.window;
      const query = new URLSearchParams({ axis, index: slider.value, low, high });
      if (labels) query.set("labels", labels.token);
      picture.src = `${volume.sliceUrl}?${query}`;
      at.textContent = `${name} ${Number(slider.value) + 1} of ${count}`;
    };
    slider.oninput = show;
    show();
    const edges = ["left", "right", "top", "bottom"];
    const marks = edges.map((edge, n) => element("span", { className: `ms-mark ms-${edge}` }, letters[n]));
    const framed = element("div", { className: "ms-framed" }, picture, ...marks);
    return element("figure", {}, framed, element("figcaption", {}, at), slider);
  }

  say(text) {
    this.message.textContent = text;
  }

  close() {
    this.root.remove();
  }
}
