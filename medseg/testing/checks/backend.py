"""Promises of a backend: it runs a module faster or elsewhere, with the same answer."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from medseg.errors import ContractError, ResourceError
from medseg.plugin import Backend
from medseg.testing.checks.head import reference_backbone
from medseg.testing.expectation import CannotRunError, expect
from medseg.testing.networks import difference
from medseg.testing.subject import Subject

# Of the largest value. int8 has 127 steps to either side, and errs by half of one in each layer; bfloat16 has
# 8 bits.
TOLERANCES = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2, "int8": 5e-2}
SHAPE = (16, 12, 20)


def check_it_gives_the_answer_of_the_module(subject: Subject) -> None:
    """In 2-D and 3-D the result differs from the module's own by at most a thousandth of its largest value.

    A hundredth in float16, a twentieth in bfloat16 and int8. For the example that it was built with, and for
    another input of the same shape. A lower precision may refuse a network, or a processor.
    """
    device, tolerance = _device(subject), TOLERANCES[cast(Backend, subject.component).precision]
    for dims in (2, 3):
        module, example = _case(dims, device)
        fast = _made(subject, module, example)
        for x in (example, 0.5 - example.flip(2)):
            with torch.inference_mode():
                wanted, got = module(x), fast(x)
            expect(
                isinstance(got, Tensor) and got.shape == wanted.shape,
                got=f"{tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__} in {dims}-D",
                wanted=f"a tensor of shape {tuple(wanted.shape)}",
                remedy="Return a callable that takes and gives what the module does",
            )
            far = difference(wanted, got.to(wanted))
            expect(
                far <= tolerance,
                got=f"an answer that differs by {far:.2g} of the largest value in {dims}-D",
                wanted=f"at most {tolerance:g}",
                remedy="Compare layer by layer; do not fold in the example's own values",
            )


def check_the_module_stays_as_it_was(subject: Subject) -> None:
    """The module that was handed over keeps its weights, its mode and its device."""
    device = _device(subject)
    module, example = _case(3, device)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    _made(subject, module, example)(example)
    after = module.state_dict()
    changed = [
        name
        for name, tensor in before.items()
        if after[name].dtype != tensor.dtype
        or after[name].device != tensor.device
        or not torch.equal(after[name], tensor)
    ]
    expect(
        not changed and not module.training,
        got=f"a change of {', '.join(changed) or 'the mode, from eval() to train()'}",
        wanted="the module as it was",
        remedy="Work on copy.deepcopy(module)",
    )


def _made(subject: Subject, module: nn.Module, example: Tensor) -> Callable[[Tensor], Any]:
    """The backend's callable; a lower precision that refuses cannot be told here."""
    try:
        fast: Callable[[Tensor], Any] = subject.factory(module, example)
    except (ContractError, ResourceError) as error:
        if cast(Backend, subject.component).precision == "float32":
            raise
        raise CannotRunError(str(error)) from error
    return fast


def _case(dims: int, device: torch.device) -> tuple[nn.Module, Tensor]:
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(1, 1, *SHAPE[:dims], generator=generator).to(device)
    return reference_backbone(dims).eval().to(device), example


def _device(subject: Subject) -> torch.device:
    offered = cast(Backend, subject.component).devices
    if "cpu" in offered:
        return torch.device("cpu")
    if "cuda" in offered and torch.cuda.is_available():
        return torch.device("cuda")
    raise CannotRunError(f"it serves {', '.join(offered)}, and this machine has none of them")
