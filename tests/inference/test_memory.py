"""The plan of memory: what a network holds at once, and what grows with classes and voxels."""

import numpy as np
import pytest
import torch
from torch import nn

from medseg.errors import OptionError, ResourceError
from medseg.inference.memory import live_bytes, parse_bytes, plan_memory, resident_bytes
from medseg.plugin import Slices, WholeGrid, Windows
from medseg.volume import Grid

MB = 2**20


def grid(*shape):
    return Grid(shape, np.eye(4))


def test_tensors_that_nobody_refers_to_any_more_are_not_counted():
    network = nn.Sequential(*[nn.Tanh() for _ in range(10)]).eval()
    # A chain of ten: one goes in, one comes out, the eight between them are gone in time.
    assert 2 * MB <= live_bytes(network, (1, 1, 64, 64, 64)) <= 3 * MB


def test_skip_connections_stay_until_they_are_used():
    class Skips(nn.Module):
        def forward(self, x):
            kept = [x.tanh() for _ in range(5)]
            return sum(kept)

    assert live_bytes(Skips().eval(), (1, 1, 64, 64, 64)) >= 6 * MB


def test_the_network_itself_stays_where_it_is():
    network = nn.Conv3d(1, 2, 3).eval()
    live_bytes(network, (1, 1, 8, 8, 8))
    assert network.weight.device.type == "cpu"


def test_a_network_that_looks_at_values_gets_a_guess_on_the_safe_side():
    class Looks(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    assert live_bytes(Looks().eval(), (1, 1, 64, 64, 64)) == 64 * MB


@pytest.mark.parametrize("patch", [Windows(size=(96, 96, 96)), Slices(axis=2, size=(96, 96))])
def test_a_class_costs_rows_not_volumes(patch):
    few, many = (
        plan_memory(
            0, patch, channels=1, classes=k, grid=grid(128, 128, 1000), home=grid(256, 256, 2000)
        ).peak
        for k in (2, 102)
    )
    # 128 x 128 x 96 sums, and as many answers of a window
    assert many - few <= 100 * 4 * (128 * 128 * 96 + 96**3) + 4 * MB
    assert many - few < 100 * 4 * 128 * 128 * 1000 / 4


def test_what_the_process_holds_already_is_part_of_the_peak():
    plan = plan_memory(
        0, WholeGrid(shape=(8, 8, 8)), channels=1, classes=2, grid=grid(8, 8, 8), home=grid(8, 8, 8)
    )
    assert plan.before > 50 * MB  # torch alone is more
    assert plan.before == pytest.approx(resident_bytes(), rel=0.2)
    assert plan.peak >= plan.before


def test_too_little_memory_is_refused_with_the_number():
    plan = plan_memory(
        10**10, Windows(size=(8, 8, 8)), channels=1, classes=2, grid=grid(8, 8, 8), home=grid(8, 8, 8)
    )
    plan.check(None)
    with pytest.raises(ResourceError, match=r"needs about 1\d\.\d\d GB.*--max-ram allows 4\.00 GB"):
        plan.check(4 * 10**9)


@pytest.mark.parametrize(
    ("text", "expected"), [("4GiB", 2**32), ("500 MB", 5e8), ("2e9", 2e9), ("1.5k", 1500), ("3MiB", 3 * MB)]
)
def test_amounts_of_memory_are_read_as_people_write_them(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "four", "-1GB", "0", "4 apples", "1.2.3GB"])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(OptionError, match="such as 4GiB or 500MB"):
        parse_bytes(text)


def test_torch_runs_deterministically_while_asked_to_and_as_before_after():
    from medseg.inference.execution import repeatable

    before = torch.are_deterministic_algorithms_enabled()
    with repeatable(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.are_deterministic_algorithms_enabled() == before
