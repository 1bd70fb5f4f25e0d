"""Synthetic images of any contrast, painted from label maps.

After B. Billot, D. N. Greve, O. Puonti, A. Thielscher, K. Van Leemput, B. Fischl, A. V. Dalca,
J. E. Iglesias: SynthSeg: segmentation of brain MRI scans of any contrast and resolution without
retraining. Medical Image Analysis 86, 2023, doi:10.1016/j.media.2023.102789.

Order of work: each region of the label map gets a mean; the painted map, on its own fine grid, is then
deformed and resampled in one interpolation, so that voxels on borders hold mixtures as in a scanner; each
region's texture, thick slices, blur, bias field, gamma and noise follow on the grid of the patch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from medseg.training.deformation import Deformation, draw_deformation, in_voxels, sample_at, smooth_field

Floats = NDArray[np.float32]

_SLOW_MM = 12.0  # between points of the slow part of a texture


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a synthetic image may look like; each number is the largest that is drawn.

    Args:
        deformation: of the label map.
        contrasts: mean intensities by region, ``{2: (0.4, 0.6)}``, from which a share of the images are
            drawn; regions that are not named, and all regions of the other images, get any mean from 0 to 1.
        contrast_share: share of the images whose means come from ``contrasts``.
        stripped_share: share of the images in which regions that are not learnt are left out, as after
            skull stripping.
        beyond_mm: how far regions that are not learnt go on where a label map's border cuts them, as a neck
            does below a head.
        texture: standard deviation within a region.
        blur_voxels: standard deviation of the blur.
        thick_share: share of the images with low resolution or thick slices.
        thickness_mm: of such slices.
        bias: standard deviation of the logarithm of the bias field.
        gamma: standard deviation of the logarithm of the exponent.
        noise: standard deviation.
        swaps: pairs of labels that change sides when the patch is mirrored.
    """

    deformation: Deformation = field(default_factory=Deformation)
    contrasts: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    contrast_share: float = 0.5
    stripped_share: float = 0.1
    beyond_mm: float = 0.0
    texture: float = 0.1
    blur_voxels: float = 0.6
    thick_share: float = 0.3
    thickness_mm: float = 6.0
    bias: float = 0.3
    gamma: float = 0.2
    noise: float = 0.06
    swaps: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Regions:
    """A label map to paint from.

    Args:
        labels: (I, J, K) uint8, axes along R, A, S; may be memory-mapped.
        spacing_mm: of its voxels.
        classes: what each of its values is learnt as; 0 for regions that are painted and not learnt.
    """

    labels: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    classes: tuple[int, ...]


def synthesise(
    regions: Regions,
    *,
    centre: Sequence[float],
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    recipe: Recipe,
    rng: np.random.Generator,
    swaps: Sequence[tuple[int, int]] = (),
) -> tuple[Tensor, Tensor]:
    """Paint one patch and its labels.

    Args:
        regions: the label map.
        centre: voxel of the label map that the patch is centred on.
        shape: (I, J, K) of the patch.
        spacing_mm: of the patch, along R, A, S.
        recipe: what may be drawn.
        rng: of this sample alone.
        swaps: pairs of classes that change sides in a mirror, besides those of the recipe's regions.

    Returns:
        image (I, J, K) float32, mostly within 0 to 1, and classes (I, J, K) int64.
    """
    drawn = draw_deformation(shape, spacing_mm, recipe.deformation, rng)
    voxels = in_voxels(drawn.offsets_mm, centre, regions.spacing_mm)
    box, voxels = surroundings(regions.labels.shape, voxels)
    source = np.array(regions.labels[box])
    means, textures = _draw_tissues(regions.classes, recipe, rng)
    # Outside the map is background: 0 for grid_sample.
    image = sample_at(torch.from_numpy((means - means[0])[source]), voxels, nearest=False) + float(means[0])
    found = sample_at(torch.from_numpy(source).float(), voxels, nearest=True).long()
    image += torch.from_numpy(textures)[found] * _texture(shape, spacing_mm, rng)
    learnt = _mirrored(regions.classes, recipe.swaps, swaps) if drawn.mirrored else regions.classes
    classes = torch.tensor(learnt)[found]
    return _acquire(image, spacing_mm, recipe, rng), classes


def _mirrored(
    classes: Sequence[int], regions: Sequence[tuple[int, int]], pairs: Sequence[tuple[int, int]]
) -> list[int]:
    """What each region is learnt as in a mirror: pairs of regions change sides, then pairs of classes."""
    mirrored = list(classes)
    done: set[int] = set()
    for a, b in regions:
        if max(a, b) < len(classes):  # the map has both
            mirrored[a], mirrored[b] = classes[b], classes[a]
            done |= {classes[a], classes[b]}
    for a, b in pairs:
        if not done & {a, b}:
            mirrored = [b if c == a else a if c == b else c for c in mirrored]
    return mirrored


