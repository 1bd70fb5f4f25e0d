"""Promises of a network: (B,C,*S) -> raw logits (B,K,*S)."""

import random

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from medseg.plugin import Output
from medseg.testing.expectation import BrokenPromiseError, expect
from medseg.testing.networks import (
    build_small,
    description,
    difference,
    image,
    maps,
    sizes,
    small_options,
    spell,
    stir,
)
from medseg.testing.subject import Subject

REPEATED = 1e-6
REORDERED = 1e-4  # sums may be taken in another order
TRIES = 3


def check_every_voxel_is_scored(subject: Subject) -> None:
    """After ``eval()``, an input (B,C,*S) gives one tensor of finite floats (B,K,*S).

    For each number of dims, for 1 and 4 channels, for 5 and 2 classes, and for sizes that are no cube. In
    training mode an ``Output`` with side outputs is allowed in place of the tensor.
    """
    about = description(subject)
    for dims in about.dims:
        for channels, classes in ((1, 5), (4, 2)):
            network = build_small(subject, dims=dims, in_channels=channels, out_channels=classes)
            x = image(about, dims=dims, batch=2, channels=channels)
            wanted = (2, classes, *x.shape[2:])
            for mode in ("train", "eval"):
                result = network.train(mode == "train")(x)
                logits = result.logits if mode == "train" and isinstance(result, Output) else result
                expect(
                    isinstance(logits, Tensor),
                    got=f"{type(logits).__name__} in {mode} mode",
                    wanted="a tensor (in training mode, or an Output)",
                    remedy="Return the logits themselves",
                )
                expect(
                    logits.shape == wanted and logits.is_floating_point(),
                    got=f"{logits.dtype} of shape {spell(logits.shape)} for {spell(x.shape)} in {mode} mode",
                    wanted=f"floating point of shape {spell(wanted)}",
                    remedy="A network scores every voxel of its input for every class",
                )
                expect(
                    logits.isfinite().all(),
                    got=f"{int((~logits.isfinite()).sum())} scores that are NaN or infinite in {mode} mode",
                    wanted="finite scores for a random input",
                    remedy="Look for a division by zero, a logarithm of zero or weights that are too large",
                )


def check_scores_are_raw(subject: Subject) -> None:
    """The scores are logits: neither softmax nor sigmoid nor a clamp at zero has been applied to them."""
    about = description(subject)
    for dims in about.dims:
        network = stir(build_small(subject, dims=dims), seed=1).eval()
        with torch.no_grad():
            scores = network(image(about, dims=dims, batch=2))
        sums = (scores.exp() if scores.max() <= 0 else scores).sum(dim=1)
        expect(
            scores.min() < 0 and not torch.allclose(sums, torch.ones_like(sums), atol=1e-3),
            got=f"scores from {scores.min():.4g} to {scores.max():.4g}, summing over the classes to "
            f"{sums.min():.4g} .. {sums.max():.4g}",
            wanted="raw scores of both signs that sum to nothing in particular",
            remedy="Leave out the last activation; losses and medseg apply softmax themselves",
        )


def check_gradient_reaches_every_parameter(subject: Subject) -> None:
    """In training mode, the sum of all that is returned has a gradient for every parameter that asks for one.

    Tried with up to three random weightings and inputs, so that one silent unit is not taken for a fault.
    """
    about = description(subject)
    for dims in about.dims:
        waiting: set[str] = set()
        for seed in range(TRIES):
            network = stir(build_small(subject, dims=dims, seed=seed), seed=seed).train()
            named = {name: p for name, p in network.named_parameters() if p.requires_grad}
            waiting = waiting if seed else set(named)
            result = maps(network(image(about, dims=dims, batch=2, seed=seed)))
            generator = torch.Generator().manual_seed(seed)
            weighted = [(m * torch.randn(m.shape, generator=generator)).sum() for m in result]
            torch.autograd.backward(weighted)
            waiting = {name for name in waiting if not _reached(named[name].grad)}
            if not waiting:
                break
        expect(
            not waiting,
            got=f"{len(waiting)} of {len(named)} parameters out of reach: {', '.join(sorted(waiting)[:3])}",
            wanted="a finite gradient for every parameter",
            remedy="Remove what is not used, call what was forgotten, or set requires_grad=False",
        )


def _reached(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.isfinite().all()) and bool((gradient != 0).any())


def check_evaluation_is_repeatable(subject: Subject) -> None:
    """After ``eval()``, the same input gives the same scores twice."""
    about = description(subject)
    for dims in about.dims:
        network = build_small(subject, dims=dims).eval()
        x = image(about, dims=dims)
        with torch.no_grad():
            far = difference(network(x), network(x))
        expect(
            far <= REPEATED,
            got=f"scores that differ by {far:.2g} of the largest",
            wanted="the same ones",
            remedy="Make dropout and noise depend on self.training, and keep no state between calls",
        )


def check_cases_of_a_batch_are_independent(subject: Subject) -> None:
    """After ``eval()``, a batch of two gives what two batches of one give."""
    about = description(subject)
    for dims in about.dims:
        network = build_small(subject, dims=dims).eval()
        x = image(about, dims=dims, batch=2)
        with torch.no_grad():
            far = difference(network(x), torch.cat([network(x[:1]), network(x[1:])]))
        expect(
            far <= REORDERED,
            got=f"scores that differ by {far:.2g} of the largest",
            wanted=f"at most {REORDERED:g}",
            remedy="Compute no statistic over the batch axis after eval()",
        )


