"""Split what shares a SeriesInstanceUID into stacks, and stacks into time points.

One series may hold a localizer, several orientations, echoes, b-values, acquisitions or time
points. Like 3D Slicer's DICOM module, each becomes an entry of its own that can be chosen; a tag
splits only where the frames cannot be one stack, and where every part becomes a better one.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from medseg_dicom.contents import Contents
from medseg_dicom.header import Broken, Frame
from medseg_dicom.stack import SAME_PLACE_MM, Array, is_even, normal_of, offsets_along_normal

_KINDS = ("stack", "echo time", "b-value", "gradient direction", "image type")
"""Marks that make different images of one place: entries of the list."""
_TIMES = ("time point", "reference time", "trigger time", "acquisition", "acquisition time", "content time")
"""Marks that make the same image at different times."""
_TELLING = ("stack", "echo time", "b-value", "time point", "acquisition")
"""Marks that tell stacks apart even where no two frames share a place; the others vary by the slice."""
_OTHER_PLANE_DEGREES = 30
"""From here on it is another view; below, it is a series whose orientation is not constant."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Frames that belong together, as one entry of the list.

    Args:
        uid, number: SeriesInstanceUID and SeriesNumber.
        time_points: the frames, by time; one entry if there is no time. Empty if all are broken.
        broken: images of this SeriesInstanceUID that cannot be used.
        label: what tells it from others of its UID, such as ``echo time 4.6``; never text of a file.
        aside: a localizer, or a single image of another orientation than the rest of its UID.
    """

    uid: str
    number: int
    time_points: tuple[tuple[Frame, ...], ...]
    broken: tuple[Broken, ...] = ()
    label: str = ""
    aside: bool = False

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Of all time points."""
        return tuple(frame for frames in self.time_points for frame in frames)


def split_contents(contents: Contents) -> list[Series]:
    """Every series at a path, in the order of SeriesNumber and UID.

    Args:
        contents: from ``read_contents``. A broken image whose series is not known breaks every series.
    """
    by_uid: dict[str, list[Frame]] = defaultdict(list)
    for frame in contents.frames:
        by_uid[frame.instance.series_uid].append(frame)
    broken: dict[str, list[Broken]] = defaultdict(list)
    for item in contents.broken:
        broken[item.series_uid].append(item)
    unknown = broken.pop("", [])
    series: list[Series] = []
    for uid in by_uid.keys() | broken.keys() or {""}:
        series += _split_uid(uid, by_uid[uid], (*broken[uid], *unknown))
    return sorted(series, key=lambda s: (s.number, s.uid))


def _split_uid(uid: str, frames: list[Frame], broken: tuple[Broken, ...]) -> list[Series]:
    number = min((frame.instance.series_number for frame in frames), default=0)
    if not frames:
        return [Series(uid=uid, number=number, time_points=(), broken=broken)] if broken else []
    scouts = [frame for frame in frames if frame.instance.localizer]
    views = _by_plane([frame for frame in frames if not frame.instance.localizer])
    series = [
        Series(
            uid=uid,
            number=number,
            time_points=time_points,
            broken=broken,
            label=_joined(f"view {index} of {len(views)}" if len(views) > 1 else "", label),
            aside=len(view) == 1 and len(views) > 1,
        )
        for index, view in enumerate(views, start=1)
        for label, time_points in _stacks(view)
    ]
    if scouts:
        series.append(
            Series(uid=uid, number=number, time_points=(tuple(scouts),), label="localizer", aside=True)
        )
    return series


def _by_plane(frames: list[Frame]) -> list[list[Frame]]:
    """Groups of frames whose normals are nearly parallel, the largest first."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            if _parallel(frame, group[0]):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return sorted(groups, key=len, reverse=True)


def _parallel(a: Frame, b: Frame) -> bool:
    if (a.along_row, a.along_column) == (b.along_row, b.along_column):
        return True
    return bool(abs(normal_of(a) @ normal_of(b)) > np.cos(np.radians(_OTHER_PLANE_DEGREES)))


def _stacks(frames: Sequence[Frame], label: str = "") -> list[tuple[str, tuple[tuple[Frame, ...], ...]]]:
    """Stacks with their labels; each as its time points."""
    for mark in (*_KINDS, *_TIMES):
        parts = _by_mark(frames, mark)
        if not _better(frames, list(parts.values()), mark):
            continue
        if mark in _TIMES and _same_places(frames, list(parts.values())):
            return [(label, tuple(tuple(part) for part in parts.values()))]
        return [
            stack
            for index, (value, part) in enumerate(parts.items(), start=1)
            for stack in _stacks(part, _joined(label, _spelled(mark, value, index, len(parts))))
        ]
    return [(label, (tuple(frames),))]


def _by_mark(frames: Sequence[Frame], mark: str) -> dict[Hashable, list[Frame]]:
    """Frames by the value of a mark, in the order of the values; frames without it first."""
    parts: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        parts[frame.marks.get(mark)].append(frame)
    return dict(sorted(parts.items(), key=lambda item: (item[0] is not None, item[0])))


def _better(frames: Sequence[Frame], parts: list[list[Frame]], mark: str) -> bool:
    """Whether there are several parts, and they are stacks or nearer to it than the whole."""
    if len(parts) < 2 or min(map(len, parts)) < 2:
        return False
    crowd = _crowd(frames)
    if crowd > 1:
        return max(map(_crowd, parts)) < crowd
    # All places differ: a slice is missing, or two stacks follow each other or are interleaved.
    apart = not is_even(offsets_along_normal(frames)) or _overlap(parts)
    return apart and mark in _TELLING and all(is_even(offsets_along_normal(part)) for part in parts)


def _crowd(frames: Sequence[Frame]) -> int:
    """The largest number of frames at one place."""
    return max(map(len, _places(frames)))


def _same_places(frames: Sequence[Frame], parts: list[list[Frame]]) -> bool:
    """Whether the parts are stacks that all lie where the largest lies."""
    return len(_places(frames)) == max(map(len, parts)) and all(_crowd(part) == 1 for part in parts)


def _places(frames: Sequence[Frame]) -> list[Array]:
    """Offsets along the normal, those of one place together."""
    offsets = np.sort(offsets_along_normal(frames))
    return np.split(offsets, np.flatnonzero(np.diff(offsets) >= SAME_PLACE_MM) + 1)


def _overlap(parts: list[list[Frame]]) -> bool:
    """Whether the parts, sorted along the normal, reach into each other."""
    normal = normal_of(parts[0][0])
    extents = sorted(
        (min(offsets), max(offsets))
        for offsets in ([float(normal @ frame.position) for frame in part] for part in parts)
    )
    return any(start < stop for (_, stop), (start, _) in pairwise(extents))


def _spelled(mark: str, value: Hashable, index: int, count: int) -> str:
    return f"{mark} {value:g}" if isinstance(value, float) else f"{mark} {index} of {count}"


def _joined(*labels: str) -> str:
    return ", ".join(label for label in labels if label)
