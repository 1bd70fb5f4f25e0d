// The component that takes files: they go to the server's disk one by one, never into its memory.
import { element } from "./dom.js";
import { putFile } from "./transfer.js";

const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);

/** All files of what was dropped, folders with everything that is in them. */
async function filesOf(items) {
  const found = [];
  const visit = async (entry, path) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      found.push({ file, name: path + file.name });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!batch.length) return;
      for (const inner of batch) await visit(inner, `${path}${entry.name}/`);
    }
  };
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  for (const entry of entries) await visit(entry, "");
  return found;
}

class Drop {
  constructor(parent) {
    const chosen = ({ target }) => {
      this.send([...target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
      target.value = "";
    };
    this.files = element("input", { type: "file", multiple: true, hidden: true, onchange: chosen });
    this.folder = element("input", { type: "file", webkitdirectory: true, hidden: true, onchange: chosen });
    this.files.dataset.kind = "files";
    this.folder.dataset.kind = "folder";
    this.bar = element("progress", { hidden: true, max: 1 });
    this.message = element("div", { className: "ms-quiet", role: "status" });
    this.hint = element("div", { className: "ms-quiet" });
    const button = (text, input) =>
      element("button", { type: "button", className: "ms-button", onclick: () => input.click() }, text);
    this.title = element("strong");
    this.root = element(
      "div",
      { className: "ms-drop" },
      this.title,
      this.hint,
      element("div", {}, button("Choose files", this.files), " ", button("Choose a folder", this.folder)),
      this.files,
      this.folder,
      this.bar,
      this.message,
    );
    this.root.ondragover = (event) => {
      event.preventDefault();
      this.root.classList.add("ms-over");
    };
    this.root.ondragleave = () => this.root.classList.remove("ms-over");
    this.root.ondrop = async (event) => {
      event.preventDefault();
      this.root.classList.remove("ms-over");
      this.send(await filesOf(event.dataTransfer.items));
    };
    parent.append(this.root); // beside the style sheet that Streamlit puts there
  }

  apply({ url, title, hint, limitBytes, large }, report) {
    this.root.classList.toggle("ms-large", large);
    Object.assign(this, { url, limitBytes, report });
    this.title.textContent = title;
    this.hint.textContent = hint;
  }

  async send(files) {
    const total = files.reduce((sum, { file }) => sum + file.size, 0);
    if (!files.length) return;
    if (total > this.limitBytes) {
      this.say(`${megabytes(total)} MB are too much; at most ${megabytes(this.limitBytes)} MB go at once.`);
      return;
    }
    const batch = Array.from(crypto.getRandomValues(new Uint8Array(8)), (n) => n.toString(16).padStart(2, "0")).join("");
    this.bar.hidden = false;
    let sent = 0;
    try {
      for (const [n, { file, name }] of files.entries()) {
        const onSent = (bytes) => {
          this.bar.value = total ? (sent + bytes) / total : 1;
          this.say(`${megabytes(sent + bytes)} of ${megabytes(total)} MB`);
        };
        await putFile(`${this.url}/${batch}/${n}`, file, { name, onSent });
        sent += file.size;
      }
      this.say("");
      this.report(batch);
    } catch (error) {
      this.say(`Not sent: ${error.message}`);
    }
    this.bar.hidden = true;
  }

  say(text) {
    this.message.textContent = text;
  }
}

const mounted = new WeakMap();

export default function mount({ data, parentElement, setTriggerValue }) {
  const drop = mounted.get(parentElement) ?? new Drop(parentElement);
  mounted.set(parentElement, drop);
  drop.apply(data, (batch) => setTriggerValue("sent", batch));
  return () => {
    drop.root.remove();
    mounted.delete(parentElement);
  };
}
