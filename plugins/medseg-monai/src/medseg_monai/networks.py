"""MONAI's networks, made by the name of a class from a list and arguments that are numbers and words."""

import json
from typing import Any

from torch import Tensor, nn

from medseg.errors import ContractError, OptionError

NETWORKS = (
    "AttentionUnet", "BasicUNet", "DynUNet", "HighResNet", "SegResNet", "SwinUNETR", "UNETR", "UNet", "VNet",
)  # fmt: skip
"""Classes of ``monai.networks.nets`` that answer an image with one map of scores for each class."""

_SIZES = ("Sizes of tensors must match", "divisible")  # of the errors about sizes

DEFAULT = '{"channels": [16, 32, 64, 128], "strides": [2, 2, 2], "num_res_units": 2}'


class MonaiNetwork(nn.Module):
    """A network of MONAI: (B,C,*S) -> logits (B,K,*S).

    Args:
        in_channels, out_channels: C and K.
        dims: spatial axes.
        network: one of ``NETWORKS``.
        arguments: of the class, as a JSON object; those above are left out.
        order: numbers of the network's own output channels in the order that the labels have; its own, if
            empty.

    Raises:
        OptionError: another class, or arguments that it does not take.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 3,
        network: str = "UNet",
        arguments: str = DEFAULT,
        order: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if network not in NETWORKS:
            raise OptionError(f"network is {network!r}; medseg makes {', '.join(NETWORKS)}")
        if order and sorted(order) != list(range(out_channels)):
            raise OptionError(f"order is {order}; wanted each number from 0 to {out_channels - 1} once")
        from monai.networks import nets

        given = _read(arguments)
        try:
            self.network = getattr(nets, network)(
                spatial_dims=dims, in_channels=in_channels, out_channels=out_channels, **given
            )
        except (TypeError, ValueError, KeyError, AssertionError, NotImplementedError) as error:
            raise OptionError(f"MONAI's {network} cannot be made with {given}: {error}") from error
        self.order = list(order)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,*S) -> logits (B,K,*S).

        Raises:
            ContractError: the network does not take these sizes.
        """
        try:
            logits: Tensor = self.network(x)
        except (RuntimeError, ValueError) as error:
            if not any(words in str(error) for words in _SIZES):
                raise
            raise ContractError(
                f"MONAI's {type(self.network).__name__} does not take {tuple(x.shape[2:])} voxels: its "
                f"levels halve them, so it wants a multiple of 8, 16 or 32 ({error})"
            ) from error
        return logits[:, self.order] if self.order else logits


def _read(arguments: str) -> dict[str, Any]:
    try:
        given = json.loads(arguments)
    except ValueError as error:
        raise OptionError(f"arguments is {arguments!r}, which is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise OptionError(f"arguments is {arguments!r}; wanted a JSON object")
    return given
