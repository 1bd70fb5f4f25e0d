"""Between windows and network: mirrored copies are averaged, constant windows run once."""

import itertools

import pytest
import torch

from medseg.inference.calls import constants_once, mirrored


@pytest.fixture
def net():
    torch.manual_seed(0)
    return torch.nn.Conv3d(2, 3, 3, padding=1).eval().requires_grad_(False)


def test_mirroring_averages_over_all_eight_flips_each_turned_back(net):
    window = torch.randn(1, 2, 5, 6, 7)
    answers = []
    for flip in itertools.product((False, True), repeat=3):
        axes = [axis for axis, on in enumerate(flip, start=2) if on]
        answers.append(net(window.flip(axes)).flip(axes))
    assert torch.allclose(mirrored(net, (0, 1, 2))(window), torch.stack(answers).mean(0), atol=1e-6)


def test_mirroring_turns_only_the_axes_that_are_named(net):
    window = torch.randn(1, 2, 5, 6, 7)
    expected = sum(net(window.flip(axes)).flip(axes) for axes in ([], [2], [4], [2, 4])) / 4
    assert torch.allclose(mirrored(net, (0, 2))(window), expected, atol=1e-6)


def test_a_mirrored_answer_does_not_depend_on_the_direction_of_an_axis(net):
    window, call = torch.randn(1, 2, 5, 6, 7), mirrored(net, (0, 1, 2))
    assert torch.allclose(call(window.flip(2)), call(window).flip(2), atol=1e-6)


def test_a_constant_window_runs_once_and_gives_the_same_bits_again(net):
    runs = []
    call = constants_once(lambda x: runs.append(x) or net(x))
    air = torch.stack([torch.full((4, 4, 4), -1.5), torch.full((4, 4, 4), 2.0)])[None]

    first, again = call(air), call(air.clone())

    assert len(runs) == 1
    assert torch.equal(first, net(air))
    assert torch.equal(again, first)


@pytest.mark.parametrize(
    "other",
    [
        torch.full((1, 2, 4, 4, 4), 0.5),  # another value
        torch.full((1, 2, 4, 4, 5), 0.0),  # another shape
        torch.stack([torch.zeros(4, 4, 4), torch.ones(4, 4, 4)])[None],  # another value in one channel
        torch.zeros(1, 2, 4, 4, 4).index_fill(4, torch.tensor([3]), 1e-7),  # nearly constant
        torch.full((1, 2, 4, 4, 4), float("nan")),
    ],
)
def test_any_other_window_gets_its_own_answer(net, other):
    call = constants_once(net)
    call(torch.zeros(1, 2, 4, 4, 4))
    assert torch.equal(call(other).nan_to_num(7), net(other).nan_to_num(7))


def test_of_several_windows_the_constant_ones_run_once_and_each_gets_its_own_answer(net):
    batches = []
    call = constants_once(lambda x: batches.append(len(x)) or net(x))
    windows = torch.randn(5, 2, 4, 4, 4)
    windows[1], windows[3] = 2.5, 2.5
    assert torch.allclose(call(windows), net(windows), atol=1e-6)
    assert batches == [3, 1]
    assert torch.equal(call(windows[3:4]), net(windows[3:4]))
    assert batches == [3, 1]
