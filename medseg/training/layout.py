"""How a network lies in memory while it learns on a CPU: channels last, which oneDNN is fastest with.

Weights keep their names and values; only the order of bytes changes, and the way to the same numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.training.small_convolutions import grow_small_images


class ChannelsLastInstanceNorm(nn.InstanceNorm3d):
    """Instance norm by batch norm over one sample at a time.

    The two are the same sums. torch's instance norm copies (B,C,*S) to channels-first and leaves it so, which
    the next convolution undoes; its batch norm keeps channels last, forwards and backwards.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> (B,C,*S)."""
        one = [
            F.batch_norm(sample, None, None, self.weight, self.bias, training=True, eps=self.eps)
            for sample in torch.split(x, 1)
        ]
        return one[0] if len(one) == 1 else torch.cat(one)


def lay_channels_last(network: nn.Module) -> None:
    """Change a 3-D network in place; its outputs stay equal but for rounding."""
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stub lacks it for modules
    for layer in network.modules():
        # Only where statistics are each image's own, and the layer is torch's and nobody's subclass.
        if type(layer) is nn.InstanceNorm3d and not layer.track_running_stats:
            layer.__class__ = ChannelsLastInstanceNorm


def suit_cpu(network: nn.Module) -> None:
    """Change a network in place so that a CPU trains it fast and rightly; weights keep names and values."""
    lay_channels_last(network)
    grow_small_images(network)
