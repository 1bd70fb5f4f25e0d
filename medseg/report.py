"""Volumes, as text for people and as JSON; and how a mask agrees with surfaces."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from medseg.errors import VolumeError
from medseg.formats import list_contents, load, reader_options
from medseg.provenance import volume_sha256
from medseg.volume import Kind, Volume


def describe_volume(source: Path, *, kind: Kind, options: dict[str, Any]) -> dict[str, Any]:
    """What a file or folder holds, its ``series`` if there are several, or why it is ``refused``."""
    try:
        contents = () if "series" in options else list_contents(source)
        options = reader_options(source, options)
        if len(contents) > 1:
            return {"file": source.name, "series": [asdict(content) for content in contents]}
        return {"file": source.name, **volume_json(load(source, kind=kind, **options))}
    except VolumeError as error:
        return {"file": source.name, "refused": str(error)}


def volume_json(volume: Volume) -> dict[str, Any]:
    """Grid, type, range and notes of a volume."""
    values = volume.array
    described: dict[str, Any] = {
        "kind": volume.kind,
        "type": str(values.dtype),
        "shape": list(volume.shape),
        "spacing_mm": [round(mm, 6) for mm in volume.spacing_mm],
        "orientation": volume.orientation,
        "affine": volume.affine.tolist(),
        "modality": volume.modality,
        "unit": volume.unit,
        "range": [values.min().item(), values.max().item()],
        "sha256": volume_sha256(volume),
        "notes": list(volume.notes),
    }
    if volume.kind == "labels":
        present, counts = np.unique(values, return_counts=True)
        described["labels"] = {str(label): int(n) for label, n in zip(present, counts, strict=True)}
    return described


def show_series(described: dict[str, Any]) -> None:
    """Print the series that ``describe_volume`` found."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(described["file"], style="bold")
    for series in described["series"]:
        console.print(f"  series {series['number']}: {series['summary']}")
        if series["refusal"]:
            console.print(f"    would be refused: {series['refusal']}")


def show_volume(described: dict[str, Any]) -> None:
    """Print what ``describe_volume`` found."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    size = " x ".join(map(str, described["shape"]))
    spacing = " x ".join(f"{mm:g}" for mm in described["spacing_mm"])
    console.print(described["file"], style="bold")
    low, high = described["range"]
    kind = f"{described['modality']} {described['kind']}".lstrip()
    values = f"{described['type']} from {low:g} to {high:g} {described['unit']}".rstrip()
    console.print(f"  {kind}, {size} voxels of {spacing} mm, {described['orientation']}, {values}")
    if "labels" in described:
        shown = ", ".join(f"{label}: {n:,}" for label, n in list(described["labels"].items())[:20])
        console.print(f"  voxels of each label: {shown}")
    for note in described["notes"]:
        console.print(f"  note: {note}")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How a brain mask agrees with the cerebrum of FreeSurfer surfaces.

    Args:
        covered: fraction of the surfaces' voxels that the mask holds.
        dice: of the mask and those voxels.
        reference_ml: volume of those voxels.
    """

    covered: float
    dice: float
    reference_ml: float

    def as_json(self) -> dict[str, float]:
        """The three numbers."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """For people, with the reason why this Dice cannot be 1."""
        covered = math.floor(self.covered * 1e5) / 1e5  # 100 % is said only of all of it
        return (
            f"The mask holds {covered:.3%} of the cerebrum inside this subject's FreeSurfer surfaces "
            f"({self.reference_ml:,.1f} mL); Dice {self.dice:.3f}, below 1 by nature, since a brain mask "
            "also holds cerebellum, brain stem and CSF."
        )


def compare_with_surfaces(brain: Volume, labels: Path) -> Agreement:
    """Compare a brain mask with a label map of grey and white matter on the same grid."""
    mask, truth = brain.array > 0, load(labels, kind="labels").array > 0
    both = int((mask & truth).sum())
    return Agreement(
        covered=both / int(truth.sum()),
        dice=2 * both / (int(mask.sum()) + int(truth.sum())),
        reference_ml=float(truth.sum()) * brain.voxel_ml,
    )
