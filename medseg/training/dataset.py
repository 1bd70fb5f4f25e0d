"""What is trained on: cases of images and labels, and what their values mean."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medseg.errors import ContractError
from medseg.formats import load, reader_options
from medseg.model import Channel, Label
from medseg.training.synthesis import Recipe
from medseg.volume import Volume

Split = Literal["train", "val", "test"]

# As words, an underscore between words taken for a space.
_LEFT = re.compile(r"(?<![^\W_])lh?(?![^\W_])")
_SIDE = re.compile(r"(?<![^\W_])(left|right|[lr]h?)(?![^\W_])")

MOST_CLASSES = 256
_TABLE = 1 << 16  # values: a table of them is several times faster than a search, and of larger ones, large

MEANING = "meaning"
"""Where ``data.json`` of a run has ``meaning_of`` its dataset."""

COLOURS = (
    "#000000",
    "#e8554e",
    "#4e9de8",
    "#f2c14e",
    "#6bbf59",
    "#b07ce8",
    "#e88f4e",
    "#4ec5c1",
    "#d96bb1",
    "#9a9a9a",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case.

    Args:
        name: unique in its dataset.
        images: a path for each channel, in order; empty if images are painted from the labels.
        labels: path of the label map.
        split: ``train``; ``val`` is scored while training goes on; ``test`` is never looked at.
        permissions: of the files' readers, by name.
        volumes: for each channel, where one file holds all, the number of its volume there.
    """

    name: str
    images: tuple[Path, ...]
    labels: Path
    split: Split = "train"
    permissions: Mapping[str, Any] = field(default_factory=dict)
    volumes: tuple[int, ...] = ()

    def read_images(self) -> list[Volume]:
        """Each channel's volume.

        Raises:
            VolumeError: a reader refuses one.
        """
        several: Sequence[dict[str, int]] = [{"volume": number} for number in self.volumes]
        return [
            load(path, **{**reader_options(path, self.permissions), **which})
            for path, which in zip(self.images, several or [{}] * len(self.images), strict=True)
        ]

    def read_labels(self) -> Volume:
        """The label map.

        Raises:
            VolumeError: its reader refuses it.
        """
        return load(self.labels, kind="labels", **reader_options(self.labels, self.permissions))


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Cases and their meaning.

    Args:
        name: of the dataset, and of the model unless another is given.
        channels: of the images, in order.
        labels: every class that is learnt, background first, with values 0, 1, 2, ...
        cases: all of them.
        classes: by value in the files, the class it is learnt as; values that are not named are their own.
        instances: the label maps number objects: what is above 0, after ``classes``, is learnt as class 1.
        recipe: how images are painted from the labels, if they are.
        licence: SPDX expression that the model gets.
        description: where the data came from, for the model's card.
        intended_use: of the model, for its card.

    Raises:
        ContractError: the labels have other values, or two have one name.
    """

    name: str
    channels: tuple[Channel, ...]
    labels: tuple[Label, ...]
    cases: tuple[Case, ...]
    classes: Mapping[int, int] = field(default_factory=dict)
    instances: bool = False
    recipe: Recipe | None = None
    licence: str = ""
    description: str = ""
    intended_use: str = ""

    def __post_init__(self) -> None:
        # The network's channel n scores the n-th label, and is taught with what is learnt as n.
        values, names = [entry.value for entry in self.labels], [entry.name for entry in self.labels]
        if values != list(range(len(values))):
            raise ContractError(
                f"dataset {self.name}: its labels have the values {', '.join(map(str, values))}; wanted 0 "
                "for the background, 1, 2 and so on. Where files have other values, a list of medseg's own "
                "says in classes what each is learnt as"
            )
        if len(values) > MOST_CLASSES:
            raise ContractError(
                f"dataset {self.name}: {len(values)} classes; {MOST_CLASSES} are kept at the most, in a byte "
                "a voxel. Learn them in several models, or say in classes what is learnt as one"
            )
        if negative := sorted(value for value in self.classes.values() if value < 0):
            raise ContractError(f"dataset {self.name}: classes has {negative[0]}; a class is 0 or more")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ContractError(f"dataset {self.name}: several labels are called {', '.join(twice)}")

    def of(self, split: Split) -> tuple[Case, ...]:
        """The cases of one split."""
        return tuple(case for case in self.cases if case.split == split)

    def class_of(self, value: int) -> int:
        """What a value of the label maps is learnt as."""
        learnt = self.classes.get(value, value)
        return min(learnt, 1) if self.instances else learnt

    def learnt(self, values: NDArray[np.integer]) -> NDArray[np.uint8]:
        """What each voxel of a label map is learnt as."""
        there = np.unique(values)
        classes = np.array([self.class_of(int(value)) for value in there], np.uint8)
        if there[-1] - there[0] < _TABLE:
            table = np.zeros(int(there[-1] - there[0]) + 1, np.uint8)
            table[there - there[0]] = classes
            return np.asarray(table[values - there[0]])
        return np.asarray(classes[np.searchsorted(there, values)])


def meaning_of(dataset: Dataset) -> dict[str, Any]:
    """What a dataset's values mean, and how images are painted: the same when a training goes on."""
    return {
        "channels": [asdict(channel) for channel in dataset.channels],
        "labels": [entry.name for entry in dataset.labels],
        "classes": sorted(dataset.classes.items()),
        "instances": dataset.instances,
        "synthesis": asdict(dataset.recipe) if dataset.recipe else None,
    }


