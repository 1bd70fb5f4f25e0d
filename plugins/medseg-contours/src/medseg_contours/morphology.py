"""Curvature by morphology: a smoothing layer that moves a front, and a loss that needs no truth.

S. Gur, L. Wolf, L. Golgher, P. Blinder: Unsupervised microvascular image segmentation using an
active contours mimicking neural network. ICCV 2019. The smoothing: P. Marquez-Neila, L. Baumela,
L. Alvarez: A morphological approach to curvature-based evolution of curves and surfaces.
IEEE TPAMI 36, 2014.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medseg.errors import OptionError
from medseg.plugin import Output

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORMALS: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((1, 0), (0, 1), (1, 1), (1, -1)),
    3: (
        *((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        *((1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1)),
    ),
}
"""The 4 lines of a 3 x 3 square and the 9 planes of a 3 x 3 x 3 cube, by what they are at right angles to."""
SURE = 1e-4  # probabilities are kept this far from 0 and 1 before the logarithm


def smooth_morphologically(u: Tensor, *, times: int = 1) -> Tensor:
    """Sup of inf and then inf of sup over lines or planes, which is mean curvature flow in the limit.

    Beyond the border everything is 0. On masks it is scikit-image's pair of operators.

    Args:
        u: (B,K,*S) in [0, 1].
        times: pairs of operators.
    """
    for _ in range(times):
        u = torch.stack([-_highest(-u, outside=0.0, normal=n) for n in NORMALS[u.ndim - 2]]).amax(dim=0)
        u = torch.stack([_highest(u, outside=0.0, normal=n) for n in NORMALS[u.ndim - 2]]).amin(dim=0)
    return u


def _highest(u: Tensor, *, outside: float, normal: tuple[int, ...]) -> Tensor:
    """Largest value on the line or plane through each voxel, (B,K,*S)."""
    dims = u.ndim - 2
    padded = F.pad(u, (1, 1) * dims, value=outside)
    offsets = itertools.product((-1, 0, 1), repeat=dims)
    on_plane = [o for o in offsets if sum(a * b for a, b in zip(o, normal, strict=True)) == 0]
    shifted = []
    for offset in on_plane:
        view = padded
        for axis, (a, n) in enumerate(zip(offset, u.shape[2:], strict=True), start=2):
            view = view.narrow(axis, 1 + a, n)
        shifted.append(view)
    return torch.stack(shifted).amax(dim=0)


class MorphologicalHead(nn.Module):
    """A probability for each class, smoothed as a contour is by its curvature.

    Args:
        num_features: F.
        out_channels: K, background included; 1 for a single sigmoid channel.
        dims: 2 or 3.
        smoothing: pairs of operators; the authors use 3.

    Raises:
        OptionError: ``smoothing`` is negative.
    """

    def __init__(self, num_features: int, out_channels: int, *, dims: int = 3, smoothing: int = 3) -> None:
        super().__init__()
        if smoothing < 0:
            raise OptionError(f"morph-contour wants smoothing >= 0; got {smoothing}")
        self.single = out_channels == 1
        self.smoothing = smoothing
        self.score = CONVOLUTION[dims](num_features, max(out_channels - 1, 1), 1)

    def forward(self, features: Tensor, image: Tensor, spacing_mm: Tensor) -> Output:  # noqa: ARG002  # heads get a spacing; 3 x 3 x 3 cubes know none
        """Score features (B,F,*S) on their image (B,C,*S); ``spacing_mm`` is not used.

        Returns:
            logits (B,K,*S), 0 for the background. Extras: ``prob`` (B,K-1,*S), and ``image``.
        """
        u = smooth_morphologically(self.score(features).float().sigmoid(), times=self.smoothing)
        scores = torch.logit(u, eps=SURE)
        logits = scores if self.single else torch.cat((torch.zeros_like(scores[:, :1]), scores), dim=1)
        return Output(logits=logits, extras={"prob": u, "image": image})


@dataclass(frozen=True, kw_only=True)
class GurLoss:
    """Fit of each class's region to the image's two means; no truth is read.

        f = (l1 (I - c0)^2 - l2 (I - c1)^2) |grad u|,  c0 and c1 the means inside and outside
        1/2 mean exp(f u) over f < 0 + 1/2 mean exp(-f (1 - u)) over f > 0
        + order exp(c1 - c0) + entropy H(u)

    It takes the brighter region for the object, as vessels are, and looks at the image's first channel.
    The authors' variance, reconstruction and area terms are left out: they need a decoder or a prior.

    Args:
        inside_weight: l1 >= 0.
        outside_weight: l2 >= 0.
        order_weight: >= 0, of the term that keeps the object bright.
        entropy_weight: >= 0, of the term that makes u decide.

    Raises:
        OptionError: a negative weight.
    """

    inside_weight: float = 1.0
    outside_weight: float = 2.0
    order_weight: float = 1e-2
    entropy_weight: float = 1e-3

    def __post_init__(self) -> None:
        weights = (self.inside_weight, self.outside_weight, self.order_weight, self.entropy_weight)
        if min(weights) < 0:
            raise OptionError(f"gur-mace wants weights >= 0; got {weights}")

    def __call__(self, output: Output, target: Tensor) -> Tensor:  # noqa: ARG002  # every loss is given a target
        """Judge the extra ``prob`` (B,K-1,*S) by the extra ``image`` (B,C,*S); a scalar."""
        u = output.extras["prob"].float()
        values = output.extras["image"][:, :1].float()
        axes = tuple(range(2, u.ndim))
        size = u[0, 0].numel()
        c0 = (values * u).sum(dim=axes, keepdim=True) / (u.sum(dim=axes, keepdim=True) + 1e-6 * size)
        c1 = (values * (1 - u)).sum(dim=axes, keepdim=True) / (
            (1 - u).sum(dim=axes, keepdim=True) + 1e-6 * size
        )
        slope = sum((torch.gradient(u, dim=axis)[0].abs() for axis in axes), start=torch.zeros_like(u))
        force = self.inside_weight * (values - c0).square() - self.outside_weight * (values - c1).square()
        f = force * slope
        fit = torch.where(f < 0, torch.exp(f * u), torch.where(f > 0, torch.exp(-f * (1 - u)), 1.0)).mean()
        order = torch.exp((c1 - c0).clamp(max=10)).mean()
        p = u.clamp(SURE, 1 - SURE)
        entropy = -(p * p.log() + (1 - p) * (1 - p).log()).mean()
        return 0.5 * fit + self.order_weight * order + self.entropy_weight * entropy
