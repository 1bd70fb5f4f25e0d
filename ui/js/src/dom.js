/** An element with properties and children: element("button", { title: "…" }, "Save"). */
export function element(tag, properties = {}, ...children) {
  const { dataset = {}, ...plain } = properties;
  const made = Object.assign(document.createElement(tag), plain);
  Object.assign(made.dataset, dataset);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A button that stays pressed while ``isOn()``; ``update`` brings it in step. */
export function toggle({ text, title, isOn, onClick, name }) {
  const button = element("button", { type: "button", title, onclick: onClick, className: "ms-button" }, text);
  if (name) button.dataset.name = name;
  button.update = () => {
    button.setAttribute("aria-pressed", String(isOn()));
  };
  return button;
}

/** A button that does something once. */
export function action({ text, title, onClick, name, className = "" }) {
  const button = element("button", { type: "button", title, onclick: onClick, className: `ms-button ${className}` }, text);
  if (name) button.dataset.name = name;
  button.update = () => {};
  return button;
}

export function group(label, ...children) {
  const made = element("div", { className: "ms-group", role: "group" }, ...children);
  made.setAttribute("aria-label", label);
  return made;
}
