"""Promises of a loss: an ``Output`` and a target (B,*S) -> a scalar that gets smaller as they agree."""

import re
from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medseg.plugin import Head, Loss, Output
from medseg.testing.checks.head import FEATURES, reference_backbone
from medseg.testing.expectation import CannotRunError, expect
from medseg.testing.networks import spell
from medseg.testing.subject import Subject

CLASSES = 3
SHAPE = (16, 12, 10)
SURE = 10.0  # a logit that makes a prediction all but certain
STEPS = 20

LossCall = Callable[[Output, Tensor], Tensor]


def check_it_is_a_finite_scalar_with_a_gradient(subject: Subject) -> None:
    """For random logits (B,K,*S) and a target (B,*S), the result is one finite number with a gradient."""
    loss, give = _loss(subject), _extras(subject)
    for target in _targets():
        logits = _random_logits(target).requires_grad_()
        value = loss(give(logits), target)
        expect(
            value.shape == () and bool(value.isfinite()),
            got=f"{value.detach()} of shape {spell(value.shape)}",
            wanted="one finite number, a tensor of shape ()",
            remedy="Take the mean over whatever is left, and guard logarithms and divisions",
        )
        expect(
            value.requires_grad,
            got="a value without gradient",
            wanted="one that torch can differentiate",
            remedy="Compute it from output.logits, without detach(), item(), argmax or numpy",
        )
        torch.autograd.backward(value)
        expect(
            logits.grad is not None and bool(logits.grad.isfinite().all()) and bool((logits.grad != 0).any()),
            got="a gradient of the logits that is zero everywhere, or not finite",
            wanted="finite numbers that are not all zero",
            remedy="Compute it from output.logits, without detach() or argmax",
        )


def check_a_perfect_prediction_costs_less_than_a_wrong_one(subject: Subject) -> None:
    """Confident logits for the right classes cost less than equally confident ones for wrong classes."""
    loss, give = _loss(subject), _extras(subject)
    for target in _targets():
        right = float(loss(give(_sure_logits(target)), target))
        wrong = float(loss(give(_sure_logits((target + 1) % CLASSES)), target))
        expect(
            right < wrong,
            got=f"{right:.4g} for a perfect prediction and {wrong:.4g} for one that is wrong everywhere",
            wanted="the smaller number for the perfect one",
            remedy="Check the sign, and that classes and channels are in the same order",
        )


def check_absent_classes_are_harmless(subject: Subject) -> None:
    """A target that lacks a class, or is all background, gives a finite loss and finite gradients."""
    loss, give = _loss(subject), _extras(subject)
    for target in _targets():
        for present, poorer in (
            ("without class 2", target * (target < 2)),
            ("of background alone", target * 0),
        ):
            logits = _random_logits(target).requires_grad_()
            value = loss(give(logits), poorer)
            expect(
                value.isfinite(),
                got=f"{value} for a target {present}",
                wanted="a finite number",
                remedy=_EMPTY,
            )
            torch.autograd.backward(value)
            expect(
                logits.grad is not None and bool(logits.grad.isfinite().all()),
                got=f"a gradient that is not finite for a target {present}",
                wanted="finite numbers",
                remedy=_EMPTY,
            )


_EMPTY = "Add a small number to denominators, or leave the class out of the mean"


def check_the_numbering_of_classes_does_not_matter(subject: Subject) -> None:
    """With the default options, exchanging two foreground classes in logits and target changes nothing."""
    loss, give = _loss(subject), _extras(subject)
    for target in _targets():
        logits = _random_logits(target)
        value = float(loss(give(logits), target))
        exchanged = torch.tensor([0, 2, 1])
        other = float(loss(give(logits[:, exchanged]), exchanged[target]))
        expect(
            abs(value - other) <= 1e-4 * max(abs(value), 1e-6),
            got=f"{value:.6g} and, with classes 1 and 2 exchanged, {other:.6g}",
            wanted="the same number",
            remedy="Treat all foreground classes alike by default; make weights an option",
        )


