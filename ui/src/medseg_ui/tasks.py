"""What a job's child process does: read, segment, measure, compare, refine, export.

Each task takes its arguments from ``task.json`` and returns what goes into ``outcome.json``; files
go into the folder that it is given. Volumes are read here alone, never in the server.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import medseg
from medseg import CancelToken, Progress, Volume, VolumeError, check, default_registry
from medseg.plugin import Export, Result
from medseg_ui import agreement
from medseg_ui.maps import write_maps
from medseg_ui.measures import keep_labels, read_classes, show_labels
from medseg_ui.refining import refine

Outcome = dict[str, Any]
OnProgress = Callable[[Progress], None]
_SHOWN_TYPES = ("uint8", "int16", "uint16", "int32", "float32")  # those that WebGL's textures are made of


def run(task: Mapping[str, Any], folder: Path, *, progress: OnProgress, cancel: CancelToken) -> Outcome:
    """Do a task; ``kind`` says which, the other fields are its arguments."""
    arguments = {name: value for name, value in task.items() if name != "kind"}
    if task["kind"] == "segment":
        return segment(folder, progress=progress, cancel=cancel, **arguments)
    if task["kind"] == "refine":
        return refine(folder, progress=progress, cancel=cancel, **arguments)
    simple: dict[str, Callable[..., Outcome]] = {
        "read": read,
        "reference": read_reference,
        "measure": measure,
        "compare": compare,
        "check": check_channels,
        "export": export,
    }
    return simple[task["kind"]](folder, **arguments)


def read(folder: Path, *, source: str, options: Mapping[str, Any]) -> Outcome:
    """Read an image, write it as the viewer fetches it, and check it against every model's contract."""
    image = medseg.load(source, **options)
    array = image.array if image.array.dtype.name in _SHOWN_TYPES else image.array.astype(np.float32)
    shown = image.with_array(array)
    medseg.save(shown, folder / "volume.nii")
    low, p1, p99, high = np.percentile(array, [0, 1, 99.5, 100]).tolist()
    problems = {
        name: [_problem_json(problem) for problem in check([image], model.input)]
        for name, model in medseg.models().items()
        if len(model.input.channels) == 1  # the others are checked when their images are chosen
    }
    return {
        "facts": {
            "format": medseg.format_of(source),
            "fingerprint": _fingerprint(image),
            "shape": list(image.shape),
            "spacing_mm": list(image.spacing_mm),
            "orientation": image.orientation,
            "affine": image.affine.tolist(),
            "voxel_ml": image.voxel_ml,
            "oblique_degrees": _obliqueness(image),
            "range": [low, high],
            "percentiles": [p1, max(p99, p1 + 1e-6)],
            "notes": list(image.notes),
            "problems": problems,
        }
    }


def segment(
    folder: Path,
    *,
    channels: list[dict[str, Any]],
    volume: str,
    model: str,
    options: Mapping[str, Any],
    execution: Mapping[str, Any],
    force: bool,
    progress: OnProgress,
    cancel: CancelToken,
) -> Outcome:
    """Run a model and keep labels, maps, measures, picture and provenance."""
    progress(Progress(stage="start", done=0, total=1))
    loaded = medseg.load_model(model, options=options, execution=medseg.Execution(**execution))
    cancel.check()
    images = _load_channels(channels)
    result = loaded.segment(images, force=force, progress=progress, cancel=cancel)
    progress(Progress(stage="measure", done=0, total=1))
    medseg.draw(images[0], result, folder / "picture.png", title=model.partition(":")[2])
    image = medseg.load(volume)
    shown = keep_labels(folder, result.labels, image, result.classes)
    cancel.check()
    return shown | {
        "maps": write_maps(result, image, folder),
        "provenance": dict(result.provenance),
        "warnings": list(result.warnings),
        "model": model,
    }


def check_channels(folder: Path, *, channels: list[dict[str, Any]], model: str) -> Outcome:  # noqa: ARG001  # every task has a folder
    """List what a model's contract objects to in several images."""
    problems = check(_load_channels(channels), medseg.models()[model].input)
    return {"problems": [_problem_json(problem) for problem in problems]}


