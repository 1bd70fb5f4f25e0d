"""What can be opened: a case, and the results that are made of it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medseg_ui.jobs import Job
from medseg_ui.measures import PALETTE

Origin = Literal["model", "edited", "reference", "refined"]
# What can be drawn with where no model has named labels.
OUTSIDE = 8
DRAFT_ENTRIES: list[dict[str, Any]] = [
    {
        "index": n,
        "value": n,
        "name": f"label {n}" if n < OUTSIDE else "outside, for strokes",
        "colour": PALETTE[n - 1],
        "voxels": 0,
        "ml": 0.0,
        "mean": None,
    }
    | {"cut": []}
    for n in range(1, OUTSIDE + 1)
]


@dataclass(kw_only=True)
class Result:
    """A label map of a case.

    Args:
        title: for people.
        origin: who made it.
        folder: holds ``labels.nii.gz`` and, for the viewer, ``shown.nii``.
        entries: a row for each label, see ``medseg_ui.measures``.
        maps: probabilities and the like, see ``medseg_ui.maps``.
        frames: label maps on the way to this one, see ``medseg_ui.refining``.
        revision: grows when the labels change, so that browsers know.
    """

    title: str
    origin: Origin
    folder: Path
    entries: list[dict[str, Any]]
    centre: list[float] | None = None
    model: str = ""
    classes: list[dict[str, Any]] = field(default_factory=list)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    maps: list[dict[str, Any]] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)
    exports: dict[str, Job] = field(default_factory=dict)
    revision: int = 0
    id: str = field(default_factory=lambda: secrets.token_hex(6))

    @property
    def labels(self) -> Path:
        """The label map."""
        return self.folder / "labels.nii.gz"

    @property
    def before_edits(self) -> Path:
        """The label map that was corrected by hand, where there is one."""
        return self.folder / "before.nii.gz"

    @property
    def shown_id(self) -> str:
        """Names the labels as they are now."""
        return f"{self.id}.{self.revision}"


@dataclass(kw_only=True)
class Case:
    """An image and everything that was made of it.

    Args:
        title: what its owner called the file; never written anywhere.
        source: what was given: a file or a folder.
        folder: holds ``volume.nii``, as the viewer fetches it.
        read_options: permissions that it is read with.
    """

    title: str
    source: Path
    folder: Path
    read_options: Mapping[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] | None = None
    problem: str = ""
    results: list[Result] = field(default_factory=list)
    checks: dict[tuple[str, ...], Job] = field(default_factory=dict)
    comparisons: dict[tuple[str, str], Job] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(6))

    @property
    def volume(self) -> Path:
        """The image as the viewer fetches it."""
        return self.folder / "volume.nii"

    def result(self, key: str | None) -> Result | None:
        """A result by its id."""
        return next((result for result in self.results if result.id == key), None)

    @property
    def reference(self) -> Result | None:
        """What the others are measured against, if it was given."""
        return next((result for result in self.results if result.origin == "reference"), None)


def download_stem(result: Result) -> str:
    """The name of a result's files: nothing of the patient."""
    words = "".join(letter if letter.isalnum() else "-" for letter in result.title.lower())
    return (
        "-".join(part for part in words.split("-") if part) if result.origin != "reference" else "reference"
    )