def label(value: int, name: str) -> Label:
    """A class with a colour of its own."""
    return Label(value=value, name=name, colour=COLOURS[value % len(COLOURS)])


def mirrored_pairs(labels: Sequence[Label]) -> tuple[tuple[int, int], ...]:
    """Pairs of classes that change sides in a mirror: those whose names differ by left and right alone.

    Or by the words L and R, or LH and RH: ``kidney_left``, ``Hippocampus L``, ``ctx-lh-cuneus``.
    """
    by_name = {entry.name.lower(): entry.value for entry in labels}
    return tuple(
        (value, by_name[_other_side(name)])
        for name, value in by_name.items()
        if _other_side(name) != name and _other_side(name) in by_name
    )


def _other_side(name: str) -> str:
    """A name of what is on the left as that of what is on the right; any other name as it is."""
    if "left" in name:
        return name.replace("left", "right")
    return _LEFT.sub(lambda found: found[0].replace("l", "r"), name)


def sides_of(dataset: Dataset) -> tuple[tuple[int, int], ...]:
    """Pairs of classes that change sides in a mirror: by their names, and by the recipe's pairs of labels."""
    swaps = dataset.recipe.swaps if dataset.recipe else ()
    learnt = {(dataset.class_of(a), dataset.class_of(b)) for a, b in swaps}
    pairs = {(min(pair), max(pair)) for pair in (*learnt, *mirrored_pairs(dataset.labels))}
    return tuple(sorted((a, b) for a, b in pairs if a != b))


def one_sided(dataset: Dataset) -> tuple[Label, ...]:
    """Classes that are named for a side and whose other side is not learnt: no mirror can show them."""
    paired = {value for pair in sides_of(dataset) for value in pair}
    return tuple(
        entry for entry in dataset.labels if entry.value not in paired and _SIDE.search(entry.name.lower())
    )


def with_validation(dataset: Dataset, share: float = 0.2) -> Dataset:
    """Set a share of the cases with images aside, if there are five or more and none is set aside yet.

    Which ones depends on their names alone.
    """
    pictured = [case for case in dataset.of("train") if case.images]
    if dataset.of("val") or len(pictured) < 5:
        return dataset
    ranked = sorted(pictured, key=lambda case: hashlib.sha256(case.name.encode()).hexdigest())
    chosen = {case.name for case in ranked[: max(1, round(share * len(ranked)))]}
    cases = (replace(case, split="val") if case.name in chosen else case for case in dataset.cases)
    return replace(dataset, cases=tuple(cases))
