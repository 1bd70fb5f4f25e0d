"""What a pretrained model expects of its input, checked.

The contract itself (``Model``, ``Input`` and their parts) is in ``medseg.plugin``, because plugins
write it and it must import nothing. Here it meets a volume: ``check`` lists what does not fit.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medseg.geometry import reorient
from medseg.plugin import Channel, Input
from medseg.volume import Volume, slices

LOWEST_HU, HIGHEST_HU = -1100, 4000  # scanners store -1024 to 3071; metal and rounding reach further
AIR_HU_AT_MOST = -500  # lung and air in CT; MR after any usual processing stays above
ANY_UNIT = "arbitrary"  # what a channel says whose values have no unit, as in most MR


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One way in which a volume does not meet a contract.

    Args:
        field: what it is about, such as ``"channels"``.
        got, wanted: as people write them.
        remedy: what to do.
        severity: ``refuse`` stops the run; ``force`` stops it unless the user says that it is meant;
            ``warn`` is shown and recorded.
    """

    field: str
    got: str
    wanted: str
    remedy: str
    severity: Literal["refuse", "force", "warn"]

    def __str__(self) -> str:
        return f"{self.field}: got {self.got}, wanted {self.wanted}; {self.remedy}"


def check(volumes: Sequence[Volume], wanted: Input) -> list[Problem]:
    """List what keeps volumes, one for each channel, from being a sound input.

    Spacing and orientation are not problems: the core brings them to the contract's. What is
    listed could not be mended without guessing.
    """
    names = ", ".join(f"{c.name} ({c.modality}, {c.unit})" for c in wanted.channels)
    if len(volumes) != len(wanted.channels):
        return [
            Problem(
                field="channels",
                got=f"{len(volumes)} volumes",
                wanted=f"{len(wanted.channels)}: {names}",
                remedy="give one volume for each channel, in this order",
                severity="refuse",
            )
        ]
    return [problem for found in _findings(volumes, wanted) for problem in found]


def _findings(volumes: Sequence[Volume], wanted: Input) -> Iterator[list[Problem]]:
    first = volumes[0]
    for channel, volume in zip(wanted.channels, volumes, strict=True):
        if not volume.grid.matches(first.grid):
            yield [
                Problem(
                    field=f"grid of {channel.name}",
                    got=repr(volume.grid),
                    wanted=f"that of {wanted.channels[0].name}, {first.grid!r}",
                    remedy="resample the volumes to one grid first",
                    severity="refuse",
                )
            ]
        yield _kind_problems(channel, volume)
        yield _value_problems(channel.name, channel.unit, volume)
        yield _doubts(channel, volume)
    yield _spacing_problems(first, wanted)
    yield _field_problems(first, wanted)


def _kind_problems(channel: Channel, volume: Volume) -> list[Problem]:
    """A modality or unit that the file states and the contract does not want."""
    pairs = (("modality", volume.modality, channel.modality), ("unit", volume.unit, channel.unit))
    return [
        Problem(
            field=f"{what} of {channel.name}",
            got=got,
            wanted=wanted,
            remedy="choose a model for it, or force this one if you know what you do",
            severity="force",
        )
        for what, got, wanted in pairs
        if got and wanted not in (got, ANY_UNIT)
    ]


def _value_problems(name: str, unit: str, volume: Volume) -> list[Problem]:
    low, high = volume.array.min(), volume.array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        got, wanted, remedy = "NaN or infinite voxels", "numbers", "read it with --allow nonfinite=0"
        return [Problem(field=name, got=got, wanted=wanted, remedy=remedy, severity="refuse")]
    if low == high:
        got, wanted, remedy = f"the one value {low} everywhere", "an image", "is this the right file?"
        return [Problem(field=name, got=got, wanted=wanted, remedy=remedy, severity="refuse")]
    display = low >= 0 and high <= 255
    if unit != "HU" or (not display and low >= LOWEST_HU and high <= HIGHEST_HU):
        return []
    got, wanted = f"values from {low:g} to {high:g}", f"Hounsfield units, {LOWEST_HU} to {HIGHEST_HU}"
    remedy = "it looks windowed for display; use the original series" if display else "is this CT, in HU?"
    return [Problem(field=name, got=got, wanted=wanted, remedy=remedy, severity="warn")]


def _doubts(channel: Channel, volume: Volume) -> list[Problem]:
    """Values that speak against the channel's modality, in a file that does not state its own."""
    low, high = volume.array.min(), volume.array.max()
    if volume.modality or low == high or not np.isfinite(low):
        return []  # the file says what it is, or the values are refused already
    wanted = f"{channel.modality} values"
    if channel.modality == "MR" and low <= AIR_HU_AT_MOST:
        got, remedy = f"values from {low:g} to {high:g}", "is this CT? MR has none so far below 0"
    elif all(bool(((part == low) | (part == high)).all()) for part in slices(volume.array)):
        got, remedy = f"the two values {low:g} and {high:g}", "is this a mask?"
    else:
        return []
    return [Problem(field=channel.name, got=got, wanted=wanted, remedy=remedy, severity="warn")]


def _spacing_problems(volume: Volume, wanted: Input) -> list[Problem]:
    limit = 3 * max(wanted.spacing_mm) if wanted.spacing_mm else math.inf
    if max(volume.spacing_mm) <= limit:
        return []
    return [
        Problem(
            field="spacing",
            got=_millimetres(volume.spacing_mm),
            wanted=f"near {_millimetres(wanted.spacing_mm or ())}",
            remedy="expect a worse result: voxels are over three times coarser than in training",
            severity="warn",
        )
    ]


def _field_problems(volume: Volume, wanted: Input) -> list[Problem]:
    if wanted.field_mm is None:
        return []
    seen = reorient(volume, wanted.orientation)[0]
    extent = [n * mm for n, mm in zip(seen.shape, seen.spacing_mm, strict=True)]
    if all(got >= least for got, least in zip(extent, wanted.field_mm, strict=True)):
        return []
    return [
        Problem(
            field="field of view",
            got=_millimetres(extent),
            wanted=f"at least {_millimetres(wanted.field_mm)} along {wanted.orientation}",
            remedy="a part may be missing, and so from the result",
            severity="warn",
        )
    ]


def _millimetres(lengths: Sequence[float]) -> str:
    return " x ".join(f"{mm:.3g}" for mm in lengths) + " mm"
