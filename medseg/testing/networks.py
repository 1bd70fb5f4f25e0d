"""Build a network under test: small, from a fixed seed, with an input that suits it."""

import torch
from torch import Tensor, nn

from medseg.errors import OptionError
from medseg.options import options_of
from medseg.plugin import Architecture, Output
from medseg.testing.expectation import CannotRunError, expect
from medseg.testing.subject import Subject

WIDTHS = (4, 8, 16)
SMALLEST = 8  # voxels along an axis


def description(subject: Subject) -> Architecture:
    """The description of an architecture under test."""
    assert isinstance(subject.component, Architecture)  # the registry checked it; this tells mypy
    return subject.component


def small_options(subject: Subject, *, dims: int) -> dict[str, int]:
    """The options that make an architecture quick to test: ``width``, if it has it.

    By convention an int option ``width`` is the number of channels of the first level. The smallest of 4, 8
    and 16 below its default that the factory does not refuse with an ``OptionError`` is used.

    Raises:
        CannotRunError: the network is a file that comes with a model's weights.
    """
    if description(subject).from_file:
        raise CannotRunError("the network is a file, which comes with a model's weights")
    width = options_of(subject.factory).get("width")
    if width is None or width.type is not int:
        return {}
    for smaller in (w for w in WIDTHS if w < width.default):
        try:
            with torch.random.fork_rng(devices=[]):
                subject.factory(1, 2, dims=dims, width=smaller)
        except OptionError:
            continue
        return {"width": smaller}
    return {}


def build_small(
    subject: Subject, *, dims: int, in_channels: int = 1, out_channels: int = 3, seed: int = 0
) -> nn.Module:
    """Build an architecture with ``small_options``, in training mode; its first weights follow the seed.

    Raises:
        CannotRunError: the network is a file that comes with a model's weights.
    """
    options = small_options(subject, dims=dims)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _module(subject.factory(in_channels, out_channels, dims=dims, **options))


def _module(built: object) -> nn.Module:
    expect(
        isinstance(built, nn.Module),
        got=f"{type(built).__name__} from the factory",
        wanted="a torch.nn.Module",
        remedy="Return the network itself",
    )
    assert isinstance(built, nn.Module)  # expected above; this tells mypy
    return built


def sizes(architecture: Architecture, dims: int) -> tuple[int, ...]:
    """The smallest allowed *S that is no cube and has at least 8 voxels along each axis."""
    step = architecture.divisor
    least = -(-SMALLEST // step) * step
    return (least, least + step, least)[:dims]


def image(
    architecture: Architecture, *, dims: int, batch: int = 1, channels: int = 1, seed: int = 0
) -> Tensor:
    """Normal random numbers (B,C,*S) on ``sizes``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, *sizes(architecture, dims), generator=generator)


def stir(network: nn.Module, *, seed: int) -> nn.Module:
    """Move each parameter a little, so that no layer still has the zeros that it may begin with."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def maps(result: Tensor | Output) -> list[Tensor]:
    """All that a network returned: the logits, then the extras that gradients run through."""
    if isinstance(result, Output):
        return [result.logits, *(extra for extra in result.extras.values() if extra.requires_grad)]
    return [result]


def difference(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the largest value; NaN if either holds NaN."""
    if a.shape != b.shape:
        return float("inf")
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / a.abs().max().clamp_min(1e-12))


def spell(shape: torch.Size | tuple[int, ...]) -> str:
    """A shape as people write it: ``(2, 3, 16, 16)``."""
    return str(tuple(shape))
