"""Start from a model that is there, instead of from random weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from medseg.catalogue import find_model, model_options
from medseg.errors import OptionError
from medseg.model import Model
from medseg.plugin import Slices
from medseg.registry import Registry
from medseg.segmenter import Segmenter
from medseg.training.plan import Plan
from medseg.weights import load_weights, locate, read_weights, sha256_of


@dataclass(frozen=True, kw_only=True)
class Start:
    """A model to start from.

    Args:
        name: as the user calls it.
        weights: its file of weights.
        classes: that it tells apart, background included.
        fields: of ``Plan`` that follow from it, unless the user decides otherwise.
    """

    name: str
    weights: Path
    classes: int
    fields: dict[str, Any]


def find_start(name: str, *, registry: Registry) -> Start:
    """A model by its name or folder, as what a training starts from.

    Raises:
        UnknownNameError, ContractError, WeightsError: there is no such model, or it is not whole.
        OptionError: it is no network as ``medseg train`` makes them.
    """
    found = find_model(name, registry=registry)
    model = found.component
    if not isinstance(model, Model) or model.parts or model.regions or isinstance(model.input.patch, Slices):
        raise OptionError(
            f"--from {name}: a training can start from one network that sees volumes and tells classes "
            "apart; this is a method, or made of several models, or scores regions or slices"
        )
    options = {option: value.default for option, value in model_options(name, registry=registry).items()}
    fields: dict[str, Any] = {
        "architecture": registry.find("architecture", model.architecture, within=found.plugin).full_name,
        "options": {option: value for option, value in options.items() if value is not None},
        "start": model.weights.sha256,
    }
    if model.head:
        fields["head"] = registry.find("head", model.head, within=found.plugin).full_name
        fields["head_options"] = dict(model.head_options)
    return Start(name=name, weights=locate(model.weights), classes=len(model.labels), fields=fields)


def load_start(network: Segmenter, start: Start | None, plan: Plan, *, classes: int) -> list[str]:
    """Put a model's weights into a network; what scores other classes, or a head on top, starts anew.

    A head that can (``medseg.plugin.Head``) starts from the scores of the network that it now stands on.

    Args:
        network: of the plan.
        start: the model; None only if the plan starts from random weights.
        plan: says which weights are wanted.
        classes: that the network tells apart.

    Returns:
        The names of the tensors that start anew.

    Raises:
        OptionError: the plan starts from other weights than these.
        WeightsError: they do not fit the network.
    """
    if not plan.start:
        return []
    if start is None or sha256_of(start.weights) != plan.start:
        got = "no model was given" if start is None else f"{start.name} is another one"
        raise OptionError(
            f"this training starts from the weights with sha256 {plan.start[:12]}..., and {got}; "
            "give --from as before, or choose another folder"
        )
    weighted: nn.Module = network if "head" in start.fields else network.backbone
    anew: list[str] = []
    reshaped: list[str] = []
    if plan.head and weighted is network.backbone:
        anew = [name for name in network.state_dict() if name.startswith("head.")]
    if classes != start.classes:
        wanted = weighted.state_dict()
        reshaped = [
            name
            for name, tensor in read_weights(start.weights).items()
            if name in wanted and _unlike(tensor.shape, wanted[name].shape) == [(start.classes, classes)]
        ]
    load_weights(weighted, start.weights, reshaped=reshaped)
    head: Any = network.head
    if anew and classes == start.classes and hasattr(head, "start_from"):
        scored = scores_of_features(network.backbone, dims=len(plan.patch))
        if scored is not None:
            head.start_from(*scored)
            anew = []
    return [*anew, *reshaped]


def scores_of_features(backbone: nn.Module, *, dims: int) -> tuple[Tensor, Tensor] | None:
    """How a backbone scores its features: weight (K,F) and bias (K,).

    They are read off its answers, so it does not matter what its last layer is called. None if it mixes
    voxels, or is not a weighted sum.

    Args:
        backbone: with ``num_features`` and ``forward_head``.
        dims: of its images.
    """
    count, training = cast(int, backbone.num_features), backbone.training
    generator = torch.Generator().manual_seed(0)
    seen = torch.cat([torch.zeros(1, count), torch.eye(count), torch.randn(8, count, generator=generator)])
    everywhere = seen.reshape(*seen.shape, *[1] * dims).expand(-1, -1, *[3] * dims)
    with torch.no_grad():
        scores = backbone.eval().forward_head(everywhere)  # type: ignore[operator]  # promised by features=True
    backbone.train(training)
    middle = scores[(..., *[1] * dims)]
    bias = middle[0]
    weight = (middle[1 : count + 1] - bias).T
    expected = (seen @ weight.T + bias).reshape(*middle.shape, *[1] * dims).expand_as(scores)
    return (weight, bias) if torch.allclose(scores, expected, rtol=1e-4, atol=1e-5) else None


def _unlike(ours: Sequence[int], theirs: Sequence[int]) -> list[tuple[int, int]] | None:
    """The lengths that differ: of what scores, the first, or in a transposed convolution the second."""
    if len(ours) != len(theirs):
        return None
    return [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
