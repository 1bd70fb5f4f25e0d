"""medseg's own lists of training cases: the fields of ``Dataset`` as JSON, or a table as CSV.

docs/how-to/train.md shows one of each.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from medseg.errors import ContractError, MedsegError, OptionError
from medseg.model import Channel, Label
from medseg.training.dataset import COLOURS, Case, Dataset, Split
from medseg.training.deformation import Deformation
from medseg.training.synthesis import Recipe

ANY_MR = Channel(name="image", modality="MR", unit="arbitrary")
_TEXTS = ("licence", "description", "intended_use")
_OF_CASE = ("name", "images", "labels", "split")
_FIELDS = ("name", "channels", "labels", "classes", "instances", "cases", "synthesis", *_TEXTS)


def read_manifest(data: Mapping[str, Any], *, folder: Path, name: str) -> Dataset:
    """A dataset from the content of a JSON manifest.

    Args:
        data: the JSON object.
        folder: what its paths are relative to.
        name: of the dataset, if it does not say one.

    Raises:
        ContractError: a field is missing, unknown or of the wrong kind.
    """
    unknown, missing = sorted(set(data) - set(_FIELDS)), sorted({"labels", "cases"} - set(data))
    if unknown or missing:
        raise ContractError(
            f"dataset {name}: unknown fields {', '.join(unknown) or 'none'}, missing fields "
            f"{', '.join(missing) or 'none'}. The fields are {', '.join(_FIELDS)}"
        )
    try:
        return Dataset(
            name=str(data.get("name", name)),
            channels=tuple(Channel(**channel) for channel in data.get("channels", ())) or (ANY_MR,),
            labels=_labels(data["labels"]),
            classes={int(key): int(value) for key, value in data.get("classes", {}).items()},
            instances=_true_or_false(data.get("instances", False)),
            cases=tuple(_case(entry, folder) for entry in data["cases"]),
            recipe=read_recipe(data["synthesis"]) if "synthesis" in data else None,
            **{key: str(data.get(key, "")) for key in _TEXTS},
        )
    except MedsegError:
        raise
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ContractError(f"dataset {name}: {type(error).__name__}: {error}") from error


def _true_or_false(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"instances is {value!r}; wanted true or false")
    return value


def read_recipe(data: Mapping[str, Any]) -> Recipe:
    """A generator's recipe from JSON; what is not said keeps its default.

    Raises:
        ContractError: an unknown field, or a value of the wrong kind.
    """
    values = dict(data)
    try:
        deformation = Deformation(**values.pop("deformation", {}))
        contrasts = {
            int(k): (float(low), float(high)) for k, (low, high) in values.pop("contrasts", {}).items()
        }
        swaps = tuple((int(a), int(b)) for a, b in values.pop("swaps", ()))
        return Recipe(deformation=deformation, contrasts=contrasts, swaps=swaps, **values)
    except (TypeError, ValueError) as error:
        raise ContractError(f"synthesis: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ContractError: it is none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ContractError(f"{path} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise ContractError(f"{path} holds a {type(data).__name__}, wanted a JSON object")
    return data


def read_table(path: Path, *, folder: Path) -> Dataset:
    """A dataset from a CSV file.

    Its columns are ``labels``, perhaps ``name`` and ``split``, and for each channel ``image`` or
    ``image:NAME``. What the labels mean is found out from the files.

    Raises:
        ContractError: a column is missing, unknown or there twice, or a row has other cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin a CSV with a mark
            lines = [cells for cells in csv.reader(file) if cells]
    except UnicodeDecodeError as error:
        raise ContractError(f"{path} is not text in UTF-8 ({error.reason}); save it so") from error
    columns, *filled = lines or [[]]
    pictures = [column for column in columns if column == "image" or column.startswith("image:")]
    unknown = sorted(set(columns) - set(pictures) - {"labels", "name", "split"})
    if "labels" not in columns or not pictures or unknown or len(set(columns)) < len(columns):
        raise ContractError(
            f"{path}: columns {', '.join(columns) or 'none'}; wanted labels, image (or image:NAME for each "
            "channel), and perhaps name and split, each once"
        )
    rows = [dict(zip(columns, cells, strict=False)) for cells in filled]
    for cells, row in zip(filled, rows, strict=True):
        empty = [column for column in ("labels", *pictures) if not row.get(column)]
        if len(cells) != len(columns) or empty:
            raise ContractError(
                f"{path}: the row {','.join(cells)} has {len(cells)} cells, wanted {len(columns)}, those of "
                f"{', '.join(['labels', *pictures])} filled"
            )
    cases = [
        {
            "name": row.get("name"),
            "images": [row[column] for column in pictures],
            "labels": row["labels"],
            "split": row.get("split") or "train",
        }
        for row in rows
    ]
    return Dataset(
        name=path.stem,
        channels=tuple(
            Channel(name=column.partition(":")[2] or "image", modality="MR", unit="arbitrary")
            for column in pictures
        ),
        labels=(),
        cases=tuple(_case(case, folder) for case in cases),
    )


def _labels(entries: Sequence[Any]) -> tuple[Label, ...]:
    """Labels by their values, which are those of their places unless they say others."""
    return tuple(sorted((_label(n, entry) for n, entry in enumerate(entries)), key=lambda found: found.value))


def _label(value: int, entry: Any) -> Label:
    """A label from its name alone, or from its fields."""
    fields = {"name": entry} if isinstance(entry, str) else dict(entry)
    if "plausible_ml" in fields:
        fields["plausible_ml"] = tuple(float(ml) for ml in fields["plausible_ml"])
    return Label(**{"value": value, "colour": COLOURS[value % len(COLOURS)], **fields})


def _case(entry: Mapping[str, Any], folder: Path) -> Case:
    split = entry.get("split", "train")
    if split not in get_args(Split):
        raise OptionError(f"case {entry.get('name')!r}: split {split!r}, wanted {', '.join(get_args(Split))}")
    if unknown := sorted(set(entry) - set(_OF_CASE)):
        raise ContractError(
            f"case {entry.get('name')!r}: unknown fields {', '.join(unknown)}; wanted {', '.join(_OF_CASE)}"
        )
    images = entry.get("images", [])
    labels = folder / entry["labels"]
    return Case(
        name=entry.get("name") or labels.name.split(".")[0],
        images=tuple(folder / image for image in ([images] if isinstance(images, str) else images)),
        labels=labels,
        split=cast(Split, split),
    )
