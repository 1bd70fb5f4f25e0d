import { element } from "./dom.js";

const ASK_EVERY_MS = 400;

/** A contour on its way: shown as it moves while a job runs, and step by step afterwards. */
export class Course {
  constructor(viewer) {
    this.viewer = viewer;
    this.frames = [];
    this.watched = null;
    this.title = element("span", { className: "ms-quiet" });
    this.slider = element("input", { type: "range", min: 0, step: 1, title: "Steps of the contour", name: "course" });
    this.slider.oninput = () => this.show(Number(this.slider.value));
    this.element = element(
      "div",
      { className: "ms-style", hidden: true },
      element("h3", {}, "Contour"),
      element("label", { className: "ms-named" }, this.slider),
      this.title,
    );
  }

  /**
   * @param {{iteration: number, url: string}[]} frames of the result that is shown
   * @param {{url: string}|null} watch where a running job lists the frames that it has so far
   */
  apply(frames, watch) {
    if (watch?.url !== this.watched) {
      this.watched = watch?.url ?? null;
      if (watch) this.follow(watch.url);
    }
    if (watch) return;
    this.take(frames, frames.length - 1);
  }

  take(frames, at) {
    this.frames = frames;
    this.element.hidden = frames.length === 0;
    this.slider.max = Math.max(0, frames.length - 1);
    this.slider.value = at;
    this.caption(at);
  }

  caption(at) {
    this.title.textContent = this.frames[at] ? `iteration ${this.frames[at].iteration}` : "";
  }

  async follow(url) {
    let seen = 0;
    while (this.watched === url) {
      try {
        const response = await fetch(url);
        if (!response.ok) return;
        const { frames } = await response.json();
        if (frames.length > seen) {
          seen = frames.length;
          this.take(frames, seen - 1);
          await this.show(seen - 1);
        }
      } catch (error) {
        this.viewer.say(`The contour cannot be watched: ${error.message}`, true);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    }
  }

  async show(at) {
    if (this.viewer.edits.unsaved) {
      this.viewer.say("Save or undo what you drew first.", true);
      return;
    }
    this.viewer.setEditing(false);
    this.viewer.edits.forget();
    this.caption(at);
    const frame = this.frames[at];
    this.viewer.root.dataset.iteration = frame.iteration;
    await this.viewer.scene.showLabels(frame.url);
  }

  close() {
    this.watched = null;
  }
}
