"""Each layer against torch in float64, for the registers of several processors."""

import numpy as np
import pytest
import torch
from medseg_winograd.crew import Crew
from medseg_winograd.kernels.emit import Registers
from medseg_winograd.layers import Channels, settle
from medseg_winograd.machine import machine
from medseg_winograd.pending import raw
from medseg_winograd.plans import direct, winograd
from torch.nn import functional as F

AVX512 = Registers(lanes=16, channels=8, vectors=3)
AVX = Registers(lanes=8, channels=4, vectors=3)
NEON = Registers(lanes=4, channels=8, vectors=3)
LEAST = Registers(lanes=4, channels=4, vectors=2)
# Kernel, stride, padding.
USUAL = ((3, 3, 3), (1, 1, 1), (1, 1, 1))
CONVOLUTIONS = [
    (3, 5, (8, 8, 8), *USUAL),
    (1, 16, (9, 11, 13), *USUAL),
    (4, 17, (13, 30, 37), *USUAL),
    (2, 9, (16, 8, 1), *USUAL),
    (40, 8, (8, 24, 16), *USUAL),
    (2, 3, (5, 7, 6), *USUAL),
    (3, 4, (9, 10, 11), (3, 3, 3), (2, 2, 2), (1, 1, 1)),
    (3, 4, (8, 16, 32), (3, 3, 3), (2, 2, 2), (1, 1, 1)),
    (2, 8, (4, 12, 35), (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    (2, 8, (6, 20, 21), (1, 3, 3), (1, 1, 1), (0, 1, 1)),
    (3, 2, (8, 9, 17), (2, 2, 2), (2, 2, 2), (0, 0, 0)),
    (3, 9, (6, 6, 33), (1, 1, 1), (1, 1, 1), (0, 0, 0)),
    (3, 9, (7, 6, 33), (1, 1, 1), (2, 2, 2), (0, 0, 0)),
    (2, 4, (9, 9, 9), (5, 5, 5), (1, 1, 1), (2, 2, 2)),
    (2, 4, (9, 9, 9), (3, 3, 3), (1, 1, 1), (0, 0, 0)),
    (1, 4, (10, 11, 12), (7, 7, 7), (2, 2, 2), (3, 3, 3)),
    (1, 3, (10, 11, 12), (3, 3, 3), (3, 4, 1), (1, 1, 1)),
]
TRANSPOSED = [
    (5, 3, (3, 4, 5), (2, 2, 2)),
    (8, 16, (6, 6, 19), (2, 2, 2)),
    (3, 2, (3, 5, 33), (1, 2, 2)),
    (3, 2, (4, 5, 16), (2, 2, 1)),
    (2, 1, (1, 1, 1), (4, 4, 2)),
]


def channels(count: int, size: tuple[int, ...], chance: torch.Generator) -> tuple[Channels, torch.Tensor]:
    """Channels in two parts with a norm and an activation to come; and what they stand for, in float64."""
    values = torch.randn(count, *size, generator=chance)
    told = [torch.randn(count, generator=chance) for _ in range(3)]
    cut = count // 2
    parts = tuple(part.clone() for part in (values[:cut], values[cut:]) if len(part))
    scale, shift, slope = (t.double()[:, None, None, None] for t in told)
    seen = values.double() * scale + shift
    seen = torch.where(seen > 0, seen, seen * slope)
    scale, shift, slope = (t.numpy() for t in told)
    return Channels(parts=parts, scale=scale, shift=shift, slope=slope), seen[None]


def convolution(machine, weight, bias, size, *, stride, padding):
    """The layer that the backend would take."""
    if winograd.pays(tuple(weight.shape[2:]), stride, padding, size):
        return winograd.plan(machine, weight, bias, size)
    return direct.plan_convolution(machine, weight, bias, size, stride=stride, padding=padding)


def run(layer, given, crew):
    out = torch.full(layer.shape, torch.nan)
    return out, layer.run(given, out, crew)


def check(found: tuple[torch.Tensor, np.ndarray], expected: torch.Tensor) -> None:
    answer, moments = found
    largest = float(expected.abs().max())
    assert answer.shape == expected.shape
    torch.testing.assert_close(answer.double(), expected, rtol=0, atol=2e-5 * largest)
    flat = answer.double().flatten(1)
    np.testing.assert_allclose(moments[0], flat.mean(1), rtol=0, atol=1e-6 * largest)
    np.testing.assert_allclose(moments[1], flat.var(1, correction=0), rtol=1e-5)


@pytest.mark.parametrize("registers", [AVX512, AVX, NEON, LEAST], ids=["avx512", "avx", "neon", "least"])
@pytest.mark.parametrize(("inputs", "answers", "size", "kernel", "stride", "padding"), CONVOLUTIONS)
def test_a_convolution_is_that_of_torch(inputs, answers, size, kernel, stride, padding, registers) -> None:
    chance = torch.Generator().manual_seed(0)
    given, seen = channels(inputs, size, chance)
    weight = torch.randn(answers, inputs, *kernel, generator=chance)
    bias = torch.randn(answers, generator=chance)
    layer = convolution(
        machine(registers), weight.numpy(), bias.numpy(), size, stride=stride, padding=padding
    )
    with Crew(2) as crew:
        found = run(layer, given, crew)
    check(found, F.conv3d(seen, weight.double(), bias.double(), stride, padding)[0])


@pytest.mark.parametrize("registers", [AVX512, AVX, NEON, LEAST], ids=["avx512", "avx", "neon", "least"])
@pytest.mark.parametrize(("inputs", "answers", "size", "stride"), TRANSPOSED)
def test_a_transposed_convolution_is_that_of_torch(inputs, answers, size, stride, registers) -> None:
    chance = torch.Generator().manual_seed(0)
    given, seen = channels(inputs, size, chance)
    weight = torch.randn(inputs, answers, *stride, generator=chance)
    bias = torch.randn(answers, generator=chance)
    layer = direct.plan_transposed(machine(registers), weight.numpy(), bias.numpy(), size, stride=stride)
    with Crew(1) as crew:
        found = run(layer, given, crew)
    check(found, F.conv_transpose3d(seen, weight.double(), bias.double(), stride)[0])


def test_a_bright_corner_costs_no_digits_of_mean_and_variance() -> None:
    values = 0.1 + 1e-3 * torch.randn(1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    values[0, :, 0, 0] = 1000  # as text that is burnt in
    for stride in (1, 2):
        layer = convolution(
            machine(),
            np.ones((1, 1, 1, 1, 1), np.float32),
            None,
            (64,) * 3,
            stride=(stride,) * 3,
            padding=(0,) * 3,
        )
        with Crew(1) as crew:
            answer, moments = run(layer, raw(values), crew)
        flat = answer.double().flatten(1)
        np.testing.assert_allclose(moments[0], flat.mean(1), rtol=1e-9)
        np.testing.assert_allclose(moments[1], flat.var(1, correction=0), rtol=1e-9)


def test_an_activation_with_slope_0_gives_0_of_whatever_is_below_and_keeps_what_is_no_number() -> None:
    values = torch.tensor([-torch.inf, -1.0, -0.0, 0.0, 2.0, torch.inf, torch.nan] * 5).reshape(1, 1, 1, 35)
    for slope in (0.0, 0.1, -2.0, 1.0):
        told = [np.full(1, v, np.float32) for v in (1, 0, slope)]
        out = torch.empty_like(values)
        channels = Channels(parts=(values,), scale=told[0], shift=told[1], slope=told[2])
        with Crew(1) as crew:
            settle(channels, out, machine(), crew)
        expected = F.relu(values) if slope == 0 else F.leaky_relu(values, slope)
        torch.testing.assert_close(out, expected, rtol=0, atol=0, equal_nan=True)


def test_the_variance_keeps_its_digits_beside_a_large_mean() -> None:
    chance = torch.Generator().manual_seed(0)
    given, _ = channels(2, (12, 12, 12), chance)
    weight = 1e-3 * torch.randn(4, 2, 3, 3, 3, generator=chance)
    layer = convolution(
        machine(),
        weight.numpy(),
        np.full(4, 100, np.float32),
        (12, 12, 12),
        stride=(1, 1, 1),
        padding=(1, 1, 1),
    )
    with Crew(1) as crew:
        answer, moments = run(layer, given, crew)
    np.testing.assert_allclose(moments[1], answer.double().flatten(1).var(1, correction=0), rtol=1e-4)


def test_the_same_bytes_come_from_one_thread_and_from_four() -> None:
    chance = torch.Generator().manual_seed(0)
    given, _ = channels(3, (17, 18, 19), chance)
    weight = torch.randn(9, 3, 3, 3, 3, generator=chance)
    layer = convolution(machine(), weight.numpy(), None, (17, 18, 19), stride=(1, 1, 1), padding=(1, 1, 1))
    found = []
    for size in (1, 4):
        with Crew(size) as crew:
            found.append(run(layer, given, crew))
    assert torch.equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])
