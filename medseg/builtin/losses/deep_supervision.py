"""Deep supervision: the same loss on a network's side outputs, each at its own size."""

import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from medseg.builtin.losses.sums import LossFunction
from medseg.errors import ContractError, OptionError
from medseg.options import check_options, parse_pairs
from medseg.plugin import Loss, Output
from medseg.registry import default_registry

SIDE = re.compile(r"side-(\d+)")


@dataclass(frozen=True)
class DeepSupervision:
    """sum_i w_i L_i over the main output (i = 0) and the extras ``side-1``, ``side-2``, ...

    Args:
        loss: L, read anew for each output.
        weighting: ``halving``, w_i proportional to 1/2^i with sum 1 (nnU-Net), or ``equal``,
            all 1 (UNet++).
    """

    loss: LossFunction
    weighting: Literal["halving", "equal"]

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """Compare every output (B,K,*S_i) with labels (B,*S) brought to its size; a scalar.

        Raises:
            ContractError: no side outputs, or the wrapped loss refuses one of them.
        """
        numbered = sorted((int(m[1]), name) for name in output.extras if (m := SIDE.fullmatch(name)))
        if not numbered:
            raise ContractError(
                "the loss deep-supervision reads the extras side-1, side-2, ... and the network gave none "
                f"(extras: {', '.join(output.extras) or 'none'}): use a network with side outputs or the "
                "wrapped loss by itself"
            )
        logits = [output.logits, *(output.extras[name] for _, name in numbered)]
        weights = [0.5**i if self.weighting == "halving" else 1.0 for i in range(len(logits))]
        scale = sum(weights) if self.weighting == "halving" else 1.0
        losses = [
            weight / scale * self.loss(Output(logits=side), nearest_labels(target, tuple(side.shape[2:])))
            for weight, side in zip(weights, logits, strict=True)
        ]
        return torch.stack(losses).sum()


def nearest_labels(target: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bring labels (B,*S) to (B,*size): each voxel takes the label at its own centre."""
    for axis, wanted in enumerate(size, start=1):
        present = target.shape[axis]
        if present != wanted:
            # Whole numbers: (i + 1/2) * present / wanted, rounded down, with no rounding error.
            centres = (2 * torch.arange(wanted, device=target.device) + 1) * present // (2 * wanted)
            target = target.index_select(axis, centres)
    return target


def deep_supervision(
    *,
    loss: str = "dice-ce",
    options: tuple[str, ...] = (),
    weighting: Literal["halving", "equal"] = "halving",
) -> DeepSupervision:
    """Wrap any loss that reads logits alone.

    Args:
        loss: its name, ``plugin:name`` or a short name; medseg's own go first.
        options: its options, as on the command line: ``("batch=true", "class_weights=1,2")``.
        weighting: ``halving`` (1/2^i, with sum 1; the main output is i = 0) or ``equal`` (all 1).

    Raises:
        UnknownNameError, AmbiguousNameError: see ``Registry.find``.
        OptionError: an option that the wrapped loss does not take, or a loss that reads extras.
    """
    registry = default_registry()
    found = registry.find("loss", loss, within="builtin")
    assert isinstance(found.component, Loss)  # the registry checked it; this tells mypy
    if found.component.needs:
        raise OptionError(
            f"deep-supervision cannot wrap {found.full_name}: it reads the extras "
            f"{', '.join(found.component.needs)}, and a side output is logits alone"
        )
    factory = registry.load(found)
    # The command line splits a tuple at every comma; a piece with no name belongs to the one before.
    pairs = tuple(re.split(r",(?=\w+=)", ",".join(options))) if options else ()
    given = check_options(factory, parse_pairs(pairs, flag="options"), owner=f"loss {found.full_name}")
    return DeepSupervision(factory(**given), weighting)
