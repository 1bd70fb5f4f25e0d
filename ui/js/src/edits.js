/** Undo and redo: for each edit, the voxels that it changed and their labels before and after. */
export class Edits {
  /** @param {number} limit edits that are kept */
  constructor(limit = 50) {
    this.limit = limit;
    this.forget();
  }

  /** Begin again from a label map as it is now. */
  start(bitmap) {
    this.forget();
    this.last = bitmap.slice();
  }

  forget() {
    this.last = null;
    this.done = [];
    this.undone = [];
    this.saved = 0;
  }

  /** Keep what has changed since the last call; false if nothing has. */
  record(bitmap) {
    let count = 0;
    for (let n = 0; n < bitmap.length; n++) if (bitmap[n] !== this.last[n]) count++;
    if (count === 0) return false;
    const places = new Uint32Array(count);
    const before = new Uint8Array(count);
    const after = new Uint8Array(count);
    for (let n = 0, at = 0; n < bitmap.length; n++) {
      if (bitmap[n] === this.last[n]) continue;
      places[at] = n;
      before[at] = this.last[n];
      after[at++] = bitmap[n];
      this.last[n] = bitmap[n];
    }
    this.done.push({ places, before, after });
    this.undone = [];
    if (this.done.length > this.limit) {
      this.done.shift();
      this.saved--; // below zero: the saved state can no longer be reached by undoing
    }
    return true;
  }

  undo(bitmap) {
    return this.#move(bitmap, this.done, this.undone, "before");
  }

  redo(bitmap) {
    return this.#move(bitmap, this.undone, this.done, "after");
  }

  markSaved() {
    this.saved = this.done.length;
  }

  get unsaved() {
    return this.last !== null && this.done.length !== this.saved;
  }

  #move(bitmap, from, to, side) {
    const edit = from.pop();
    if (!edit) return false;
    edit.places.forEach((place, n) => {
      bitmap[place] = edit[side][n];
      this.last[place] = edit[side][n];
    });
    to.push(edit);
    return true;
  }
}
