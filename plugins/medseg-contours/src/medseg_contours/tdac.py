"""Trainable deep active contours: a head that places a contour and moves it.

A. Hatamizadeh, D. Sengupta, D. Terzopoulos: End-to-end trainable deep active contour models for
automated image segmentation. ECCV 2020, arXiv:2007.11691; in two dimensions. Three dimensions,
spacing and several classes are ours.
DALS: A. Hatamizadeh et al.: Deep active lesion segmentation. MLMI 2019, arXiv:1908.06933.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from medseg.errors import ContractError, OptionError
from medseg.plugin import Output
from medseg_contours.differences import lattice_of
from medseg_contours.evolution import Evolution, Speed, evolve
from medseg_contours.regions import Heaviside, Region, heaviside, standardise

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


class TDACHead(nn.Module):
    """A 1x1 convolution gives each class a first contour and the weights of its two regions.

    It begins as a plain Chan-Vese model, for the weights' part of the convolution begins at 0.
    Each class but the background has its own front; a voxel goes to the largest phi, and to the
    background where none is positive. Runs in float32 also inside autocast.

    Args:
        num_features: F.
        out_channels: K, background included; 1 for a single sigmoid channel.
        dims: 2 or 3.
        n_iter: N. 10 to 20 train; at inference more may help.
        mu, nu, eps, band, region, window_mm, means, speed, reinit_every, reinit_steps, cap, eta: see
            ``Evolution``.
        lambda_max: > 1; the weights lie between 1/lambda_max and lambda_max.
        lambda_source: ``maps``, channels of their own; or ``prob``, from the first contour's
            probability, as in DALS.
        checkpoint_every: iterations that are computed again on the way back instead of kept; 0 keeps all.
        max_dist: in smallest voxel sides, beyond which the first contour's distance is cut off.

    Raises:
        OptionError: a value out of range.
    """

    def __init__(
        self,
        num_features: int,
        out_channels: int,
        *,
        dims: int = 3,
        n_iter: int = 20,
        mu: float = 0.5,
        nu: float = 0.0,
        lambda_max: float = math.e**2,
        lambda_source: Literal["maps", "prob"] = "maps",
        eps: float = 1.0,
        band: float = 3.0,
        region: Region = "local",
        window_mm: float = 15.0,
        means: Heaviside = "sine",
        speed: Speed = "band",
        reinit_every: int = 5,
        reinit_steps: int = 3,
        cap: float = 0.5,
        eta: float = 0.1,
        checkpoint_every: int = 5,
        max_dist: float = 10.0,
    ) -> None:
        super().__init__()
        if n_iter < 0 or checkpoint_every < 0:
            raise OptionError(
                f"tdac wants n_iter and checkpoint_every >= 0; got {n_iter} and {checkpoint_every}"
            )
        if not (lambda_max > 1 and max_dist > 0):
            raise OptionError(f"tdac wants lambda_max > 1 and max_dist > 0; got {lambda_max} and {max_dist}")
        self.fronts = max(out_channels - 1, 1)
        self.single = out_channels == 1
        self.n_iter = n_iter
        self.log_lambda_max = math.log(lambda_max)
        self.lambda_source = lambda_source
        self.checkpoint_every = checkpoint_every
        self.max_dist = max_dist
        self.evolution = Evolution(
            mu=mu,
            nu=nu,
            eps=eps,
            band=band,
            region=region,
            window_mm=window_mm,
            means=means,
            speed=speed,
            reinit_every=reinit_every,
            reinit_steps=reinit_steps,
            cap=cap,
            eta=eta,
        )
        maps = 3 if lambda_source == "maps" else 1
        self.maps = CONVOLUTION[dims](num_features, maps * self.fronts, 1)
        assert self.maps.bias is not None  # it was asked for
        nn.init.zeros_(self.maps.weight[self.fronts :])
        nn.init.zeros_(self.maps.bias[self.fronts :])

    def start_from(self, weight: Tensor, bias: Tensor) -> None:
        """Place first contours where a network without this head draws its borders.

        A class's distance is its score over the background's, in voxels.

        Args:
            weight: (K,F), of that network's scores.
            bias: (K,).
        """
        if not self.single:
            weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
        assert self.maps.bias is not None  # as above
        with torch.no_grad():
            self.maps.weight[: self.fronts] = weight.reshape_as(self.maps.weight[: self.fronts])
            self.maps.bias[: self.fronts] = bias

    def forward(self, features: Tensor, image: Tensor, spacing_mm: Tensor) -> Output:
        """Place a contour for each class and move it.

        Args:
            features: (B,F,*S).
            image: (B,C,*S).
            spacing_mm: (D,) or (B,D).

        Returns:
            logits (B,K,*S): phi in units of eps, 0 for the background. Extras, each (B,K-1,*S):
            ``phi`` and ``phi0`` in mm, ``prob`` and ``prob0`` in [0, 1], ``lambda1``, ``lambda2``.

        Raises:
            ContractError: features and image of different sizes, or a spacing that does not fit.
        """
        if features.shape[2:] != image.shape[2:]:
            raise ContractError(
                f"a contour moves on the image's own grid: features of {tuple(features.shape[2:])} voxels "
                f"do not fit an image of {tuple(image.shape[2:])}; use padding that keeps the size"
            )
        raw = self.maps(features)
        with torch.autocast(raw.device.type, enabled=False):
            raw, image = raw.float(), image.float()
            lattice = lattice_of(spacing_mm, image)
            first, *weights = raw.split(self.fronts, dim=1)
            phi0 = self.max_dist * torch.tanh(first / self.max_dist) * lattice.unit_mm
            prob0 = heaviside(phi0 / lattice.unit_mm, eps=self.evolution.eps)
            if self.lambda_source == "prob":
                lambda1, lambda2 = weights_of_probability(prob0)
            else:
                lambda1, lambda2 = (torch.exp(self.log_lambda_max * torch.tanh(w)) for w in weights)
            phi = evolve(
                phi0,
                standardise(image),
                spacing_mm,
                evolution=self.evolution,
                iterations=self.n_iter,
                lambda1=lambda1,
                lambda2=lambda2,
                checkpoint_every=self.checkpoint_every if self.training else 0,
            )
            scores = phi / (self.evolution.eps * lattice.unit_mm)
            logits = scores if self.single else torch.cat((torch.zeros_like(scores[:, :1]), scores), dim=1)
            extras = {
                "phi": phi,
                "phi0": phi0,
                "prob": heaviside(phi / lattice.unit_mm, eps=self.evolution.eps),
                "prob0": prob0,
                "lambda1": lambda1,
                "lambda2": lambda2,
            }
        return Output(logits=logits, extras=extras)


def make_dals(
    num_features: int,
    out_channels: int,
    *,
    dims: int = 3,
    n_iter: int = 20,
    mu: float = 0.2,
    nu: float = 0.0,
    region: Region = "local",
    window_mm: float = 15.0,
    checkpoint_every: int = 5,
) -> TDACHead:
    """The head with the weights of DALS, and gradients through the contour, which DALS has not.

    Args:
        num_features, out_channels, dims, n_iter, mu, nu, region, window_mm, checkpoint_every: see
            ``TDACHead``.
    """
    return TDACHead(
        num_features,
        out_channels,
        dims=dims,
        n_iter=n_iter,
        mu=mu,
        nu=nu,
        region=region,
        window_mm=window_mm,
        checkpoint_every=checkpoint_every,
        lambda_source="prob",
    )


def weights_of_probability(p: Tensor) -> tuple[Tensor, Tensor]:
    """DALS: lambda1 = exp((2-p)/(1+p)), lambda2 = exp((1+p)/(2-p)); equal where p = 1/2."""
    odds = (2 - p) / (1 + p)
    return torch.exp(odds), torch.exp(odds.reciprocal())
