"""A dataset looked at before it is trained on: geometry, labels, duplicates, leakage; and its fingerprint."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from medseg import contract
from medseg.errors import ContractError, VolumeError
from medseg.geometry import reorient, reorient_together
from medseg.model import Channel, Input, Windows
from medseg.storage import contiguous
from medseg.training.dataset import Case, Dataset, one_sided
from medseg.volume import Volume

PERCENTILES = (0.5, 50.0, 99.5)
_SAMPLED = 100_000  # voxels of a channel that percentiles are taken of


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a dataset that people should know.

    Args:
        case: its name, or two names.
        sentence: what was found.
        fatal: training would be wrong.
    """

    case: str
    sentence: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{'REFUSED' if self.fatal else 'note'} {self.case}: {self.sentence}"


@dataclass(frozen=True, kw_only=True)
class CaseFacts:
    """What was measured of a case, along R, A, S.

    Args:
        name: of the case.
        split: of the case.
        shape, spacing_mm: of its label map.
        label_ml: volume of each class, background included, by value.
        intensities: for each channel 0.5th, 50th and 99.5th percentile, mean and deviation within
            what is learnt.
        image_sha256: of the voxels of all channels, whatever the file and the order of its axes.
        labels_sha256: likewise.
    """

    name: str
    split: Literal["train", "val", "test"]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    label_ml: dict[int, float]
    intensities: tuple[tuple[float, ...], ...]
    image_sha256: str
    labels_sha256: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the check of a dataset found."""

    facts: tuple[CaseFacts, ...]
    findings: tuple[Finding, ...]

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """The findings that forbid training."""
        return tuple(finding for finding in self.findings if finding.fatal)

    def refuse(self) -> None:
        """Go no further with data that must not be trained on.

        Raises:
            ContractError: there is such a finding; the message has all of them.
        """
        if self.fatal:
            raise ContractError("the dataset cannot be trained on. " + ". ".join(map(str, self.fatal)))

    def as_json(self) -> dict[str, Any]:
        """For the run's folder: no path, no name of a patient."""
        return {
            "cases": [asdict(fact) for fact in self.facts],
            "findings": [asdict(finding) for finding in self.findings],
        }


def check_dataset(dataset: Dataset) -> Report:
    """Read every file of a dataset once.

    Returns:
        The facts of the cases that could be read, and what was found.
    """
    facts: list[CaseFacts] = []
    channels: dict[str, frozenset[str]] = {}
    findings: list[Finding] = []
    for case in dataset.cases:
        try:
            fact, found, channels[case.name] = _look_at(case, dataset)
        except VolumeError as error:
            findings.append(Finding(case=case.name, sentence=str(error)))
            continue
        facts.append(fact)
        findings += found
    if dataset.recipe is not None and len(dataset.channels) != 1:
        sentence = f"synthesis paints images of one channel, and these have {len(dataset.channels)}"
        findings.append(Finding(case=dataset.name, sentence=sentence))
    findings += _duplicates(facts)
    findings += _shared_channels(facts, channels)
    findings += _of_classes(facts, dataset)
    return Report(facts=tuple(facts), findings=tuple(findings))


def _look_at(case: Case, dataset: Dataset) -> tuple[CaseFacts, list[Finding], frozenset[str]]:
    """A case's facts, what was found, and a hash of each of its channels."""
    found: list[Finding] = []
    read = [case.read_labels(), *case.read_images()]
    # Each by itself where they are not on one grid, which is then said.
    together = all(volume.grid.matches(read[0].grid) for volume in read)
    turned = (
        reorient_together(read, "RAS")[0] if together else [reorient(volume, "RAS")[0] for volume in read]
    )
    labels, *images = turned
    count = len(dataset.channels)
    if images and len(images) != count:
        found.append(
            Finding(
                case=case.name, sentence=f"got {len(images)} images, wanted one for each of {count} channels"
            )
        )
    if not images and dataset.recipe is None:
        found.append(
            Finding(case=case.name, sentence="it has no image, and the dataset says nothing of synthesis")
        )
    for channel, image in zip(dataset.channels, images, strict=False):
        if not image.grid.matches(labels.grid):
            found.append(
                Finding(
                    case=case.name,
                    sentence=f"{channel.name} and labels are not on one grid: got {image.grid!r} and "
                    f"{labels.grid!r}; resample one to the other",
                )
            )
        found += _unfit(case, channel, image)
    values, counts = np.unique(labels.array, return_counts=True)
    unknown = [int(v) for v in values if dataset.class_of(int(v)) >= len(dataset.labels)]
    if unknown:
        found.append(
            Finding(
                case=case.name,
                sentence=f"label values {', '.join(map(str, unknown))} are not among the "
                f"{len(dataset.labels)} classes; name them, or say in classes what they are learnt as",
            )
        )
    volumes: dict[int, float] = {}
    for value, voxels in zip(values, counts, strict=True):
        learnt = dataset.class_of(int(value))
        volumes[learnt] = volumes.get(learnt, 0.0) + float(voxels) * labels.voxel_ml
    if set(volumes) == {0}:
        found.append(Finding(case=case.name, sentence="it is background everywhere", fatal=False))
    facts = CaseFacts(
        name=case.name,
        split=case.split,
        shape=labels.shape,
        spacing_mm=labels.spacing_mm,
        label_ml=volumes,
        intensities=tuple(_intensities(image, labels) for image in images),
        image_sha256=_content(images) if images else "",
        labels_sha256=_content([labels]),
    )
    each = (_content([image]) for image in images) if len(images) != 1 else [facts.image_sha256]
    return facts, found, frozenset(each)


