"""Backends are compared on a real window; what disagrees or fails is left out and says why."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from medseg.errors import OptionError, ResourceError, UnknownNameError
from medseg.inference.backends import Backends
from medseg.plugin import Backend, hookimpl
from medseg.registry import Registry

CALLS = []


def eager(module, example):
    return module


def fast(module, example):
    """The right answer, and so quick that it is always the fastest."""
    with torch.inference_mode():
        answer = module(example)
    CALLS.append("fast")
    return lambda x: answer


def wrong(module, example):
    return lambda x: torch.zeros(1, 2, *x.shape[2:])


def broken(module, example):
    raise ResourceError("the package speed is not installed")


def kept(module, example, *, saved: str = ""):
    CALLS.append(saved)
    return module


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = [nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 2, 3, padding=1)]
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture
def make(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path))
    CALLS.clear()

    def made(wanted, *names, device="cpu", identity=None):
        described = [
            Backend(name=name, factory=f"{__name__}:{name}", summary="s", devices=("cpu",))
            for name in ("eager", *names)
        ]
        plugin = SimpleNamespace(MEDSEG_API=1, medseg_backends=hookimpl(lambda: described))
        return Backends(
            wanted, device=torch.device(device), identity=identity or {}, registry=Registry.of(builtin=plugin)
        )

    return made


WINDOW = torch.randn(1, 1, 24, 24, 24, generator=torch.Generator().manual_seed(0))


def test_auto_takes_the_fastest_that_agrees_and_says_why_the_others_were_left_out(make, net):
    network, choice = make("auto", "fast", "wrong", "broken").ready(net, WINDOW)

    assert choice.backend == "builtin:fast"
    assert torch.equal(network(WINDOW), net(WINDOW))
    problems = {t.backend: t.problem for t in choice.trials}
    assert choice.trials[0].backend == "builtin:eager"
    assert "labels agree on" in problems["builtin:wrong"]
    assert "the package speed is not installed" in problems["builtin:broken"]
    assert "wrong left out (labels agree on" in choice.sentence


def test_a_choice_is_remembered_for_the_model_and_the_shape(make, net):
    first = make("auto", "fast").ready(net, WINDOW)[1]
    CALLS.clear()

    again = make("auto", "fast").ready(net, WINDOW)[1]
    other_shape = make("auto", "fast").ready(net, WINDOW[..., :16])[1]
    other_model = make("auto", "fast", identity={"weights": "other"}).ready(net, WINDOW)[1]

    assert (again.remembered, other_shape.remembered, other_model.remembered) == (True, False, False)
    assert again.trials == first.trials
    assert CALLS == ["fast"] * 5  # made once for what is remembered; tried and made for the others


def test_a_damaged_memory_is_measured_again(make, net, tmp_path):
    make("auto", "fast").ready(net, WINDOW)
    (file,) = (tmp_path / "backends").glob("*.json")
    file.write_text("{")
    assert make("auto", "fast").ready(net, WINDOW)[1].remembered is False


def test_a_backend_can_be_named_and_is_then_not_compared(make, net):
    network, choice = make("wrong", "wrong").ready(net, WINDOW)
    assert choice.trials == ()
    assert not network(WINDOW).any()


def test_a_backend_that_keeps_what_it_compiled_is_told_where(make, net, tmp_path):
    make("kept", "kept").ready(net, WINDOW)
    (place,) = CALLS
    assert place.startswith(str(tmp_path / "backends"))


def test_unknown_backends_and_wrong_devices_are_refused(make):
    with pytest.raises(UnknownNameError, match="no backend 'fats'"):
        make("fats", "fast")
    with pytest.raises(OptionError, match=r"builtin:fast runs on cpu, not on cuda"):
        make("fast", "fast", device="cuda")


def test_openvino_reads_back_what_it_compiled_and_answers_the_same(net, tmp_path):
    from medseg.builtin.backends import openvino

    file = tmp_path / "compiled.bin"
    first = openvino(net, WINDOW, saved=str(file))(WINDOW)
    again = openvino(None, WINDOW, saved=str(file))(WINDOW)

    assert torch.equal(first, again)
    assert torch.allclose(first, net(WINDOW), atol=1e-5)
