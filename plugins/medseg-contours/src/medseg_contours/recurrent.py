"""A level set as the hidden state of a recurrent cell.

T. H. N. Le, K. G. Quach, K. Luu, C. N. Duong, M. Savvides: Reformulating level sets as deep
recurrent neural network approach to semantic segmentation. IEEE TIP 27, 2018, arXiv:1704.03593.
"""

import torch
from torch import Tensor, nn

from medseg.errors import OptionError
from medseg.plugin import Output
from medseg_contours.differences import curvature, lattice_of
from medseg_contours.regions import Region, RegionMeans, heaviside, standardise

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
OPEN = -2.0  # bias of the update gate: at first the state mostly stays


class RecurrentLevelSet(nn.Module):
    """phi is the state of a gated unit; what it reads is the force on a Chan-Vese contour.

        x = kappa - U (I - m1)^2 + W (I - m2)^2
        z, r = sigmoid(conv(x, phi));  phi <- (1 - z) phi + z R tanh(conv(x, r phi) + phi / R)

    The gates are those of a GRU, over 3 x 3 (x 3) neighbourhoods; phi / R lets the cell keep a
    contour before it has learned anything. Lengths are in smallest voxel sides.

    Args:
        num_features: F.
        out_channels: K, background included; 1 for a single sigmoid channel.
        dims: 2 or 3.
        n_iter: steps of the cell.
        max_dist: R > 0, the largest |phi|.
        region: means of the whole image, or of a box around each voxel.
        window_mm: half the width of that box.

    Raises:
        OptionError: a number out of range.
    """

    def __init__(
        self,
        num_features: int,
        out_channels: int,
        *,
        dims: int = 3,
        n_iter: int = 5,
        max_dist: float = 10.0,
        region: Region = "global",
        window_mm: float = 15.0,
    ) -> None:
        super().__init__()
        if n_iter < 0 or not max_dist > 0 or not window_mm > 0:
            raise OptionError(
                "level-set-rnn wants n_iter >= 0, max_dist > 0 and window_mm > 0; got "
                f"{n_iter}, {max_dist} and {window_mm}"
            )
        self.single = out_channels == 1
        self.n_iter, self.max_dist, self.region, self.window_mm = n_iter, max_dist, region, window_mm
        fronts = max(out_channels - 1, 1)
        convolution = CONVOLUTION[dims]
        self.first = convolution(num_features, fronts, 1)
        self.weights = nn.Parameter(torch.ones(2, fronts, *[1] * dims))  # U and W
        # The same cell serves every front: a pair (x, phi) in, two gates or one candidate out.
        self.gates = convolution(2, 2, 3, padding=1)
        self.candidate = convolution(2, 1, 3, padding=1)
        assert self.gates.bias is not None  # it was asked for
        nn.init.constant_(self.gates.bias, OPEN)

    def forward(self, features: Tensor, image: Tensor, spacing_mm: Tensor) -> Output:
        """Score features (B,F,*S) on their image (B,C,*S), with spacing (D,) or (B,D).

        Returns:
            logits (B,K,*S), 0 for the background. Extras, each (B,K-1,*S): ``phi`` and ``phi0`` in
            mm, ``prob`` and ``prob0`` in [0, 1].
        """
        raw = self.first(features)
        with torch.autocast(raw.device.type, enabled=False):
            image = image.float()
            lattice = lattice_of(spacing_mm, image)
            means = RegionMeans(standardise(image), lattice, region=self.region, window_mm=self.window_mm)
            phi0 = self.max_dist * torch.tanh(raw.float() / self.max_dist)
            phi = phi0
            for _ in range(self.n_iter):
                within, beyond = means.squared_residuals(heaviside(phi))
                force = curvature(phi, lattice.steps) - self.weights[0] * within + self.weights[1] * beyond
                phi = self._cell(force, phi)
            scores = phi
            logits = scores if self.single else torch.cat((torch.zeros_like(scores[:, :1]), scores), dim=1)
            extras = {
                "phi": phi * lattice.unit_mm,
                "phi0": phi0 * lattice.unit_mm,
                "prob": heaviside(phi),
                "prob0": heaviside(phi0),
            }
        return Output(logits=logits, extras=extras)

    def _cell(self, force: Tensor, phi: Tensor) -> Tensor:
        shape = phi.shape
        x, h = (m.reshape(-1, 1, *shape[2:]) for m in (force, phi))
        update, reset = self.gates(torch.cat((x, h / self.max_dist), dim=1)).sigmoid().split(1, dim=1)
        read = torch.cat((x, reset * h / self.max_dist), dim=1)
        candidate = self.max_dist * torch.tanh(self.candidate(read) + h / self.max_dist)
        moved: Tensor = (1 - update) * h + update * candidate
        return moved.reshape(shape)
