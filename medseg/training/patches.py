"""Training patches, each a function of the plan's seed and its own number alone.

So a training that was killed and goes on sees the patches that it would have seen, whatever the number of
worker processes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from medseg.training.augmentation import Intensities
from medseg.training.deformation import Deformation, draw_deformation, in_voxels, sample_at
from medseg.training.plan import Plan
from medseg.training.prepared import Pictured
from medseg.training.synthesis import Recipe, Regions, surroundings, synthesise

Patch = tuple[Tensor, Tensor]
"""Image (C, *S) float32 and classes (*S) int64."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A case that patches come from: its image, or regions to paint one from, or both."""

    pictured: Pictured | None
    regions: Regions | None


class Patches(Dataset[Patch]):
    """Patch number n: cut from one of several cases, or painted from its labels.

    Args:
        sources: one of them is drawn for each patch.
        recipe: what may be painted, and how patches are deformed.
        plan: size, spacing, seed and shares.
        swaps: pairs of classes that change sides in a mirror, from ``sides_of``.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        recipe: Recipe,
        plan: Plan,
        *,
        swaps: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self._sources, self._recipe, self._plan = list(sources), recipe, plan
        members = [value for pair in swaps for value in pair]
        # A class whose other side is not learnt, or is one of two, cannot be told in an image's mirror.
        self._mirrors = 0 not in members and len(members) == len(set(members))
        self._swaps = tuple(pair for pair in swaps if 0 not in pair)
        self._intensities = Intensities()

    def __len__(self) -> int:
        return self._plan.steps * self._plan.batch

    def __getitem__(self, number: int) -> Patch:
        rng = np.random.default_rng([self._plan.seed, number])
        source = self._sources[rng.integers(len(self._sources))]
        painted = rng.random() < self._plan.synthetic
        if source.regions is not None and (painted or source.pictured is None):
            return self._paint(source.regions, rng)
        assert source.pictured is not None  # a source has one of the two
        return self._cut(source.pictured, rng)

    def _paint(self, regions: Regions, rng: np.random.Generator) -> Patch:
        image, classes = synthesise(
            regions,
            centre=self._centre_in(regions, rng),
            shape=self._plan.patch,
            spacing_mm=self._plan.spacing_mm,
            recipe=self._recipe,
            rng=rng,
            swaps=self._swaps,
        )
        return image[None], classes

    def _centre_in(self, regions: Regions, rng: np.random.Generator) -> tuple[int, ...]:
        """A voxel that is learnt, or any voxel."""
        wanted = rng.random() < self._plan.foreground
        voxel: tuple[int, ...] = ()
        for _ in range(100):
            voxel = tuple(int(rng.integers(n)) for n in regions.labels.shape)
            if not wanted or regions.classes[regions.labels[voxel]]:
                break
        return voxel

    def _cut(self, pictured: Pictured, rng: np.random.Generator) -> Patch:
        centre = rng.integers(pictured.classes.shape)
        if pictured.voxels and rng.random() < self._plan.foreground:
            chosen = pictured.voxels[rng.integers(len(pictured.voxels))]  # each class as often as the others
            centre = chosen[rng.integers(len(chosen))]
        limits = self._recipe.deformation
        limits = replace(limits, mirror=limits.mirror and self._mirrors)
        if rng.random() < 0.3:  # some patches as they are
            limits = Deformation(
                rotation_degrees=0, scaling=0, shearing=0, displacement_mm=0, mirror=limits.mirror
            )
        drawn = draw_deformation(self._plan.patch, self._plan.spacing_mm, limits, rng)
        voxels = in_voxels(drawn.offsets_mm, centre.tolist(), pictured.spacing_mm)
        box, voxels = surroundings(pictured.classes.shape, voxels)
        # Outside the image is 0, as windows have it there when the model is used.
        channels = [
            sample_at(torch.from_numpy(np.array(channel[box])), voxels, nearest=False)
            for channel in pictured.image
        ]
        part = torch.from_numpy(pictured.classes[box].astype(np.float32))
        classes = sample_at(part, voxels, nearest=True).long()
        if drawn.mirrored and self._swaps:
            table = torch.arange(256)
            for a, b in self._swaps:
                table[[a, b]] = torch.tensor([b, a])
            classes = table[classes]
        return self._intensities(torch.stack(channels), rng), classes


class EpochSampler(Sampler[int]):
    """The numbers of the patches of one epoch; Lightning calls ``set_epoch``.

    Args:
        plan: how many there are.
        rank, world: which of each step's patches this process takes.
    """

    def __init__(self, plan: Plan, *, rank: int = 0, world: int = 1) -> None:
        self._plan, self._rank, self._world = plan, rank, world
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        count = self._plan.epoch_steps * self._plan.batch
        first = self._epoch * count
        return iter(range(first + self._rank, first + count, self._world))

    def __len__(self) -> int:
        return self._plan.epoch_steps * self._plan.batch // self._world


def use_one_thread(_: int) -> None:
    """For a process that makes patches; the network has the other threads."""
    torch.set_num_threads(1)
