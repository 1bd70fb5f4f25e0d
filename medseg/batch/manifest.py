"""Manifests: tables of cases, as CSV with a header or as one JSON object a line.

A case needs ``image``; ``name`` is what its results are called, the image's file name otherwise. A model
of several channels takes them in order: in CSV the columns ``image``, ``image2``, ``image3``, by number; in
JSON a list. Permissions for the reader are columns ``allow:KEY`` in CSV, an object ``allow`` in JSON. Other
columns are left alone: a table of cases often says more of them. Relative paths start at the manifest.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg.errors import OptionError

_JSON_LINES = (".jsonl", ".ndjson")
_FORBIDDEN = ("/", "\\", "\0")

_Row = tuple[int, dict[str, Any], str]
"""The line, what it says, and why its case is refused; empty if it is not."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A case without its target.

    Args:
        name: empty where nothing says one.
        sources: one for each channel.
        options: permissions for the reader.
        problem: why it is refused before anything is read.
    """

    name: str
    sources: tuple[Path, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def is_manifest(path: Path) -> bool:
    """Whether a file's name says that it is a table of cases."""
    return path.suffix.lower() in (".csv", *_JSON_LINES) and not path.is_dir()


def read_manifest(path: Path) -> list[Entry]:
    """The cases of a manifest; a name is empty where the table has none.

    Raises:
        OptionError: it is no such table; with the line. An image that is not there is its case's problem.
    """
    rows = _json_rows(path) if path.suffix.lower() in _JSON_LINES else _csv_rows(path)
    try:
        entries = [_entry(path, line, row, problem) for line, row, problem in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"{path.name} is no text in UTF-8 that can be read as a table: {error}") from error
    if not entries:
        raise OptionError(f"{path.name} lists no case")
    return entries


def _csv_rows(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        columns = [column for column in table.fieldnames or () if column]
        if "image" not in columns:
            raise OptionError(
                f"{path.name} has the columns {', '.join(columns) or '(none)'}; wanted one called image, and "
                "name if the results shall be called otherwise than the images"
            )
        channels = _channels(path, columns)
        permissions = [column for column in columns if column.startswith("allow:")]
        for row in table:
            filled = [number for number, column in channels.items() if row[column]]
            gaps = [number for number in range(1, max(filled, default=0)) if number not in filled]
            problem = (
                f"{path.name}, line {table.line_num}: {_column(gaps[0])} is empty and "
                f"{channels[filled[-1]]} is not; write a path there, or leave out what is behind"
                if gaps
                else ""
            )
            yield (
                table.line_num,
                {
                    "image": [row[channels[number]] for number in filled],
                    "name": row.get("name"),
                    "allow": {c.removeprefix("allow:"): row[c] for c in permissions if row[c]},
                },
                problem,
            )


def _channels(path: Path, columns: Sequence[str]) -> dict[int, str]:
    """Columns by the number of their channel, rising, whatever their order in the table is.

    Raises:
        OptionError: two columns are of one channel, or one is of a channel before the first.
    """
    found: dict[int, str] = {}
    for column in columns:
        match = re.fullmatch(r"image([0-9]*)", column)
        if not match:
            continue
        number = int(match[1] or 1)
        if number in found or not number:
            named = ", ".join(c for c in columns if c.startswith("image"))
            raise OptionError(
                f"{path.name} has the columns {named}; wanted image, image2, image3 and so on, "
                "one for each channel"
            )
        found[number] = column
    return dict(sorted(found.items()))


def _column(number: int) -> str:
    return "image" if number == 1 else f"image{number}"


def _json_rows(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                raise OptionError(f"{path.name}, line {line}: no JSON: {error}") from error
            if not isinstance(row, dict):
                raise OptionError(f"{path.name}, line {line}: wanted an object, got {type(row).__name__}")
            yield line, row, ""


def _entry(path: Path, line: int, row: Mapping[str, Any], problem: str) -> Entry:
    where = f"{path.name}, line {line}"
    images = row.get("image")
    images = [images] if isinstance(images, str) else images
    if not images or not isinstance(images, list) or not all(isinstance(i, str) and i for i in images):
        raise OptionError(f"{where}: image is {row.get('image')!r}; wanted a path, or a list of them")
    sources = tuple(path.parent / image for image in images)
    missing = [source.name for source in sources if not _is_there(source)]
    if missing and not problem:
        problem = f"{where}: there is no {', '.join(missing)}; relative paths start at the manifest"
    name, allow = row.get("name") or "", row.get("allow") or {}
    if not isinstance(name, str) or any(sign in name for sign in _FORBIDDEN) or name.startswith("."):
        raise OptionError(f"{where}: name is {name!r}; wanted a file name without folders or a leading dot")
    if not isinstance(allow, dict):
        raise OptionError(f"{where}: allow is {allow!r}; wanted an object of permissions")
    return Entry(name=name, sources=sources, options=allow, problem=problem)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for any file, or a folder that is closed to us
        return False
