"""Which inputs are the channels of one case, told by their names.

Two ways of naming are known: nnU-Net's numbers (``ann_0000``, ``ann_0001``), and the names of the model's
channels (``ann_T1w`` and ``ann_FLAIR``, or a folder ``ann`` that holds ``T1w`` and ``FLAIR``).

Reference: https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Group:
    """The channels of one case.

    Args:
        name: what their names have in common; empty if they are nothing but the channels' names.
        sources: in the model's order; those that were found.
        problem: why this is no complete case, in a sentence; empty if it is.
    """

    name: str
    sources: tuple[Path, ...]
    problem: str = ""


def group_channels(named: Sequence[tuple[str, Path]], channels: Sequence[str]) -> list[Group]:
    """Put inputs together into cases of several channels.

    Args:
        named: inputs with their names, without suffix.
        channels: the model's, in its order.

    Example:
        >>> files = [("ann_0000", Path("ann_0000.nii")), ("ann_0001", Path("ann_0001.nii"))]
        >>> [(group.name, len(group.sources)) for group in group_channels(files, ["T1w", "FLAIR"])]
        [('ann', 2)]
    """
    found: dict[str, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    groups = []
    for name, source in named:
        case, channel = split_name(name, channels)
        if channel is None:
            reason = f"its name says none of the model's channels; {_wanted(name, channels)}"
            groups.append(Group(name=name, sources=(source,), problem=reason))
        else:
            found[case][channel].append(source)
    for case, sources in found.items():
        ordered = tuple(sources[channel][0] for channel in sorted(sources))
        groups.append(Group(name=case, sources=ordered, problem=_problem(case, sources, channels)))
    return sorted(groups, key=lambda group: group.name)


def split_name(name: str, channels: Sequence[str]) -> tuple[str, int | None]:
    """A name as a case's and the number of the channel that its end says; None if it says none."""
    marks = {f"{number:04d}": number for number in range(len(channels))}
    marks |= {channel.lower(): number for number, channel in enumerate(channels)}
    for mark in sorted(marks, key=len, reverse=True):  # of T1 and post-T1 the longer one is meant
        if match := re.fullmatch(rf"(?:(.*)[-_. ])?{re.escape(mark)}", name, re.IGNORECASE | re.DOTALL):
            return match[1] or "", marks[mark]
    return name, None


def name_channels(given: Sequence[tuple[str, Path]], channels: Sequence[str]) -> tuple[Path, ...]:
    """The inputs of one case in the model's order, each given with its channel's name or number.

    Raises:
        OptionError: a channel is unknown, is given twice, or is not given.
    """
    by_number: dict[int, Path] = {}
    for name, source in given:
        case, number = split_name(name, channels)
        if number is None or case:
            raise OptionError(
                f"--channel {name}: the model has no such channel; it has {', '.join(channels)}"
            )
        if number in by_number:
            raise OptionError(f"--channel {name}: this channel is given twice")
        by_number[number] = source
    missing = [channel for number, channel in enumerate(channels) if number not in by_number]
    if missing:
        raise OptionError(
            f"--channel: the model also wants {', '.join(missing)}; add --channel {missing[0]}=PATH"
        )
    return tuple(by_number[number] for number in sorted(by_number))


def _problem(case: str, sources: dict[int, list[Path]], channels: Sequence[str]) -> str:
    for number, several in sources.items():
        if len(several) > 1:
            return (
                f"{several[0].name} and {several[1].name} are both channel {channels[number]} of this case; "
                "remove one of them"
            )
    missing = [channel for number, channel in enumerate(channels) if number not in sources]
    return f"channel {', '.join(missing)} is missing; {_wanted(case, channels)}" if missing else ""


def _wanted(case: str, channels: Sequence[str]) -> str:
    stem = f"{case}_" if case else ""
    numbered = ", ".join(f"{stem}{number:04d}" for number in range(len(channels)))
    named = ", ".join(f"{stem}{channel}" for channel in channels)
    return f"wanted {numbered}, or {named}; or say it for one case with --channel {channels[0]}=PATH ..."
