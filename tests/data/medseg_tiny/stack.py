"""Folders of slices: ``SERIES-NUMBER.slice`` holds the numbers of one slice."""

from pathlib import Path

import numpy as np

from medseg.errors import VolumeError
from medseg.plugin import Content
from medseg.volume import Volume


def sniff(path):
    path = Path(path)
    files = path.glob("*.slice") if path.is_dir() else [path]
    return any(file.suffix == ".slice" for file in files)


def _series(path):
    found = {}
    for file in sorted(Path(path).glob("*.slice")):
        found.setdefault(file.name.split("-")[0], []).append(np.loadtxt(file, ndmin=2))
    return found


def contents(path):
    return [
        Content(
            number=n,
            summary=f"{len(slices)} slices",
            refusal="" if len(slices) > 1 else "one slice only",
            aside=bool(slices[0].max() < 0),
        )
        for n, slices in enumerate(_series(path).values(), start=1)
    ]


def read(path, *, kind, series: int = 0):
    found = list(_series(path).values())
    if len(found) > 1 and not series:
        raise VolumeError(f"{path.name}: {len(found)} series; choose with --allow series=NUMBER")
    slices = found[max(series, 1) - 1]
    if len(slices) < 2:
        raise VolumeError(f"{path.name}: one slice only")
    return Volume(np.stack(slices, axis=2).astype(np.int16), np.eye(4), kind)
