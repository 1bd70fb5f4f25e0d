"""What the numbers in a label map mean, from the tables that tools write, and renumbering by name."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medseg.errors import OptionError, VolumeError
from medseg.volume import Volume, smallest_integer_type

# 3D Slicer: number name r g b a; ITK-SNAP: number r g b alpha visible mesh "name".
_SLICER = re.compile(r"(\d+)\s+(\S+)\s+\d+\s+\d+\s+\d+\s+\d+\s*")
_ITKSNAP = re.compile(r'(\d+)\s+\d+\s+\d+\s+\d+\s+[\d.]+\s+\d+\s+\d+\s+"(.*)"\s*')


def read_label_names(text: str) -> dict[int, str]:
    """Names by number, the background left out.

    Args:
        text: ``1=liver,2=spleen``, numbers alone (``1,2``), or the name of a file: JSON (names by number,
            numbers by name, or the ``labels`` of nnU-Net's dataset.json or of a result's record), CSV (number
            and name), or a table of 3D Slicer (.ctbl) or ITK-SNAP.

    Raises:
        OptionError: it is neither, or a number or a name is there twice.
    """
    path = Path(text)
    if not re.fullmatch(r"\d+(=[^,]+)?(,\s*\d+(=[^,]+)?)*", text):
        if not path.is_file():
            raise OptionError(f"labels {text!r}: no such file, and not of the form 1=liver,2=spleen")
        return _checked(_read_table(path), text)
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
    present = [int(n) for n in np.unique(predicted.array) if n]
    unnamed = [n for n in present if n not in ours]
    if unnamed:
        raise VolumeError(
            f"the prediction holds the label {unnamed[0]}, for which its table has no name; "
            f"it names {', '.join(f'{n} {name}' for n, name in ours.items())}"
        )
    table = np.zeros(max([*present, 0]) + 1, smallest_integer_type(max(theirs)))
    for n in present:
        table[n] = numbers.get(ours[n], 0)
    left_out = [ours[n] for n in present if ours[n] not in numbers]
    note = f"labels that the truth does not name were left out: {', '.join(left_out)}" if left_out else ""
    return predicted.with_array(table[predicted.array]), note


def _read_table(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            return _from_json(json.loads(text))
        if path.suffix.lower() in (".csv", ".tsv"):
            rows = list(csv.reader(text.splitlines(), delimiter="\t" if path.suffix == ".tsv" else ","))
            return [(int(row[0]), row[1].strip()) for row in rows if row and row[0].strip().isdigit()]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise OptionError(f"{path.name} is no table of labels: {type(error).__name__}: {error}") from error
    found = []
    for line in text.splitlines():
        match = _SLICER.fullmatch(line.strip()) or _ITKSNAP.fullmatch(line.strip())
        if match:
            found.append((int(match[1]), match[2]))
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
