"""What the numbers in a label map mean, from the tables that tools write, and renumbering by name."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medseg.errors import OptionError, VolumeError
from medseg.volume import Volume, smallest_integer_type

# 3D Slicer: number name r g b a; ITK-SNAP: number r g b alpha visible mesh "name".
_SLICER = re.compile(r"(\d+)\s+(\S.*?)\s+\d+\s+\d+\s+\d+\s+\d+\s*")
_ITKSNAP = re.compile(r'(\d+)\s+\d+\s+\d+\s+\d+\s+[\d.]+\s+\d+\s+\d+\s+"(.*)"\s*')
_NUMBER = re.compile(r"[-+.]*\d")  # how a number begins, of which the head of a column has none
_WHOLE = re.compile(r"\d+(\.0*)?")  # also as programs that know floats alone write it


def read_label_names(text: str) -> dict[int, str]:
    """Names by number, the background left out.

    Args:
        text: ``1=liver,2=spleen``, numbers alone (``1,2``), or the name of a file: JSON (names by number,
            numbers by name, or the ``labels`` of nnU-Net's dataset.json or of a result's record), CSV (number
            and name), or a table of 3D Slicer (.ctbl) or ITK-SNAP.

    Raises:
        OptionError: it is neither, or a number or a name is there twice.
    """
    if not re.fullmatch(r"\d+(=[^,]+)?(,\s*\d+(=[^,]+)?)*", text):
        if not _is_file(text):
            raise OptionError(f"labels {text!r}: no such file, and not of the form 1=liver,2=spleen")
        return _checked(_read_table(Path(text)), text)
    parts = [part.strip().partition("=") for part in text.split(",")]
    return _checked([(int(number), name or number) for number, _, name in parts], text)


def renumber(predicted: Volume, ours: Mapping[int, str], theirs: Mapping[int, str]) -> tuple[Volume, str]:
    """Give the labels of a prediction the numbers that a truth has for their names.

    Args:
        predicted: label map.
        ours: names by number in the prediction.
        theirs: names by number in the truth.

    Returns:
        The label map, where labels that the truth has no name for are background, and a note about these.

    Raises:
        VolumeError: the prediction holds a number without a name.
    """
    numbers = {name: number for number, name in theirs.items()}
    values = np.unique(predicted.array)
    present = [int(n) for n in values if n]
    unnamed = [n for n in present if n not in ours]
    if unnamed:
        raise VolumeError(
            f"the prediction holds the label {unnamed[0]}, for which its table has no name; "
            f"it names {', '.join(f'{n} {name}' for n, name in ours.items())}"
        )
    table = np.array(
        [numbers.get(ours[int(n)], 0) if n else 0 for n in values], smallest_integer_type(max(theirs))
    )
    left_out = [ours[n] for n in present if ours[n] not in numbers]
    note = f"labels that the truth does not name were left out: {', '.join(left_out)}" if left_out else ""
    return predicted.with_array(table[np.searchsorted(values, predicted.array)]), note


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # longer than a file's name may be
        return False


def _read_table(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets begin a CSV with a mark
        if path.suffix.lower() == ".json":
            return _from_json(json.loads(text))
        if path.suffix.lower() in (".csv", ".tsv"):
            table = csv.reader(text.splitlines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            rows = [(table.line_num, row) for row in table]
            return _from_rows(path, rows)
    except OptionError:
        raise  # it says more of the table already
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, csv.Error) as error:
        raise OptionError(f"{path.name} is no table of labels: {type(error).__name__}: {error}") from error
    return _from_lines(path, text)


def _from_rows(path: Path, rows: Sequence[tuple[int, list[str]]]) -> list[tuple[int, str]]:
    """Number and name of each row; the first may name the columns, and none is passed over."""
    rows = [(line, row) for line, row in rows if any(map(str.strip, row)) and not row[0].startswith("#")]
    if rows and not _NUMBER.match(rows[0][1][0].strip()):
        del rows[0]
    found = []
    for line, row in rows:
        number, name = row[0].strip(), "".join(row[1:2]).strip()
        if not _WHOLE.fullmatch(number):
            raise OptionError(
                f"{path.name}, line {line}: {number!r} is no label's number; wanted rows of a whole number "
                "from 0 up and a name"
            )
        if not name:
            raise OptionError(
                f"{path.name}, line {line}: the label {number} has no name; write one behind it"
            )
        found.append((int(number.partition(".")[0]), name))
    return found


def _from_lines(path: Path, text: str) -> list[tuple[int, str]]:
    found = []
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        match = _SLICER.fullmatch(line) or _ITKSNAP.fullmatch(line)
        if match:
            found.append((int(match[1]), match[2]))
        elif line and not line.startswith("#"):
            raise OptionError(
                f"{path.name}, line {number}: {line[:80]!r} is no line of a table of 3D Slicer (number name "
                'r g b a) or ITK-SNAP (number r g b alpha visible mesh "name"); begin remarks with #'
            )
    return found


def _from_json(document: Any) -> list[tuple[int, str]]:
    labels = document.get("labels", document) if isinstance(document, dict) else document
    if isinstance(labels, list):  # the record of a result: [{"value": 1, "name": "brain"}, ...]
        return [(int(label["value"]), str(label["name"])) for label in labels]
    if all(str(key).isdigit() for key in labels):
        return [(int(number), str(name)) for number, name in labels.items()]
    regions = [name for name, number in labels.items() if not isinstance(number, int)]
    if regions:
        raise ValueError(f"{regions[0]} is {labels[regions[0]]}, wanted one number (a region has several)")
    return [(number, str(name)) for name, number in labels.items()]


def _checked(pairs: list[tuple[int, str]], source: str) -> dict[int, str]:
    kept = [(number, name) for number, name in pairs if number != 0]
    numbers, names = [str(number) for number, _ in kept], [name for _, name in kept]
    for what, values in (("number", numbers), ("name", names)):
        twice = [value for value in values if values.count(value) > 1]
        if twice:
            raise OptionError(f"labels {source!r}: the {what} {twice[0]} is there twice")
    if not kept:
        raise OptionError(f"labels {source!r}: found no label but the background")
    return dict(kept)
