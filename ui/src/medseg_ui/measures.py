"""A label map as the viewer shows it: one byte a voxel, and a row for each label."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import medseg
from medseg import Volume, VolumeError
from medseg.plugin import Code, Label

MOST_LABELS = 255
_EDGES = (("left", "right"), ("back", "front"), ("bottom", "top"))
# Okabe & Ito's palette, which people with any colour vision can tell apart, then lighter and darker ones.
PALETTE = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#9ad0f5",
    "#7fc97f",
    "#fdc086",
    "#beaed4",
    "#a6761d",
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One label of a result.

    Args:
        index: the byte that stands for it in the viewer.
        value: its number in the label map.
        name, colour: as the legend shows them.
        voxels, ml: its size.
        mean: mean value of the image inside it; None if it is empty.
        cut: the edges of the image that it touches: its true size may be larger.
    """

    index: int
    value: int
    name: str
    colour: str
    voxels: int = 0
    ml: float = 0.0
    mean: float | None = None
    cut: tuple[str, ...] = ()


def name_labels(values: Sequence[int], classes: Sequence[Label] = ()) -> list[Entry]:
    """Names and colours for label values, as the model says, else numbers and a palette.

    Raises:
        VolumeError: more labels than a byte can tell apart.
    """
    known = {label.value: label for label in classes}
    wanted = sorted({*values, *known} - {0})
    if len(wanted) > MOST_LABELS:
        raise VolumeError(
            f"{len(wanted)} labels; the viewer shows at most {MOST_LABELS}. Is it a label map, or an image?"
        )
    direct = not wanted or wanted[-1] <= MOST_LABELS
    return [
        Entry(
            index=value if direct else order,
            value=value,
            name=known[value].name if value in known else f"label {value}",
            colour=known[value].colour if value in known else PALETTE[(order - 1) % len(PALETTE)],
        )
        for order, value in enumerate(wanted, start=1)
    ]


def keep_labels(
    folder: Path, labels: Volume, image: Volume, classes: tuple[Label, ...], *, write: bool = True
) -> dict[str, Any]:
    """Write a label map, as it is and as the viewer fetches it, and measure its labels.

    Args:
        folder: where the files go.
        labels: (I, J, K) on the grid of the image.
        image: as the viewer shows it.
        classes: what the values mean, as far as it is known.
        write: ``labels.nii.gz`` too; it is there already, if not.
    """
    if write:
        medseg.save(labels, folder / "labels.nii.gz")
    entries = name_labels(np.unique(labels.array).tolist(), classes)
    # The reader gives the affine of the file, which may differ from the image's in the last digit.
    on_image = image.with_array(labels.array, kind="labels")
    return show_labels(on_image, image, entries, folder) | {
        "classes": [_class_json(label) for label in classes]
    }


def show_labels(labels: Volume, image: Volume, entries: Sequence[Entry], folder: Path) -> dict[str, Any]:
    """Write ``shown.nii`` for the viewer and measure every label.

    Args:
        labels: (I, J, K) on the grid of the image.
        image: what the mean values are taken of.
        entries: from ``name_labels``.
        folder: where the file goes.

    Returns:
        The measured entries as JSON, and the centre of all labels in RAS+ mm, if there are any.
    """
    indices = shown_bytes(labels.array, entries)
    medseg.save(labels.with_array(indices, kind="labels"), folder / "shown.nii")
    counts = np.bincount(indices.ravel(), minlength=MOST_LABELS + 1)
    sums = np.bincount(
        indices.ravel(), weights=image.array.ravel().astype(np.float64), minlength=MOST_LABELS + 1
    )
    touched, centres = _touched_edges(indices, labels), _centres(indices, labels)
    measured = [
        asdict(entry)
        | {
            "voxels": int(counts[entry.index]),
            "ml": float(counts[entry.index]) * labels.voxel_ml,
            "mean": float(sums[entry.index] / counts[entry.index]) if counts[entry.index] else None,
            "cut": touched.get(entry.index, []),
            "centre": centres.get(entry.index),
        }
        for entry in entries
    ]
    return {"entries": measured, "centre": _centre(indices, labels)}


def shown_bytes(array: NDArray[Any], entries: Sequence[Entry]) -> NDArray[np.uint8]:
    """A label map (I, J, K) as the bytes that stand for its labels in the viewer."""
    if all(entry.index == entry.value for entry in entries):
        return array.astype(np.uint8)
    values = np.array([0, *(entry.value for entry in entries)])
    return np.searchsorted(values, array).astype(np.uint8)


def _touched_edges(indices: NDArray[np.uint8], labels: Volume) -> dict[int, list[str]]:
    touched: dict[int, list[str]] = {}
    ends = {
        letter: name
        for names, pair in zip(_EDGES, ("LR", "PA", "IS"), strict=True)
        for letter, name in zip(pair, names, strict=True)
    }
    opposite = dict(zip("LRPAIS", "RLAPSI", strict=True))
    for axis, letter in enumerate(labels.orientation):
        if labels.shape[axis] == 1:
            continue  # a single slice has no inside to be cut off from
        for position, end in ((0, opposite[letter]), (-1, letter)):
            for index in np.unique(np.take(indices, position, axis=axis)):
                if index:
                    touched.setdefault(int(index), []).append(ends[end])
    return touched


def _centres(indices: NDArray[np.uint8], labels: Volume) -> dict[int, list[float]]:
    """The middle of each label's box in RAS+ mm."""
    found = {}
    for index, box in enumerate(ndimage.find_objects(indices), start=1):
        if box is not None:
            middle = [(side.start + side.stop - 1) / 2 for side in box]
            found[index] = (labels.affine @ np.array([*middle, 1.0]))[:3].tolist()
    return found


def _centre(indices: NDArray[np.uint8], labels: Volume) -> list[float] | None:
    occupied = [np.flatnonzero(indices.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not occupied[0].size:
        return None
    middle = [float(where[0] + where[-1]) / 2 for where in occupied]
    world: list[float] = (labels.affine @ np.array([*middle, 1.0]))[:3].tolist()
    return world


def csv_rows(entries: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The table of a result's labels, with its heading."""
    rows: list[list[Any]] = [["label", "name", "volume_ml", "voxels", "mean_value", "cut_by_field_of_view"]]
    for entry in entries:
        mean = "" if entry["mean"] is None else round(entry["mean"], 4)
        rows.append(
            [
                entry["value"],
                entry["name"],
                round(entry["ml"], 4),
                entry["voxels"],
                mean,
                " ".join(entry["cut"]),
            ]
        )
    return rows


def _class_json(label: Label) -> dict[str, Any]:
    def terms(code: Code | None) -> list[str] | None:
        return [code.scheme, code.value, code.meaning] if code else None

    return {
        "value": label.value,
        "name": label.name,
        "colour": label.colour,
        "category": terms(label.category),
        "type": terms(label.type),
    }


def read_classes(entries: list[dict[str, Any]]) -> tuple[Label, ...]:
    """What the values of a label map mean, from the JSON of ``keep_labels`` or of entries."""

    def code(terms: list[str] | None) -> Code | None:
        return Code(scheme=terms[0], value=terms[1], meaning=terms[2]) if terms else None

    return tuple(
        Label(
            value=entry["value"],
            name=entry["name"],
            colour=entry["colour"],
            category=code(entry.get("category")),
            type=code(entry.get("type")),
        )
        for entry in entries
    )
