"""Networks, sound but for one fault each."""

import numpy as np
import torch
from torch import nn

from medseg.errors import ContractError, OptionError


class Sound(nn.Module):
    def __init__(self, in_channels, out_channels, *, dims=3, width: int = 4):
        super().__init__()
        convolution = nn.Conv2d if dims == 2 else nn.Conv3d
        self.num_features = width
        self.body = nn.Sequential(convolution(in_channels, width, 3, padding=1), nn.Tanh())
        self.score = convolution(width, out_channels, 1)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x):
        return self.body(x)

    def forward_head(self, features):
        return self.score(features)


class HalfSize(Sound):
    def forward(self, x):
        return super().forward(x)[:, :, ::2]


class NotFinite(Sound):
    def forward(self, x):
        return super().forward(x) / 0


class Probabilities(Sound):
    def forward(self, x):
        return super().forward(x).softmax(dim=1)


class LogProbabilities(Sound):
    def forward(self, x):
        return super().forward(x).log_softmax(dim=1)


class Sigmoid(Sound):
    def forward(self, x):
        return super().forward(x).sigmoid()


class ForgottenLayer(Sound):
    def __init__(self, in_channels, out_channels, *, dims=3):
        super().__init__(in_channels, out_channels, dims=dims)
        self.forgotten = nn.Linear(2, 2)


class DropoutAlways(Sound):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class BatchMean(Sound):
    def forward(self, x):
        return super().forward(x - x.mean(dim=0, keepdim=True))


class UnregisteredBias(Sound):
    def __init__(self, in_channels, out_channels, *, dims=3):
        super().__init__(in_channels, out_channels, dims=dims)
        self.bias = torch.rand(1)

    def forward(self, x):
        return super().forward(x) + self.bias


class SharedTensor(Sound):
    def __init__(self, in_channels, out_channels, *, dims=3):
        super().__init__(in_channels, out_channels, dims=dims)
        self.again = self.score


class Poolings(Sound):
    """Fails somewhere inside where a size is odd."""

    def forward(self, x):
        scores = super().forward(x)
        scale = (2, *[1] * (x.ndim - 3))
        return scores + nn.functional.interpolate(scores[:, :, ::2], scale_factor=scale)


class Evens(Sound):
    def forward(self, x):
        if x.shape[2] % 2:
            raise ContractError("this size will not do")
        return super().forward(x)


class CutOff(Sound):
    def forward(self, x):
        return super().forward(x)[:, :, : x.shape[2] // 2 * 2]


class Seeded(Sound):
    def __init__(self, in_channels, out_channels, *, dims=3):
        torch.manual_seed(0)
        super().__init__(in_channels, out_channels, dims=dims)


class Doubles(Sound):
    def forward(self, x):
        torch.set_default_dtype(torch.float64)
        return super().forward(x)


class DrawsFromNumpy(Sound):
    def forward(self, x):
        return super().forward(x) + 0 * float(np.random.rand())  # noqa: NPY002  # the fault


class NoiseInEvaluation(Sound):
    def forward(self, x):
        return super().forward(x) + 0 * torch.rand(1)


class OtherHead(Sound):
    def forward_head(self, features):
        return self.score(features)

    def forward(self, x):
        return 2 * super().forward(x)


class WrongCount(Sound):
    def __init__(self, in_channels, out_channels, *, dims=3):
        super().__init__(in_channels, out_channels, dims=dims)
        self.num_features = 7


def no_module(in_channels, out_channels, *, dims=3):
    return lambda x: x


class FromEight(Sound):
    """No fault, but a width that it refuses."""

    def __init__(self, in_channels, out_channels, *, dims=3, width: int = 32):
        if width % 8:
            raise OptionError(f"width is {width}; it must be a multiple of 8")
        super().__init__(in_channels, out_channels, dims=dims, width=width)
