"""U-Net's border loss: cross entropy that counts more in the gap between touching objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from medseg.builtin.losses.distances import axis_spacing
from medseg.builtin.losses.label_weights import given_or_balanced_weights, mean_over_voxels
from medseg.builtin.losses.probabilities import read_voxels
from medseg.errors import ContractError, OptionError
from medseg.plugin import Output

BORDER_WEIGHT = "border-weight"
"""The extra (B,*S) that holds what ``border_weights`` gave for each item."""

REACH = 6.0
"""Sigmas beyond which a weight is taken for 0: exp(-18) of ``w0``, 1.5e-8, is lost in float32."""


def border_weights(
    instances: NDArray[Any],
    spacing_mm: Sequence[float] = (),
    *,
    w0: float = 10.0,
    sigma_mm: float = 5.0,
) -> NDArray[np.float32]:
    """w0 exp(-(d1 + d2)^2 / (2 sigma^2)), d1 and d2 the distances to the two nearest objects.

    This is for the data loader: a training target says which voxels are cell, not which cell.
    Distances are to voxel centres, and 0 inside an object, so that the rims of objects that
    touch weigh as much as a gap between them. Fewer than two objects weigh 0 everywhere.

    Args:
        instances: (*S) integers, 0 for background and one number for each object.
        spacing_mm: voxel size along the axes of *S; empty: distances in voxels.
        w0: the weight in a vanishing gap.
        sigma_mm: how fast it falls with the width of the gap; the paper's 5 is in pixels.

    Returns:
        (*S) float32, to be passed on as the extra ``border-weight``.

    Raises:
        ContractError: an instance map that does not hold integers >= 0.
        OptionError: a spacing that does not fit, or ``sigma_mm`` that is not positive.
    """
    if instances.dtype.kind not in "iu" or instances.min(initial=0) < 0:
        raise ContractError(
            "an instance map holds integers, 0 for background and one number for each object; got "
            f"{instances.dtype} with minimum {instances.min(initial=0)}"
        )
    if not sigma_mm > 0:
        raise OptionError(f"sigma_mm must be above 0; got {sigma_mm}")
    spacing = axis_spacing(spacing_mm, dims=instances.ndim)
    margin = [int(np.ceil(REACH * sigma_mm / size)) for size in spacing]
    nearest, second = (np.full(instances.shape, np.inf, np.float32) for _ in range(2))
    numbers, dense = np.unique(instances, return_inverse=True)
    dense = dense.reshape(instances.shape) + (numbers[0] != 0)  # 0 stays the background
    for number, box in enumerate(ndimage.find_objects(dense), start=1):
        near = tuple(
            slice(max(0, extent.start - pad), extent.stop + pad)
            for extent, pad in zip(box, margin, strict=True)
        )
        distance = ndimage.distance_transform_edt(dense[near] != number, sampling=spacing).astype(np.float32)
        second[near] = np.minimum(second[near], np.maximum(nearest[near], distance))
        nearest[near] = np.minimum(nearest[near], distance)
    weights: NDArray[np.float32] = w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma_mm**2))
    return weights.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class BorderCrossEntropy:
    """Cross entropy with the weight w_c + border weight in each voxel (Ronneberger et al., 2015).

    Reads the extra ``border-weight`` (B,*S) of the output; see ``border_weights``. Divided by
    the sum of the weights.

    Args:
        class_weights: w_c, one for each label, the background's first; empty: N / (labels x n_c)
            from the counts of the batch, whose mean over voxels is 1.
        ignore_label: voxels with this label contribute nothing.
    """

    class_weights: tuple[float, ...] = ()
    ignore_label: int = -1

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare logits (B,K,*S) with labels (B,*S); a scalar in nats.

        Raises:
            ContractError: shapes or labels that do not fit the logits, or no border weights.
            OptionError: not one weight for each label.
        """
        voxels = read_voxels(output, target, ignore_label=self.ignore_label)
        border = output.extras.get(BORDER_WEIGHT)
        if border is None or border.shape != target.shape:
            found = "none" if border is None else f"shape {tuple(border.shape)}"
            raise ContractError(
                f"the loss unet-border reads the extra {BORDER_WEIGHT!r} of shape {tuple(target.shape)}; got "
                f"{found}. Make it from the instance map, with medseg.builtin.losses.border.border_weights"
            )
        weights = given_or_balanced_weights(self.class_weights, voxels)
        in_voxel = (weights[voxels.label] + border.to(voxels.log_likelihood)) * voxels.counted
        return mean_over_voxels(-voxels.log_likelihood, in_voxel)
