"""From volumes to the network's image: what a contract's input says about geometry and intensities."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from medseg.errors import ContractError
from medseg.geometry import Undo, crop, fit, resample
from medseg.nnunet_grid import resample_nnunet
from medseg.plugin import Channel, Input, StepUse, WholeGrid
from medseg.storage import bands, copy_tiles, empty, let_go
from medseg.volume import Grid, Volume

StepCall = Callable[[Volume], tuple[Volume, Undo]]


class Preparation:
    """Makes the image of one contract.

    Args:
        wanted: the contract's input.
        step: makes a step from its name and options.
    """

    def __init__(self, wanted: Input, step: Callable[[StepUse], StepCall]) -> None:
        self._wanted = wanted
        self._steps = [step(use) for use in wanted.steps]
        self._channel_steps = [[step(use) for use in channel.steps] for channel in wanted.channels]

    def crop(self, volumes: Sequence[Volume]) -> tuple[list[Volume], Undo]:
        """The part of the volumes that the network is to see, and the way back, which fills with 0."""
        if self._wanted.crop == "none":
            return list(volumes), lambda processed: processed
        # What voxels enclose, which belongs to the mask, lies within their box as well.
        start, stop = _box(_somewhere(volumes))
        cropped = [crop(volume, start, stop) for volume in volumes]
        return [volume for volume, _ in cropped], cropped[0][1]

    def image(self, volumes: Sequence[Volume]) -> tuple[Tensor, Grid]:
        """The network's image (C,I,J,K) float32, and its grid."""
        mask = _nonzero(volumes) > 0 if any(c.within == "nonzero" for c in self._wanted.channels) else None
        image: Tensor | None = None
        for number, (channel, volume) in enumerate(zip(self._wanted.channels, volumes, strict=True)):
            on_grid = self._resampled(_changed(volume, channel, self._channel_steps[number], mask))
            for step in self._steps:
                on_grid, _ = step(on_grid)
            if len(volumes) == 1:
                return torch.from_numpy(_own_float32(on_grid, volume)[None]), on_grid.grid
            if image is None:
                image = torch.from_numpy(empty((len(volumes), *on_grid.shape), np.float32))
            for band in bands(on_grid.array):
                copy_tiles(image[number].numpy()[band], on_grid.array[band])
                let_go(image.numpy())
        assert image is not None  # the contract has at least one channel
        return image, on_grid.grid

    def shape(self, grid: Grid) -> tuple[int, ...]:
        """Voxels of the network's image of a volume on a grid."""
        wanted = self._wanted
        if isinstance(wanted.patch, WholeGrid):
            return wanted.patch.shape
        if wanted.spacing_mm is None:
            return grid.shape
        sides = zip(grid.shape, grid.spacing_mm, wanted.spacing_mm, strict=True)
        return tuple(max(1, round(n * old / new)) for n, old, new in sides)

    def _resampled(self, volume: Volume) -> Volume:
        wanted = self._wanted
        if isinstance(wanted.patch, WholeGrid):
            return fit(volume, wanted.patch.shape, interpolation=wanted.patch.interpolation)[0]
        if wanted.spacing_mm is None:
            return volume
        if wanted.resampling == "nnunet":
            return resample_nnunet(volume, wanted.spacing_mm, interpolation=wanted.interpolation)
        return resample(volume, wanted.spacing_mm, interpolation=wanted.interpolation)[0]


def _own_float32(volume: Volume, source: Volume) -> NDArray[np.float32]:
    """The values (I,J,K), C-contiguous float32: as they are if this is no view of the source, else a copy."""
    array = volume.array
    owner = array.base
    if (
        isinstance(owner, np.ndarray)
        and array.dtype == np.float32
        and owner.shape == array.shape
        # With as many voxels along i as along k, a transposed view has its owner's shape.
        and owner.strides == array.strides
        and owner.flags.c_contiguous
        and owner.flags.writeable
        and not np.may_share_memory(array, source.array)
    ):
        return owner
    copy = empty(array.shape, np.float32)
    for band in bands(array):
        copy_tiles(copy[band], array[band])
        let_go(copy)
    return copy


def _changed(
    volume: Volume, channel: Channel, steps: Sequence[StepCall], mask: NDArray[np.bool_] | None
) -> Volume:
    """The channel after its own steps."""
    if not steps:
        return volume
    if channel.within == "all" or mask is None:
        for step in steps:
            volume, _ = step(volume)
        return volume
    # Intensity steps know no neighbours, so the voxels inside may stand in a row for them.
    inside = Volume(volume.array[mask].reshape(-1, 1, 1), np.eye(4))
    for step in steps:
        inside, _ = step(inside)
    values = volume.array.astype(inside.array.dtype)
    values[mask] = inside.array.reshape(-1)
    return volume.with_array(values, kind="image")


def _nonzero(volumes: Sequence[Volume]) -> NDArray[np.uint8]:
    """1 where some channel is not 0, and in what such voxels enclose by their faces."""
    padded = np.pad(~_somewhere(volumes), 1, constant_values=True)
    pieces, _ = ndimage.label(padded)
    outside = pieces == pieces[0, 0, 0]
    return np.asarray(~outside[1:-1, 1:-1, 1:-1], np.uint8)


def _somewhere(volumes: Sequence[Volume]) -> NDArray[np.bool_]:
    """Where some channel is not 0."""
    mask = volumes[0].array != 0
    for volume in volumes[1:]:
        mask |= volume.array != 0
    return np.asarray(mask)


def _box(mask: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Where the voxels of a mask begin along each axis, and where they end."""
    start, stop = [], []
    for axis in range(3):
        along = np.flatnonzero(mask.any(tuple(other for other in range(3) if other != axis)))
        if not len(along):
            raise ContractError("the part of the image that the model is to see is 0 everywhere")
        start.append(int(along[0]))
        stop.append(int(along[-1]) + 1)
    return start, stop
