"""What a path holds, as a list to choose from. No name, no number and no text of a patient is in it."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from medseg.errors import MedsegError, VolumeError
from medseg.plugin import Content
from medseg_dicom.contents import Contents, read_contents
from medseg_dicom.gate import check_series
from medseg_dicom.quiet import silenced
from medseg_dicom.remarks import files
from medseg_dicom.split import Series, split_contents

_TAIL = 12
_UID = re.compile(r"[0-9.]{1,64}")  # anything else in its place may be text of a patient
_MODALITIES = {"CT", "MR", "PT", "CR", "DX", "MG", "US", "NM", "XA", "RF", "OT", "SC", "SEG"}
_LONGEST_LIST = 12


@dataclass(frozen=True, kw_only=True)
class SeriesSummary:
    """One entry of the list.

    Args:
        number: by which it is chosen, from 1.
        uid_tail: the end of its SeriesInstanceUID; ``?`` if that is no UID.
        modality: ``CT``, ``MR``, ``PT``, or ``?``.
        label: what tells it from others of its UID, such as ``echo time 4.6``.
        images: how many.
        time_points: how many volumes it holds.
        columns, rows: size of an image.
        spacing_mm: along i, j, k; None if the series would be refused.
        refusal: why it would be refused as it is; empty if it would be read.
        aside: whether it is left out where no series is chosen: a localizer, say.
    """

    number: int
    uid_tail: str
    modality: str
    label: str
    images: int
    time_points: int
    columns: int
    rows: int
    spacing_mm: tuple[float, float, float] | None
    refusal: str
    aside: bool = False

    @property
    def summary(self) -> str:
        """One line: modality, size, number of images, and what tells it from the others."""
        parts = [self.modality, f"{self.columns} x {self.rows}", f"{self.images} images"]
        parts += [f"{self.time_points} time points"] if self.time_points > 1 else []
        parts += [" x ".join(f"{mm:.4g}" for mm in self.spacing_mm) + " mm"] if self.spacing_mm else []
        parts += [self.label] if self.label else []
        return f"{', '.join(parts)}, UID ...{self.uid_tail}"


def list_series(path: str | Path) -> tuple[SeriesSummary, ...]:
    """List the series of a folder, a file or an archive, from their headers alone.

    Args:
        path: as for ``read``.

    Raises:
        VolumeError: an archive that is refused as a whole.

    Example:
        >>> for entry in list_series("sample_volumes/dicom/head_pd_raw"):
        ...     print(entry.number, entry.modality, entry.images, entry.refusal or "can be read")
        1 MR 20 can be read
    """
    path = Path(path)
    try:
        with silenced():
            series = split_contents(read_contents(path))
            return tuple(_summarise(entry, number) for number, entry in enumerate(series, start=1))
    except VolumeError as error:
        raise VolumeError(f"{path.name}: {error}") from error


def contents(path: str | Path) -> tuple[Content, ...]:
    """The list as the core asks for it; see ``list_series``."""
    return tuple(
        Content(number=entry.number, summary=entry.summary, refusal=entry.refusal, aside=entry.aside)
        for entry in list_series(path)
    )


def choose_series(contents: Contents, series: list[Series], wanted: str) -> tuple[Series, tuple[str, ...]]:
    """The series to read: the one that is wanted, or the only one.

    Args:
        contents: all that was found, for the message if there is no series.
        series: from ``split_contents``.
        wanted: a number in the list, the end of a SeriesInstanceUID, or empty.

    Returns:
        The series, and notes about the others.

    Raises:
        VolumeError: there is none, several and none was chosen, or none of that number or UID.
    """
    if not series:
        raise VolumeError(f"no CT, MR or PET image in DICOM is here. {_set_aside(contents)}".strip())
    if wanted:
        matches = _matching(series, wanted)
        if len(matches) != 1:
            raise VolumeError(
                f"--allow series={wanted} fits {len(matches) or 'none'} of {len(series)} series: "
                f"{_listed(series)}. Choose one by its number"
            )
        number = series.index(matches[0]) + 1
        return matches[0], (f"Series {number} of {len(series)} was read, as you chose.",)
    candidates = [entry for entry in series if not entry.aside] or series
    if len(candidates) > 1:
        raise VolumeError(
            f"{len(candidates)} series; wanted one: {_listed(series)}. Use --allow series=1, say, with a "
            "number of this list or the end of a UID; medseg segment also takes --allow series=all"
        )
    others = [entry for entry in series if entry is not candidates[0]]
    aside = sum(len(entry.frames) for entry in others)
    note = f"Set aside: localizers or single images of another orientation ({aside})."
    return candidates[0], (note,) if aside else ()


def set_aside_notes(contents: Contents) -> tuple[str, ...]:
    """How many files were found beside the images, of each reason; not which: results keep these notes."""
    notes: tuple[str, ...] = ()
    if contents.copies:
        notes += (f"Left out as exact copies of other files: {files(contents.copies)}.",)
    if contents.set_aside:
        reasons = Counter(item.reason for item in contents.set_aside)
        listed = _few([f"{files(count)} ({reason})" for reason, count in reasons.items()])
        notes += (f"Set aside: {listed}.",)
    return notes


def _set_aside(contents: Contents) -> str:
    if not contents.set_aside:
        return ""
    listed = _few([f"{item.name} ({item.reason})" for item in contents.set_aside])
    return f"Set aside: {listed}."


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _matching(series: list[Series], wanted: str) -> list[Series]:
    if wanted.isdecimal() and 1 <= int(wanted) <= len(series):
        return [series[int(wanted) - 1]]
    return [entry for entry in series if entry.uid.endswith(wanted)]


def _listed(series: list[Series]) -> str:
    first = [_summarise(entry, number) for number, entry in enumerate(series[:_LONGEST_LIST], start=1)]
    entries = [f"{entry.number}: {entry.summary}" for entry in first]
    more = f"; and {len(series) - _LONGEST_LIST} more" if len(series) > _LONGEST_LIST else ""
    return "; ".join(entries) + more


def _summarise(series: Series, number: int) -> SeriesSummary:
    frames = series.frames
    spacing, refusal = None, ""
    try:
        stack = check_series(series)
        i, j = frames[0].column_spacing_mm, frames[0].row_spacing_mm
        spacing = i, j, stack.gap_mm
    except MedsegError as error:
        refusal = str(error)
    first = frames[0].instance if frames else None
    return SeriesSummary(
        number=number,
        uid_tail=series.uid[-_TAIL:] if _UID.fullmatch(series.uid) else "?",
        modality=first.modality if first and first.modality in _MODALITIES else "?",
        label=series.label,
        images=len(frames) + len(series.broken),
        time_points=len(series.time_points),
        columns=first.storage.columns if first else 0,
        rows=first.storage.rows if first else 0,
        spacing_mm=spacing,
        refusal=refusal,
        aside=series.aside,
    )
