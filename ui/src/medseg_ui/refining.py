"""A plugin's step moves the labels of a result: the outcome is a result of its own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import medseg
from medseg import CancelToken, Progress, check_options, default_registry
from medseg_ui.measures import keep_labels, read_classes


def refine(
    folder: Path,
    *,
    step: str,
    options: Mapping[str, Any],
    labels: str,
    volume: str,
    entries: list[dict[str, Any]],
    origin: Mapping[str, Any],
    progress: Callable[[Progress], None],
    cancel: CancelToken,
) -> dict[str, Any]:
    """Apply a step of a plugin's panel to a label map."""
    progress(Progress(stage="refine", done=0, total=1))
    registry = default_registry()
    found = registry.find("step", step)
    factory = registry.load(found)
    apply = factory(**check_options(factory, options, owner=f"step {found.full_name}"))
    cancel.check()
    changed, _ = apply(medseg.load(labels, kind="labels"))
    return keep_labels(folder, changed, medseg.load(volume), read_classes(entries)) | {
        "provenance": {"step": found.full_name, "options": dict(options), "of": dict(origin)},
        "model": found.full_name,
    }
