"""What is done to real intensities while training: MONAI's transforms, drawn anew for each patch.

The order and the chances are nnU-Net's (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, supplement);
what moves voxels is in ``deformation``, because it reads from memory-mapped volumes.
"""

import numpy as np
import torch
from monai.transforms.compose import Compose
from monai.transforms.intensity.array import (
    RandAdjustContrast,
    RandBiasField,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandScaleIntensity,
)
from monai.transforms.spatial.array import RandSimulateLowResolution
from torch import Tensor


class Intensities:
    """Noise, blur, brightness, bias field, low resolution and gamma, each with its own chance."""

    def __init__(self) -> None:
        self._transforms = Compose(
            [
                RandGaussianNoise(prob=0.15, std=0.1),
                RandGaussianSmooth(prob=0.2, sigma_x=(0.4, 1.0), sigma_y=(0.4, 1.0), sigma_z=(0.4, 1.0)),
                RandScaleIntensity(prob=0.3, factors=0.25),
                RandBiasField(prob=0.15, degree=2, coeff_range=(0.0, 0.15)),
                RandSimulateLowResolution(prob=0.15, zoom_range=(0.5, 1.0)),
                RandAdjustContrast(prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
            ],
            lazy=False,
        )

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Change a patch (C, I, J, K) by what ``rng`` draws."""
        self._transforms.set_random_state(seed=int(rng.integers(2**31)))
        changed = self._transforms(image)
        return torch.as_tensor(getattr(changed, "array", changed), dtype=torch.float32)