def surroundings(shape: Sequence[int], voxels: Floats) -> tuple[tuple[slice, slice, slice], Floats]:
    """The box of a volume of this shape that holds all positions (*S, 3), and the positions in that box."""
    along = [voxels[..., axis] for axis in range(3)]  # much faster than one reduction over three axes
    low = np.floor([positions.min() for positions in along]).astype(int)
    high = np.ceil([positions.max() for positions in along]).astype(int) + 1
    low = np.clip(low, 0, np.maximum(np.array(shape) - 2, 0))
    high = np.clip(high, np.minimum(low + 2, shape), shape)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return (i, j, k), voxels - low.astype(np.float32)


def _draw_tissues(classes: Sequence[int], recipe: Recipe, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The mean of each region, and how strong its texture is."""
    count = len(classes)
    means = rng.uniform(0, 1, count)
    textures = rng.uniform(0, recipe.texture, count)
    if rng.random() < recipe.contrast_share:
        for region, (low, high) in recipe.contrasts.items():
            mean = rng.uniform(low, high)  # drawn whether or not this map goes as far as that region
            if region < count:
                means[region] = mean
    if rng.random() < 0.7:
        means[0], textures[0] = (
            rng.uniform(0, 0.05),
            rng.uniform(0, recipe.texture / 5),
        )  # air is dark in most images
    if rng.random() < recipe.stripped_share:
        left_out = [n for n in range(count) if classes[n] == 0]
        means[left_out], textures[left_out] = means[0], textures[0]
    return means.astype(np.float32), textures.astype(np.float32)


def _texture(shape: Sequence[int], spacing_mm: Sequence[float], rng: np.random.Generator) -> Tensor:
    """(I, J, K) of variance 1: partly fine grain, partly slow change within a region."""
    grain = rng.uniform(0, 1)
    nodes = [max(2, round(n * mm / _SLOW_MM)) for n, mm in zip(shape, spacing_mm, strict=True)]
    noise = rng.standard_normal(tuple(shape), dtype=np.float32) * np.float32(math.sqrt(grain))
    return torch.from_numpy(noise + smooth_field(shape, nodes, rng) * np.float32(math.sqrt(1 - grain)))


def _acquire(image: Tensor, spacing_mm: Sequence[float], recipe: Recipe, rng: np.random.Generator) -> Tensor:
    """What a scanner does to an image (I, J, K): resolution, blur, bias field, gamma, noise."""
    if rng.random() < recipe.thick_share:
        image = _thicken(image, spacing_mm, recipe.thickness_mm, rng)
    image = _blur(image, rng.uniform(0, recipe.blur_voxels, 3))
    bias = smooth_field(tuple(image.shape), (4, 4, 4), rng) * np.float32(rng.uniform(0, recipe.bias))
    image = image.clamp(min=0) * torch.from_numpy(np.exp(bias))
    image = image ** float(np.exp(rng.normal(0, recipe.gamma)))
    grain = rng.standard_normal(tuple(image.shape), dtype=np.float32) * np.float32(
        rng.uniform(0, recipe.noise)
    )
    return (image + torch.from_numpy(grain)) * float(rng.uniform(0.7, 1.3))


def _thicken(
    image: Tensor, spacing_mm: Sequence[float], thickness_mm: float, rng: np.random.Generator
) -> Tensor:
    """Thick slices along one axis, or a low resolution along all: averaged, and interpolated back."""
    wanted = np.array(spacing_mm, dtype=float)
    if rng.random() < 0.5:
        wanted[rng.integers(3)] = rng.uniform(2, thickness_mm)
    else:
        wanted *= rng.uniform(1, max(1.0, thickness_mm / 2 / wanted.max()))
    sizes = [
        max(2, round(n * mm / max(w, mm))) for n, mm, w in zip(image.shape, spacing_mm, wanted, strict=True)
    ]
    low = F.interpolate(image[None, None], size=sizes, mode="area")
    return F.interpolate(low, size=tuple(image.shape), mode="trilinear", align_corners=False)[0, 0]


def _blur(image: Tensor, deviations: NDArray[np.float64]) -> Tensor:
    """Gaussian blur of (I, J, K), with a standard deviation in voxels along each axis, two voxels wide."""
    steps = torch.arange(-2, 3, dtype=torch.float32)
    for axis, deviation in enumerate(deviations):
        kernel = torch.exp(-0.5 * (steps / max(float(deviation), 1e-3)) ** 2)
        shape = [1, 1, 1, 1, 1]
        shape[axis + 2] = 5
        padding = [0] * 6
        padding[(2 - axis) * 2 : (2 - axis) * 2 + 2] = 2, 2
        edge = F.pad(image[None, None], padding, mode="replicate")
        image = F.conv3d(edge, (kernel / kernel.sum()).reshape(shape))[0, 0]
    return image
