"""Promises of an export: ``f(result, path, **options)`` writes a finished segmentation as another object."""

import tempfile
from pathlib import Path
from typing import cast

from medseg.errors import VolumeError
from medseg.plugin import Export, Label, Result
from medseg.testing.expectation import expect
from medseg.testing.phantoms import make_phantom
from medseg.testing.subject import Subject


def check_it_writes_whole_or_refuses(subject: Subject) -> None:
    """For a result made in memory it leaves one file that is not empty, or a ``VolumeError`` and nothing."""
    _, labels = make_phantom(shape=(12, 10, 8), labels=1)
    classes = (
        Label(value=0, name="background", colour="#000000"),
        Label(value=1, name="ball", colour="#e8554e"),
    )
    result = Result(labels=labels, classes=classes, model="kit:phantom", provenance={})
    with tempfile.TemporaryDirectory(prefix="medseg-check-") as folder:
        path = Path(folder) / f"case{cast(Export, subject.component).suffix}"
        try:
            subject.factory(result, path)
        except VolumeError:
            wanted: list[Path] = []
        else:
            wanted = [path]
        left = sorted(Path(folder).iterdir())
        expect(
            left == wanted and all(p.stat().st_size for p in left),
            got=f"{', '.join(f'{p.name} ({p.stat().st_size} bytes)' for p in left) or 'no file'}",
            wanted=f"{path.name}, whole, and nothing else" if wanted else "nothing after a refusal",
            remedy="Write under a temporary name and rename when all is written",
        )
