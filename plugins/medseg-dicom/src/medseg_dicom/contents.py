"""What a folder, a file or an archive holds: frames, images that cannot be used, and other things."""

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from medseg_dicom.archive import read_archive
from medseg_dicom.dataset import UNDEFINED_LENGTH, ZIP, open_dataset
from medseg_dicom.header import Broken, Frame, Instance, SetAside
from medseg_dicom.instance import read_frames
from medseg_dicom.source import Source, walk_folder

_DICOMDIR = "DICOMDIR"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All that was found at a path; nothing is left out in silence.

    Args:
        frames: of all sound images, exact copies counted once.
        broken: images that cannot be used.
        set_aside: what is no image.
        copies: how many files hold an image for the second time.
    """

    frames: tuple[Frame, ...]
    broken: tuple[Broken, ...]
    set_aside: tuple[SetAside, ...]
    copies: int


def read_contents(path: Path) -> Contents:
    """Read the header of every file at a path, and the pixels of none.

    Args:
        path: a folder, a DICOM file, a zip archive, or a DICOMDIR, which stands for its folder: what
            it lists is not followed.

    Raises:
        VolumeError: an archive is refused as a whole.
    """
    found = [read_frames(source) for source in find_sources(path)]
    set_aside = [item for item in found if isinstance(item, SetAside)]
    broken = [item for item in found if isinstance(item, Broken)]
    files = [item for item in found if isinstance(item, list)]
    kept, copies, conflicts = _without_copies(files)
    broken += conflicts
    used = {frames[0].instance.series_uid for frames in kept}
    # With pixels, in the series of other images, but of another kind: a slice whose class was damaged?
    strange = [item for item in set_aside if item.series_uid and item.series_uid in used]
    broken += [
        Broken(name=s.name, reason=f"{s.reason}, yet of this series", series_uid=s.series_uid)
        for s in strange
    ]
    return Contents(
        frames=tuple(frame for frames in kept for frame in frames),
        broken=tuple(broken),
        set_aside=tuple(item for item in set_aside if item not in strange),
        copies=copies,
    )


def find_sources(path: Path) -> list[Source]:
    """The files of a folder, an archive or a DICOMDIR, unread; a file is the only one of itself.

    Raises:
        VolumeError: an archive is refused as a whole.
    """
    if path.is_dir():
        return walk_folder(path)
    if path.name.upper() == _DICOMDIR:
        return walk_folder(path.parent)
    with path.open("rb") as stream:
        is_zip = stream.read(4) == ZIP
    return read_archive(path) if is_zip or path.suffix.lower() == ".zip" else [Source.of_file(path)]


def _without_copies(files: list[list[Frame]]) -> tuple[list[list[Frame]], int, list[Broken]]:
    """Files with one SOPInstanceUID: the first of equal ones and how many others, or a conflict."""
    by_uid = defaultdict(list)
    for frames in files:
        by_uid[frames[0].instance.sop_uid].append(frames)
    kept, copies, conflicts = [], 0, []
    for first, *others in by_uid.values():
        kept.append(first)
        for other in others:
            a, b = first[0].instance, other[0].instance
            if _equal(first, other):
                copies += 1
            else:
                reason = (
                    f"conflicting copies: it has the SOPInstanceUID (0008,0018) of {a.source.name}, but "
                    "other content. Remove the one that is wrong"
                )
                conflicts.append(Broken(name=b.source.name, reason=reason, series_uid=a.series_uid))
    return kept, copies, conflicts


def _equal(first: list[Frame], other: list[Frame]) -> bool:
    """Same header, as far as it is used, and the same stored pixels."""
    instance = other[0].instance
    alike = replace(first[0].instance, source=instance.source, offset=instance.offset)
    return [replace(frame, instance=alike) for frame in first] == other and _pixels(
        first[0].instance
    ) == _pixels(instance)


def _pixels(instance: Instance) -> bytes:
    with open_dataset(instance.source, instance.transfer_syntax) as stream:
        stream.seek(instance.offset)
        return stream.read(-1 if instance.length == UNDEFINED_LENGTH else instance.length)
