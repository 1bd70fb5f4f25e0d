"""Networks are built small, reproducibly, and on sizes that the description allows."""

from pathlib import Path

import pytest
import torch

from medseg.plugin import Architecture
from medseg.registry import Registered, Registry
from medseg.testing.networks import build_small, sizes, small_options
from medseg.testing.subject import Subject


@pytest.fixture
def subject(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def make(code):
        description = Architecture(name="net", factory=f"faulty.architectures:{code}", summary="A network")
        registered = Registered(component=description, kind="architecture", plugin="test")
        return Subject(registered=registered, registry=Registry())

    return make


@pytest.mark.parametrize(
    ("code", "options"), [("Sound", {}), ("FromEight", {"width": 8}), ("ForgottenLayer", {})]
)
def test_the_smallest_width_that_is_not_refused_is_used(subject, code, options):
    assert small_options(subject(code), dims=3) == options


def test_the_first_weights_follow_the_seed_and_leave_the_callers_generator_alone(subject):
    before = torch.get_rng_state()
    first, same, other = (build_small(subject("Sound"), dims=2, seed=seed).score.weight for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("divisor", [1, 3, 8, 32])
@pytest.mark.parametrize("dims", [2, 3])
def test_sizes_are_small_multiples_and_no_cube(divisor, dims):
    description = Architecture(name="net", factory="a:b", summary="A network", divisor=divisor)
    found = sizes(description, dims)
    assert len(found) == dims
    assert len(set(found)) > 1
    assert all(size % divisor == 0 and 8 <= size < 8 + 2 * divisor for size in found)
