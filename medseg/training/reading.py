"""A dataset from whatever it is given as: a manifest, a table, another tool's list, or a folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medseg.errors import ContractError, MedsegError
from medseg.formats import check_permissions, known_suffixes, stem_of
from medseg.model import Label
from medseg.registry import default_registry
from medseg.training.dataset import Case, Dataset, label
from medseg.training.lists import is_decathlon, is_nnunet, read_decathlon, read_nnunet
from medseg.training.manifest import ANY_MR, read_json, read_manifest, read_table
from medseg.training.synthesis import Recipe


def read_dataset(
    path: Path, *, root: Path | None = None, permissions: Mapping[str, Any] | None = None
) -> Dataset:
    """A dataset.

    Args:
        path: a JSON manifest, a CSV table, an nnU-Net or decathlon ``dataset.json``, a folder with one, or
            a folder with ``images`` and ``labels``, whose files have the same names, or with ``labels``
            alone, from which images are painted.
        root: what the paths in a list are relative to; the list's own folder, if None.
        permissions: for the readers of all files; each gets those that it knows.

    Raises:
        ContractError: it is none of these, or has no case.
        OptionError: a permission that none of the readers knows.
    """
    dataset = _read(path, root)
    if not dataset.cases:
        raise ContractError(f"{path}: no case was found")
    names = [case.name for case in dataset.cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ContractError(f"{path}: several cases are called {', '.join(twice)}; give each its own name")
    files = [file for case in dataset.cases for file in (*case.images, case.labels)]
    absent = [file for file in files if not file.exists()]
    if absent:
        raise ContractError(
            f"{path}: {len(absent)} files are not there, such as {absent[0]}; paths are relative to the "
            "list, or to --root"
        )
    if permissions:
        check_permissions(files, permissions)
        cases = tuple(replace(case, permissions=permissions) for case in dataset.cases)
        dataset = replace(dataset, cases=cases)
    return dataset if dataset.labels else replace(dataset, labels=_labels_found(dataset))


def _read(path: Path, root: Path | None) -> Dataset:
    if path.is_dir():
        listed = path / "dataset.json"
        return _read(listed, root) if listed.exists() else _read_folder(path)
    folder = root or path.parent
    if path.suffix == ".csv":
        return read_table(path, folder=folder)
    data = read_json(path)
    name = path.parent.name if path.stem == "dataset" else path.stem
    try:
        if is_nnunet(data):
            return read_nnunet(data, folder)
        if is_decathlon(data):
            return read_decathlon(data, folder, name=name)
    except MedsegError:
        raise
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ContractError(
            f"{path} is not as its tool writes it: {type(error).__name__}: {error}. Correct it, or list the "
            "cases as medseg does"
        ) from error
    return read_manifest(data, folder=folder, name=name)


def _read_folder(folder: Path) -> Dataset:
    suffixes = known_suffixes(default_registry())
    pictures = folder / "images"
    if not (folder / "labels").is_dir():
        raise ContractError(
            f"{folder}: wanted a dataset.json, or folders images and labels with files of the same names"
        )
    recipe = None if pictures.is_dir() else Recipe()
    by_stem: dict[str, list[Path]] = {}
    for file in _shown(pictures):
        by_stem.setdefault(stem_of(file.name, suffixes), []).append(file)
    cases = []
    for target in _shown(folder / "labels"):
        name = stem_of(target.name, suffixes)
        images = [] if recipe else by_stem.get(name, [])
        if not images and recipe is None:
            raise ContractError(f"{folder}: labels/{target.name} has no image of the same name in images")
        if len(images) > 1:
            found = ", ".join(image.name for image in images)
            raise ContractError(f"{folder}: labels/{target.name} has several images, {found}; keep one")
        cases.append(Case(name=name, images=tuple(images), labels=target))
    return Dataset(name=folder.name, channels=(ANY_MR,), labels=(), cases=tuple(cases), recipe=recipe)


def _shown(folder: Path) -> list[Path]:
    """What is in a folder, but for what is hidden, such as the .DS_Store that macOS leaves in each."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def _labels_found(dataset: Dataset) -> tuple[Label, ...]:
    """Classes 0 to the largest value of any label map, where no list names them."""
    largest = max(int(np.max(case.read_labels().array)) for case in dataset.cases)
    return tuple(label(n, f"label {n}" if n else "background") for n in range(largest + 1))
