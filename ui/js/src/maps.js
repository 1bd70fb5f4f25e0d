import { element } from "./dom.js";

// Colours of NiiVue, and the same as a bar beside them.
const BARS = {
  viridis: "linear-gradient(90deg, #440154, #3b528b, #21918c, #5ec962, #fde725)",
  inferno: "linear-gradient(90deg, #000004, #57106e, #bc3754, #f98e09, #fcffa4)",
};

/** The maps that belong to a result: probabilities, uncertainty, gates. One at a time lies over the image. */
export function mapList(viewer) {
  let offered = [];
  const choice = element("select", { className: "ms-field ms-wide", title: "A map over the image", name: "map" });
  const slider = (key, title) => {
    const made = element("input", { type: "range", min: 0, max: 1, step: 0.05, title });
    made.value = viewer.mapStyle[key];
    made.onchange = () => {
      viewer.mapStyle[key] = Number(made.value);
      show();
    };
    return made;
  };
  const bar = element("div", { className: "ms-colours" });
  const ends = element("div", { className: "ms-ends ms-quiet" });
  const about = element("p", { className: "ms-quiet" });
  const named = (text, field) => element("label", { className: "ms-named" }, text, field);
  const style = element(
    "div",
    { className: "ms-mapped" },
    bar,
    ends,
    about,
    named("Opacity", slider("opacity", "How opaque the map is")),
    named("From", slider("from", "Values below this share of the range are not drawn")),
  );
  const root = element("div", { className: "ms-style", hidden: true }, element("h3", {}, "Maps"), choice, style);

  const show = async () => {
    const map = offered.find(({ id }) => id === choice.value) ?? null;
    style.hidden = map === null;
    if (map) {
      bar.style.background = BARS[map.colours];
      ends.replaceChildren(...map.range.map((value) => element("span", {}, String(value))));
      about.textContent = map.about;
      viewer.say("Loading the map…");
    }
    const [low, high] = map?.range ?? [0, 1];
    const { opacity, from } = viewer.mapStyle;
    try {
      await viewer.scene.showMap(map, { opacity, from: low + from * (high - low) });
      viewer.say("");
    } catch (error) {
      viewer.say(`The map cannot be shown: ${error.message}`, true);
    }
    // Filled labels would hide the map; their outlines do not.
    if (map && !viewer.root.dataset.map) viewer.outlineForMap(true);
    if (!map && viewer.root.dataset.map) viewer.outlineForMap(false);
    viewer.root.dataset.map = map?.id ?? "";
    viewer.showPlace();
  };
  choice.onchange = show;

  /** @param {{id: string, title: string, about: string, url: string, colours: string, range: number[]}[]} maps */
  root.offer = (maps) => {
    if (maps.map(({ id }) => id).join() === offered.map(({ id }) => id).join()) return;
    const before = choice.value;
    offered = maps;
    const options = maps.map(({ id, title }) => element("option", { value: id }, title));
    choice.replaceChildren(element("option", { value: "" }, "None"), ...options);
    root.hidden = !maps.length;
    style.hidden = true;
    if (before) show(); // the map that is shown belongs to another result
  };
  return root;
}