def _unfit(case: Case, channel: Channel, image: Volume) -> Iterator[Finding]:
    """Why the model would refuse this image: the first validation would end the training, if any came."""
    wanted = Input(channels=(channel,), spacing_mm=None, orientation="RAS", patch=Windows(size=(1, 1, 1)))
    for problem in contract.check([image], wanted):
        if problem.severity == "warn":
            continue
        remedy = problem.remedy
        if problem.severity == "force":
            remedy = "say what each channel is in channels of a list of cases"
        yield Finding(case=case.name, sentence=str(replace(problem, remedy=remedy)))


def _intensities(image: Volume, labels: Volume) -> tuple[float, ...]:
    """Percentiles, mean and deviation of a channel within what is labelled, if it is on the same grid."""
    inside = image.array
    if image.shape == labels.shape and (labels.array > 0).any():
        inside = image.array[labels.array > 0]
    values = inside.ravel()
    values = values[:: max(1, values.size // _SAMPLED)].astype(np.float64)
    return (*np.percentile(values, PERCENTILES).tolist(), float(values.mean()), float(values.std()))


def _content(volumes: Sequence[Volume]) -> str:
    """A hash of voxels alone, which a copy keeps that was saved in another type, order or header."""
    digest = hashlib.sha256()
    for volume in volumes:
        digest.update(str(volume.shape).encode())
        digest.update(contiguous(volume.array, "<f4").data)
    return digest.hexdigest()


def _duplicates(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    for a, b in combinations(facts, 2):
        same = [
            what
            for what, one, other in (
                ("images", a.image_sha256, b.image_sha256),
                ("label maps", a.labels_sha256, b.labels_sha256),
            )
            if one and one == other and (what == "images" or set(a.label_ml) != {0})
        ]
        if not same:
            continue
        leak = a.split != b.split
        sentence = f"their {' and '.join(same)} hold the same voxels"
        if leak:
            sentence += (
                f", and one is in {a.split}, the other in {b.split}: the score would be of what was learnt"
            )
        yield Finding(case=f"{a.name}, {b.name}", sentence=sentence, fatal=leak)


def _shared_channels(facts: Sequence[CaseFacts], channels: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    """Cases of two splits that have an image in common, the others being different or in another order."""
    # What all cases have, as an atlas in the space of a template, tells nothing of a case.
    everywhere = frozenset.intersection(*channels.values()) if len(channels) > 2 else frozenset()
    for a, b in combinations(facts, 2):
        shared = channels[a.name] & channels[b.name] - everywhere
        if shared and a.split != b.split and a.image_sha256 != b.image_sha256:
            yield Finding(
                case=f"{a.name}, {b.name}",
                sentence=f"{len(shared)} of their images hold the same voxels, and one is in {a.split}, "
                f"the other in {b.split}: the score would be of what was learnt",
            )


def _of_classes(facts: Sequence[CaseFacts], dataset: Dataset) -> Iterator[Finding]:
    trained = [fact for fact in facts if fact.split == "train"]
    if not trained:
        yield Finding(case=dataset.name, sentence="no case is left to train on")
    if len(dataset.labels) < 2:
        yield Finding(case=dataset.name, sentence="there is nothing to learn: background is the only class")
    for entry in one_sided(dataset):
        yield Finding(
            case=dataset.name,
            sentence=f"the class {entry.value} ({entry.name}) is of one side and its other side is not a "
            "class: images are not mirrored",
            fatal=False,
        )
    for entry in dataset.labels:
        if trained and not any(fact.label_ml.get(entry.value) for fact in trained):
            yield Finding(
                case=dataset.name, sentence=f"no training case has the class {entry.value} ({entry.name})"
            )
