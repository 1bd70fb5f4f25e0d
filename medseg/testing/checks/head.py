"""Promises of a head: features (B,F,*S), image (B,C,*S) and spacing -> ``Output``."""

from typing import cast

import torch
from torch import Tensor, nn

from medseg.plugin import Architecture, Head, Output
from medseg.testing.expectation import BrokenPromiseError, CannotRunError, expect
from medseg.testing.networks import build_small, image, maps, spell, stir
from medseg.testing.subject import Subject

FEATURES = 8
SHAPE = (12, 10, 8)
SPACING_MM = (1.0, 1.5, 2.0)


def reference_backbone(dims: int) -> nn.Sequential:
    """Three convolutions, (B,1,*S) -> (B,8,*S), that any head must be able to stand on."""
    convolution: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d if dims == 2 else nn.Conv3d
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            convolution(1, FEATURES, 3, padding=1),
            nn.ReLU(),
            convolution(FEATURES, FEATURES, 3, padding=1),
            nn.ReLU(),
            convolution(FEATURES, FEATURES, 3, padding=1),
        )


def check_every_voxel_is_scored(subject: Subject) -> None:
    """On three convolutions, the ``Output`` has finite logits (B,K,*S) and every extra that is listed.

    For each number of dims, for 2 and 4 classes, in training mode and after ``eval()``.
    """
    for dims in _head(subject).dims:
        for classes in (2, 4):
            for mode in ("train", "eval"):
                x = _image(dims)
                head = _build(subject, dims=dims, classes=classes).train(mode == "train")
                output = head(reference_backbone(dims)(x), x, torch.tensor(SPACING_MM[:dims]))
                _expect_output(subject, output, wanted=(2, classes, *x.shape[2:]), where=f"in {mode} mode")


def check_gradient_reaches_the_features(subject: Subject) -> None:
    """The logits have a gradient for the features and for each of the head's own parameters."""
    for dims in _head(subject).dims:
        x = _image(dims)
        features = reference_backbone(dims)(x).detach().requires_grad_()
        head = stir(_build(subject, dims=dims, classes=3), seed=1)
        results = maps(head(features, x, torch.tensor(SPACING_MM[:dims])))
        generator = torch.Generator().manual_seed(0)
        try:
            torch.autograd.backward([(m * torch.randn(m.shape, generator=generator)).sum() for m in results])
        except RuntimeError as error:
            raise BrokenPromiseError(
                f"no gradient can be taken of the output: {error}. Compute it from the features, without "
                "detach() or no_grad()"
            ) from error
        named = {"the features": features, **dict(head.named_parameters())}
        missing = [
            name
            for name, tensor in named.items()
            if tensor.requires_grad and (tensor.grad is None or not bool((tensor.grad != 0).any()))
        ]
        expect(
            not missing,
            got=f"no gradient for {', '.join(missing)}",
            wanted="one for the features and every parameter",
            remedy="Without it the network below cannot learn; look for detach(), argmax or a threshold",
        )


def check_a_constant_image_is_harmless(subject: Subject) -> None:
    """A constant image, and features that are all zero, give finite output and gradients."""
    for dims in _head(subject).dims:
        x = torch.zeros(2, 1, *SHAPE[:dims])
        features = torch.zeros(2, FEATURES, *SHAPE[:dims], requires_grad=True)
        head = _build(subject, dims=dims, classes=3)
        results = maps(head(features, x, torch.tensor(SPACING_MM[:dims])))
        torch.autograd.backward([result.sum() for result in results])
        finite = all(bool(result.isfinite().all()) for result in results)
        expect(
            finite and (features.grad is None or bool(features.grad.isfinite().all())),
            got=f"NaN or infinity in the {'gradient' if finite else 'output'} of a constant image",
            wanted="finite numbers",
            remedy="Add a small number where the gradient of the image or a norm divides",
        )


def check_it_stands_on_every_installed_network(subject: Subject) -> None:
    """It works on each installed architecture that offers features, in the fewest dims that both know."""
    about = _head(subject)
    stood = False
    for registered in subject.registry.components("architecture"):
        network = cast(Architecture, registered.component)
        shared = sorted(set(about.dims) & set(network.dims))
        if not network.features or not shared:
            continue
        below = Subject(registered=registered, registry=subject.registry)
        backbone = build_small(below, dims=shared[0])
        head = _build(subject, dims=shared[0], classes=3, features=cast(int, backbone.num_features))
        x = image(network, dims=shared[0], batch=2)
        features = backbone.forward_features(x)  # type: ignore[operator]  # promised by features=True
        output = head(features, x, torch.ones(shared[0]))
        wanted = (2, 3, *x.shape[2:])
        _expect_output(subject, output, wanted=wanted, where=f"on {registered.full_name}")
        stood = True
    if not stood:
        raise CannotRunError("no architecture with features is installed that shares its dims")


def _head(subject: Subject) -> Head:
    return cast(Head, subject.component)


def _build(subject: Subject, *, dims: int, classes: int, features: int = FEATURES) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return cast(nn.Module, subject.factory(features, classes, dims=dims))


def _image(dims: int) -> Tensor:
    return torch.randn(2, 1, *SHAPE[:dims], generator=torch.Generator().manual_seed(0))


def _expect_output(subject: Subject, output: object, *, wanted: tuple[int, ...], where: str) -> None:
    expect(
        isinstance(output, Output),
        got=f"{type(output).__name__} {where}",
        wanted="medseg.plugin.Output(logits=..., extras={...})",
        remedy="A head returns an Output even if it has no extras",
    )
    assert isinstance(output, Output)  # expected above; this tells mypy
    logits = output.logits
    expect(
        logits.shape == wanted and logits.is_floating_point(),
        got=f"logits {logits.dtype} of shape {spell(logits.shape)} {where}",
        wanted=f"floating point of shape {wanted}",
        remedy="A head scores every voxel for every class",
    )
    expect(
        all(bool(m.isfinite().all()) for m in (logits, *output.extras.values())),
        got=f"NaN or infinity {where}",
        wanted="finite logits and extras",
        remedy="Look for a division by zero, a logarithm of zero or too long a step",
    )
    listed = set(_head(subject).extras)
    expect(
        listed <= set(output.extras),
        got=f"the extras {', '.join(output.extras) or 'none'} {where}",
        wanted=f"at least those that the description lists: {', '.join(sorted(listed))}",
        remedy="Return them, or take them off the list",
    )