def read_reference(folder: Path, *, source: str, volume: str) -> Outcome:
    """Read a label map that somebody else made, and check that it is on the image's grid."""
    labels, image = medseg.load(source, kind="labels"), medseg.load(volume)
    if not labels.grid.matches(image.grid, tolerance_mm=0.05):
        raise VolumeError(
            f"the label map is on another grid than the image: {labels.grid!r} instead of {image.grid!r}; "
            "resample it to the image first, or choose the image that it was drawn on"
        )
    return keep_labels(folder, labels, image, ()) | {"provenance": {"source": "a file"}, "model": ""}


def measure(folder: Path, *, volume: str, entries: list[dict[str, Any]]) -> Outcome:
    """Measure labels that were edited by hand; ``labels.nii.gz`` is in the folder already."""
    labels = medseg.load(folder / "labels.nii.gz", kind="labels")
    return keep_labels(folder, labels, medseg.load(volume), read_classes(entries), write=False)


def compare(
    folder: Path, *, first: str, second: str, volume: str, entries: list[list[dict[str, Any]]]
) -> Outcome:
    """Compare two label maps, and write the map of their errors for the viewer."""
    matching = agreement.match_labels(*entries)
    a, b = medseg.load(first, kind="labels"), medseg.load(second, kind="labels")
    b = agreement.renumber(b, matching.numbers)
    rows, failed = agreement.compare(a, b, matching.names)
    errors = a.with_array(agreement.error_map(a.array, b.array), kind="labels")
    return {"rows": rows, "warnings": matching.remarks + failed} | show_labels(
        errors, medseg.load(volume), agreement.ERRORS, folder
    )


def export(
    folder: Path,
    *,
    name: str,
    file: str,
    labels: str,
    source: str,
    read_options: Mapping[str, Any],
    fingerprint: str,
    model: str,
    classes: list[dict[str, Any]],
    provenance: Mapping[str, Any],
) -> Outcome:
    """Write a result as another object with a plugin's export."""
    registry = default_registry()
    found = registry.find("export", name)
    assert isinstance(found.component, Export)  # the registry checked it; this tells mypy
    if found.component.image_format:  # it refers to the images, and so reads them again
        _load_unchanged(source, read_options, fingerprint)
    result = Result(
        labels=medseg.load(labels, kind="labels"),
        classes=read_classes(classes),
        model=model,
        provenance=provenance,
        source=Path(source),
        read_options=read_options,
    )
    registry.load(found)(result, folder / file)
    return {"file": file}


def _load_channels(channels: list[dict[str, Any]]) -> list[Volume]:
    return [_load_unchanged(**channel) for channel in channels]


def _load_unchanged(source: str, options: Mapping[str, Any], fingerprint: str) -> Volume:
    """Read an image again, which must be the one that is shown: a result is laid over that."""
    image = medseg.load(source, **options)
    if _fingerprint(image) != fingerprint:
        raise VolumeError(
            f"the file of an image ({image!r}) is another than when it was opened, so a result would not fit "
            "what is shown; open it again"
        )
    return image


def _fingerprint(image: Volume) -> str:
    """What tells an image from another in its place: a hash of its voxels and affine."""
    digest = hashlib.sha256(f"{image.array.dtype.str} {image.shape}".encode())
    for plane in image.array:  # never a second copy of the whole
        digest.update(np.ascontiguousarray(plane).data)
    digest.update(np.ascontiguousarray(image.affine).data)
    return digest.hexdigest()


def _problem_json(problem: medseg.Problem) -> dict[str, str]:
    return {"text": str(problem), "severity": problem.severity}


def _obliqueness(image: Volume) -> float:
    """Largest angle in degrees between an axis of the array and its nearest axis of the patient."""
    cosines = np.abs(image.affine[:3, :3]) / np.linalg.norm(image.affine[:3, :3], axis=0)
    return float(np.degrees(np.arccos(np.clip(cosines.max(axis=0), -1, 1))).max())
