"""Manifests: tables of cases, as CSV with a header or as one JSON object a line.

A case needs ``image``; ``name`` is what its results are called, the image's file name otherwise. A model
of several channels takes them in order: in CSV the columns ``image``, ``image2``, ``image3``; in JSON a
list. Permissions for the reader are columns ``allow:KEY`` in CSV, an object ``allow`` in JSON. Other
columns are left alone: a table of cases often says more of them. Relative paths start at the manifest.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg.errors import OptionError

_JSON_LINES = (".jsonl", ".ndjson")
_FORBIDDEN = ("/", "\\", "\0")


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
        entries = [_entry(path, line, row) for line, row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"{path.name} is no text in UTF-8 that can be read as a table: {error}") from error
    if not entries:
        raise OptionError(f"{path.name} lists no case")
    return entries


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        columns = [column for column in table.fieldnames or () if column]
        if "image" not in columns:
            raise OptionError(
                f"{path.name} has the columns {', '.join(columns) or '(none)'}; wanted one called image, and "
                "name if the results shall be called otherwise than the images"
            )
        channels = [c for c in columns if c == "image" or (c.startswith("image") and c[5:].isdigit())]
        permissions = [column for column in columns if column.startswith("allow:")]
        for row in table:
            yield (
                table.line_num,
                {
                    "image": [row[column] for column in channels if row[column]],
                    "name": row.get("name"),
                    "allow": {c.removeprefix("allow:"): row[c] for c in permissions if row[c]},
                },
            )


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
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
            yield line, row


def _entry(path: Path, line: int, row: Mapping[str, Any]) -> Entry:
    where = f"{path.name}, line {line}"
    images = row.get("image")
    images = [images] if isinstance(images, str) else images
    if not images or not isinstance(images, list) or not all(isinstance(i, str) and i for i in images):
        raise OptionError(f"{where}: image is {row.get('image')!r}; wanted a path, or a list of them")
    sources = tuple(path.parent / image for image in images)
    missing = [source.name for source in sources if not source.exists()]
    problem = (
        f"{where}: there is no {', '.join(missing)}; relative paths start at the manifest" if missing else ""
    )
    name, allow = row.get("name") or "", row.get("allow") or {}
    if not isinstance(name, str) or any(sign in name for sign in _FORBIDDEN) or name.startswith("."):
        raise OptionError(f"{where}: name is {name!r}; wanted a file name without folders or a leading dot")
    if not isinstance(allow, dict):
        raise OptionError(f"{where}: allow is {allow!r}; wanted an object of permissions")
    return Entry(name=name, sources=sources, options=allow, problem=problem)