def check_weights_can_be_stored(subject: Subject) -> None:
    """The state fits into a safetensors file, and another network that loads it gives the same scores."""
    about = description(subject)
    for dims in about.dims:
        network = stir(build_small(subject, dims=dims), seed=1).eval()
        other = build_small(subject, dims=dims, seed=2).eval()
        try:
            stored = safetensors.torch.save(dict(network.state_dict()))
            other.load_state_dict(safetensors.torch.load(stored))
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise BrokenPromiseError(
                f"the state cannot be stored as safetensors and loaded again: {error}. Keep tensors alone in "
                "the state, each under one name"
            ) from error
        x = image(about, dims=dims)
        with torch.no_grad():
            far = difference(network(x), other(x))
        expect(
            far <= REPEATED,
            got=f"scores that differ by {far:.2g} of the largest after loading",
            wanted="the same ones",
            remedy="Register what the network has learnt as a parameter or a buffer",
        )


def check_other_sizes_work_or_are_refused(subject: Subject) -> None:
    """A size that is no multiple of ``divisor`` works like any other, or is refused with a sentence.

    The refusal is a ``ContractError`` (or another ``ValueError``) that names the divisor.
    """
    about = description(subject)
    for dims in about.dims:
        network = build_small(subject, dims=dims).eval()
        for more in {1, about.divisor // 2 or 1}:
            first, *rest = sizes(about, dims)
            shape = (first + more, *rest)
            try:
                with torch.no_grad():
                    got = tuple(network(torch.zeros(1, 1, *shape)).shape[2:])
            except ValueError as error:
                expect(
                    about.divisor > 1 and str(about.divisor) in str(error),
                    got=f"for the size {shape}, the message {str(error)!r}",
                    wanted=f"one that names the divisor, which the description says is {about.divisor}",
                    remedy="Say which multiple a size must be, or correct the description",
                )
            except RuntimeError as error:
                raise BrokenPromiseError(
                    f"got, for the size {shape}, {type(error).__name__}: {str(error).splitlines()[0]}; "
                    f"wanted scores, or a ContractError that names the divisor {about.divisor}. Check "
                    "the sizes at the beginning of forward"
                ) from error
            else:
                expect(
                    got == shape,
                    got=f"scores of size {got} for the size {shape}",
                    wanted="the size of the input, or a ContractError",
                    remedy="Pad inside the network and cut off again, or refuse",
                )


def check_global_state_is_left_alone(subject: Subject) -> None:
    """Building and calling it seeds no random generator and changes no default of torch.

    Building may draw initial weights from torch's generator; evaluation draws nothing.
    """
    about = description(subject)
    options = small_options(subject, dims=about.dims[0])
    before = _defaults()
    follows = []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = subject.factory(1, 2, dims=about.dims[0], **options)
            follows.append(torch.rand(4))
            state = torch.get_rng_state()
            if seed == 1:
                with torch.no_grad():
                    network.eval()(image(about, dims=about.dims[0]))
                expect(
                    torch.equal(state, torch.get_rng_state()),
                    got="random numbers drawn during evaluation",
                    wanted="none",
                    remedy="Make randomness depend on self.training",
                )
    expect(
        not torch.equal(*follows),
        got="the same random numbers after building, whatever the seed before",
        wanted="a generator that the caller alone seeds",
        remedy="Remove torch.manual_seed, or use a torch.Generator of your own",
    )
    changed = [name for name, value in _defaults().items() if value != before[name]]
    expect(
        not changed,
        got=f"a change of {', '.join(changed)}",
        wanted="global state as it was",
        remedy="Pass dtype, device and generators explicitly",
    )


def _defaults() -> dict[str, object]:
    numpy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002  # the one that a plugin could seed
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "numpy's generator": (numpy["key"].tobytes(), numpy["pos"]),
        "Python's generator": random.getstate(),
    }


def check_features_are_kept(subject: Subject) -> None:
    """With ``features=True``, ``forward_head(forward_features(x))`` gives the scores of ``forward(x)``.

    The features are (B,F,*S), and F is the attribute ``num_features``, so that any head can stand on them.
    """
    about = description(subject)
    for dims in about.dims if about.features else ():
        network = build_small(subject, dims=dims).eval()
        missing = [n for n in ("num_features", "forward_features", "forward_head") if not hasattr(network, n)]
        expect(
            not missing,
            got=f"a network without {', '.join(missing)}",
            wanted="all three, because the description says features=True",
            remedy="Add them, or say features=False",
        )
        x = image(about, dims=dims)
        with torch.no_grad():
            features = network.forward_features(x)  # type: ignore[operator]  # promised by features=True
            far = difference(network(x), network.forward_head(features))  # type: ignore[operator]  # likewise
        wanted = (1, network.num_features, *x.shape[2:])
        expect(
            features.shape == wanted,
            got=f"features of shape {spell(features.shape)} for {spell(x.shape)}",
            wanted=f"(B, num_features, *S), which is {wanted}",
            remedy="Give features for every voxel of the input",
        )
        expect(
            far <= REPEATED,
            got=f"forward_head(forward_features(x)) that differs from forward(x) by {far:.2g} of the largest",
            wanted="the same scores",
            remedy="Let forward call the other two",
        )
