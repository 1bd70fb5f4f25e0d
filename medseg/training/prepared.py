"""Volumes brought to the form that patches are cut from: one array a file, mapped into memory.

A patch then reads its own voxels from the disk, and the memory of a training does not grow with its data.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.atomic import write_together
from medseg.errors import VolumeError
from medseg.geometry import reorient, reorient_together, resample, resample_to
from medseg.model import Input
from medseg.options import check_options
from medseg.preparation import Preparation, StepCall
from medseg.registry import Registry
from medseg.training.checking import CaseFacts
from medseg.training.continuing import continue_beyond
from medseg.training.dataset import Case, Dataset
from medseg.training.locating import Locating
from medseg.training.synthesis import Regions
from medseg.volume import Volume

FINE_MM = 1.0
"""Label maps to paint from are brought to this spacing, so that painted borders are mixed below a voxel."""

_FORM = 2  # of prepared files; another number wherever the same case would be prepared otherwise than before
_KEPT = 20_000  # voxels of each class that patches may be centred on


@dataclass(frozen=True, kw_only=True)
class Pictured:
    """A case with its image, as the network sees it.

    Args:
        image: (C, I, J, K) float32, mapped.
        classes: (I, J, K) uint8, mapped.
        spacing_mm: of both.
        voxels: for each class that is there, but for the background, some of its voxels (N, 3).
    """

    image: NDArray[np.float32]
    classes: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    voxels: tuple[NDArray[np.int32], ...]


def prepare_image(
    case: Case,
    facts: CaseFacts,
    dataset: Dataset,
    folder: Path,
    *,
    wanted: Input,
    registry: Registry,
    locating: Locating | None = None,
) -> Pictured:
    """A case's image and classes on the network's grid, written once and mapped into memory.

    The image is made by the code that makes it when the model is used.

    Args:
        case: its files.
        facts: from the check.
        dataset: what its values mean.
        folder: where prepared cases are kept.
        wanted: the contract's input.
        registry: where steps are looked up.
        locating: the locator of ``wanted``.
    """
    assert wanted.spacing_mm is not None  # a plan has one
    learnt_as = [sorted(dataset.classes.items()), dataset.instances]
    found_by = locating.key if locating else []
    content = [facts.spacing_mm, facts.image_sha256, facts.labels_sha256]
    key = _key([_FORM, *content, asdict(wanted), learnt_as, found_by])
    paths = {what: folder / f"{_file_name(case)}-{key}.{what}.npy" for what in ("image", "classes")}
    if not all(path.exists() for path in paths.values()):
        read = [*case.read_images(), case.read_labels()]
        *volumes, labels = reorient_together(read, wanted.orientation)[0]
        if locating:  # labels too: resampled as a whole, their voxels would lie between those of the image
            *volumes, labels = locating.around(case, [*volumes, labels], dataset)
        image, grid = Preparation(wanted, partial(_step, registry)).image(volumes)
        learnt = labels.with_array(dataset.learnt(labels.array))
        classes = resample_to(_by_share(learnt, wanted.spacing_mm), grid)[0].array.astype(np.uint8)
        write_together([(paths["image"], _saver(image.numpy())), (paths["classes"], _saver(classes))])
    classes = np.load(paths["classes"], mmap_mode="r")
    rng = np.random.default_rng(0)
    voxels = []
    for value in range(1, len(dataset.labels)):
        there = np.flatnonzero(classes == value)
        if len(there):
            some = rng.choice(there, min(_KEPT, len(there)), replace=False)
            voxels.append(np.stack(np.unravel_index(np.sort(some), classes.shape), axis=1).astype(np.int32))
    return Pictured(
        image=np.load(paths["image"], mmap_mode="r"),
        classes=classes,
        spacing_mm=wanted.spacing_mm,
        voxels=tuple(voxels),
    )


def prepare_regions(
    case: Case,
    facts: CaseFacts,
    dataset: Dataset,
    folder: Path,
    *,
    beyond_mm: float = 0,
    locating: Locating | None = None,
) -> Regions:
    """A case's label map for the generator, written once and mapped into memory.

    Args:
        case: its files.
        facts: from the check.
        dataset: what its values mean.
        folder: where prepared cases are kept.
        beyond_mm: how far what its borders cut is continued, where the network sees all of an image.
        locating: the locator that will say what it sees.

    Raises:
        VolumeError: it has more labels than the generator paints.
    """
    table = _table(dataset)
    found_by = [facts.image_sha256, locating.key] if locating else []
    key = _key([_FORM, facts.spacing_mm, facts.labels_sha256, FINE_MM, beyond_mm, table, found_by])
    path = folder / f"{_file_name(case)}-{key}.regions.npy"
    if not path.exists():
        labels = reorient(case.read_labels(), "RAS")[0]
        if labels.array.max() > 255:
            raise VolumeError(
                f"{case.name}: labels up to {labels.array.max()}; the generator paints 0 to 255"
            )
        if locating:
            (labels,) = locating.around(case, [labels], dataset)
        fine = _by_share(labels, (FINE_MM,) * 3).array.astype(np.uint8)
        classes = table[: int(fine.max()) + 1]
        if not locating:
            fine = continue_beyond(fine, classes, reach_mm=beyond_mm, spacing_mm=FINE_MM)
        write_together([(path, _saver(fine))])
    array = np.load(path, mmap_mode="r")
    return Regions(
        labels=array,
        spacing_mm=(FINE_MM,) * 3,
        classes=tuple(table[: int(array.max()) + 1]),
    )


def _by_share(labels: Volume, spacing_mm: tuple[float, float, float]) -> Volume:
    """A label map at another spacing: each voxel takes the label whose linear share there is the largest.

    Nearest-neighbour would keep the steps of thick slices.
    """
    best: NDArray[np.float32] | None = None
    winner: NDArray[Any] | None = None
    sampled = labels
    for value in np.unique(labels.array):
        share = replace(labels, array=(labels.array == value).astype(np.float32), kind="image")
        sampled, _ = resample(share, spacing_mm, interpolation="linear")
        if best is None or winner is None:
            best, winner = sampled.array.copy(), np.full(sampled.shape, value, labels.array.dtype)
            continue
        larger = sampled.array > best
        best[larger], winner[larger] = sampled.array[larger], value
    assert winner is not None  # a volume has a voxel
    return replace(sampled, array=winner, kind="labels")


def _table(dataset: Dataset) -> list[int]:
    return [dataset.class_of(value) for value in range(256)]


def _file_name(case: Case) -> str:
    """A case's name as part of a file's: without a slash, and not too long."""
    return case.name.replace("/", "_").replace("\\", "_")[:50]  # of four bytes each at most


def _key(content: Any) -> str:
    """A name for what a prepared file was made from."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _saver(array: NDArray[Any]) -> Callable[[Path], None]:
    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.save(file, array)

    return write


def _step(registry: Registry, use: tuple[str, Any]) -> StepCall:
    found = registry.find("step", use[0], within="builtin")
    factory = registry.load(found)
    step: StepCall = factory(**check_options(factory, use[1], owner=f"step {found.full_name}"))
    return step