def check_descent_lowers_it(subject: Subject) -> None:
    """Twenty steps of Adam on the logits alone bring the loss below where it began."""
    loss, give = _loss(subject), _extras(subject)
    for target in _targets():
        logits = _random_logits(target).requires_grad_()
        adam = torch.optim.Adam([logits], lr=0.2)
        values = []
        for _ in range(STEPS + 1):
            adam.zero_grad()
            value = loss(give(logits), target)
            torch.autograd.backward(value)
            adam.step()
            values.append(float(value.detach()))
        expect(
            values[-1] < values[0],
            got=f"{values[0]:.4g} at the beginning and {values[-1]:.4g} after {STEPS} steps",
            wanted="less than at the beginning",
            remedy="Check the sign of each term and that its gradient points downhill",
        )


def check_it_trains_the_head_it_needs(subject: Subject) -> None:
    """A loss that reads a head's extras gets smaller in twenty steps of Adam on such a head.

    The head is the first installed one that lists the extras; it stands on three convolutions.
    """
    needs = cast(Loss, subject.component).needs
    if not _further(needs):
        return
    found = [
        r for r in subject.registry.components("head") if set(needs) <= set(cast(Head, r.component).extras)
    ]
    if not found:
        raise CannotRunError(f"no installed head lists the extras {', '.join(needs)}")
    about = cast(Head, found[0].component)
    make_head = Subject(registered=found[0], registry=subject.registry).factory
    loss = _loss(subject)
    for target in _targets():
        dims = target.ndim - 1
        if dims not in about.dims:
            continue
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = nn.ModuleList([reference_backbone(dims), make_head(FEATURES, CLASSES, dims=dims)])
        image = target[:, None].float() + 0.1 * _random_logits(target)[:, :1]
        adam = torch.optim.Adam(network.parameters(), lr=0.01)
        values = []
        for _ in range(STEPS + 1):
            adam.zero_grad()
            backbone, head = network
            value = loss(head(backbone(image), image, torch.ones(dims)), target)
            torch.autograd.backward(value)
            adam.step()
            values.append(float(value.detach()))
        expect(
            values[-1] < values[0],
            got=f"{values[0]:.4g} at the beginning and {values[-1]:.4g} after {STEPS} steps",
            wanted=f"less than at the beginning, with the head {found[0].full_name}",
            remedy="Check the sign of each term, and that the loss reads the extras as the head means them",
        )


def _loss(subject: Subject) -> LossCall:
    return cast(LossCall, subject.factory())


def _targets() -> Iterator[Tensor]:
    """Labels (2,*S) in 2-D and in 3-D: a block each of classes 1 and 2 on background."""
    for dims in (2, 3):
        target = torch.zeros(2, *SHAPE[:dims], dtype=torch.int64)
        inner = (slice(2, 10),) * (dims - 1)
        target[(slice(None), slice(2, 6), *inner)] = 1
        target[(slice(None), slice(8, 14), *inner)] = 2
        yield target


def _random_logits(target: Tensor) -> Tensor:
    return torch.randn(2, CLASSES, *target.shape[1:], generator=torch.Generator().manual_seed(0))


def _sure_logits(labels: Tensor) -> Tensor:
    return SURE * (2 * F.one_hot(labels, CLASSES).movedim(-1, 1).float() - 1)


def _extras(subject: Subject) -> Callable[[Tensor], Output]:
    """What completes logits to the ``Output`` that the loss needs; side outputs are logits again."""
    needs = cast(Loss, subject.component).needs
    if _further(needs):
        raise CannotRunError(f"it needs the extras {', '.join(_further(needs))}, which come from a head")
    return lambda logits: Output(logits=logits, extras=dict.fromkeys(needs, logits))


def _further(needs: tuple[str, ...]) -> list[str]:
    return [name for name in needs if not re.fullmatch(r"side-\d+", name)]
