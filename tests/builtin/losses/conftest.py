import importlib
from types import SimpleNamespace

import pytest
import torch

from medseg.builtin.losses.descriptions import LOSSES
from medseg.options import check_options, options_of
from medseg.plugin import Output, hookimpl
from medseg.registry import Registry


@pytest.fixture(autouse=True)
def registered_losses(monkeypatch):
    """The wrapped loss is looked up among these, whatever else is installed."""
    plugin = SimpleNamespace(MEDSEG_API=1, medseg_losses=hookimpl(lambda: LOSSES))
    registry = Registry.of(builtin=plugin)
    monkeypatch.setattr("medseg.builtin.losses.deep_supervision.default_registry", lambda: registry)


@pytest.fixture
def make_loss():
    """A loss by name, made as the command line makes it."""

    def make(name, **options):
        factory = load_factory(name)
        return factory(**check_options(factory, options, owner=name))

    return make


@pytest.fixture
def options_of_loss():
    """The options of a loss by name, with their defaults."""
    return lambda name: options_of(load_factory(name))


def load_factory(name):
    (description,) = [loss for loss in LOSSES if loss.name == name]
    module, _, attribute = description.factory.partition(":")
    return getattr(importlib.import_module(module), attribute)


@pytest.fixture
def as_output():
    """Logits with every extra that a loss of the table may read."""

    def wrap(logits):
        border = torch.linspace(0, 3, logits[:, 0].numel()).view_as(logits[:, 0])
        return Output(logits=logits, extras={"border-weight": border, "side-1": logits})

    return wrap


@pytest.fixture
def example():
    """Logits (B,K,*S) and a target (B,*S) with a block of each label."""

    def make(*, channels, dims, size=8, dtype=torch.float32, seed=0, spread=2.0):
        generator = torch.Generator().manual_seed(seed)
        logits = spread * torch.randn((2, channels, *[size] * dims), generator=generator, dtype=dtype)
        target = torch.zeros((2, *[size] * dims), dtype=torch.int64)
        for label in range(1, max(2, channels)):
            low = label * size // (max(2, channels) + 1)
            block = (slice(low, low + size // 4 + 1), *[slice(1, size - 1)] * (dims - 1))
            target[(slice(None), *block)] = label
        return logits, target

    return make
