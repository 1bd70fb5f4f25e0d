"""A plugin's step moves the labels of a result, and may be watched: the outcome is a result of its own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import medseg
from medseg import CancelToken, Progress, Volume, default_registry, options_of
from medseg_ui.frames import find_frames, frame_path
from medseg_ui.measures import keep_labels, name_labels, read_classes, shown_bytes


def refine(
    folder: Path,
    *,
    step: str,
    options: Mapping[str, Any],
    labels: str,
    before: str,
    volume: str,
    entries: list[dict[str, Any]],
    origin: Mapping[str, Any],
    progress: Callable[[Progress], None],
    cancel: CancelToken,
) -> dict[str, Any]:
    """Apply a step of a plugin's panel to a label map.

    Args:
        folder: where the result and the frames go.
        step, options: full name of the step, and what differs from its defaults.
        labels: path of what is changed.
        before: the label map that it was before somebody corrected it by hand, if somebody did: what
            they changed stays as they left it.
        volume: the image.
        entries: names and colours of the labels.
        origin: what is known of the labels, for the record.
        progress, cancel: as everywhere.
    """
    progress(Progress(stage="refine", done=0, total=1))
    image, drawn = medseg.load(volume), medseg.load(labels, kind="labels")
    classes = read_classes(entries)
    found = default_registry().find("step", step)
    known = options_of(default_registry().load(found))
    total = int(options.get("iterations", known["iterations"].default if "iterations" in known else 1))
    rows = name_labels(np.unique(drawn.array).tolist(), classes)

    def keep_frame(done: int, moved: Volume) -> None:
        cancel.check()
        shown = image.with_array(shown_bytes(moved.array, rows), kind="labels")
        medseg.save(shown, frame_path(folder, done))
        progress(Progress(stage="refine", done=done, total=max(total, 1)))

    keep_frame(0, drawn)
    fixed = None
    if before:
        changed = medseg.load(before, kind="labels").array != drawn.array
        fixed = image.with_array(changed.astype(np.uint8), kind="labels")
    # The reader gives the affine of the file, which may differ from the image's in the last digit.
    on_image = image.with_array(drawn.array, kind="labels")
    moved = medseg.refine(image, on_image, step, fixed=fixed, on_labels=keep_frame, **options)
    frames = find_frames(folder)
    record = {"step": found.full_name, "options": dict(options), "kept_by_hand": bool(before)}
    return keep_labels(folder, moved, image, classes) | {
        "provenance": record | dict(origin),
        "model": found.full_name,
        "frames": frames if len(frames) > 1 else [],  # a step that does not tell has one alone
    }
