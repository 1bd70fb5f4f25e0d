"""Backends are compared on a real window; what disagrees or fails is left out and says why."""

import copy
import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from medseg.agreement import agreement
from medseg.builtin import openvino_backends
from medseg.builtin.openvino_backends import openvino, openvino_bfloat16, openvino_float16, openvino_int8
from medseg.errors import ContractError, OptionError, ResourceError, UnknownNameError
from medseg.inference.backends import Backends
from medseg.inference.code import code_of
from medseg.inference.execution import Execution
from medseg.plugin import Backend, hookimpl
from medseg.registry import Registry

CALLS = []


def eager(module, example):
    return module


def fast(module, example):
    """The right answer to a window and its mirror image, so quick that it is always the fastest."""
    with torch.inference_mode():
        answers = {float(x[0, 0, 0, 0, 0]): module(x) for x in (example, example.flip(-1))}
    CALLS.append("fast")
    return lambda x: answers[float(x[0, 0, 0, 0, 0])]


def frozen(module, example):
    """What a trace makes of a network that leaves torch: its answer to one window, for all windows."""
    answer = module(example)
    return lambda x: answer


def wrong(module, example):
    return lambda x: torch.zeros(1, 2, *x.shape[2:])


def broken(module, example):
    raise ResourceError("the package speed is not installed")


def kept(module, example, *, saved: str = ""):
    CALLS.append(saved)
    return module


def coarse(module, example, *, saved: str = "", dice: float = 0.9, regions: bool = False):
    """As a lower precision does it: logits are off by a little everywhere."""
    CALLS.append((len(example), dice, regions))
    return lambda x: module(x) + COARSE["coarse"] * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1)


COARSE = {"coarse": 0.001}


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = [nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 2, 3, padding=1)]
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture
def make(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path))
    CALLS.clear()

    def made(wanted, *names, device="cpu", identity=None, **execution):
        described = [
            Backend(
                name=name,
                factory=f"{__name__}:{name}",
                summary="s",
                devices=("cpu",),
                precision="int8" if name in COARSE else "float32",
            )
            for name in ("eager", *names)
        ]
        plugin = SimpleNamespace(MEDSEG_API=1, medseg_backends=hookimpl(lambda: described))
        return Backends(
            Execution(backend=wanted, **execution),
            device=torch.device(device),
            identity=identity or {},
            registry=Registry.of(builtin=plugin),
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


def test_a_backend_that_answers_one_window_alone_is_left_out(make, net):
    trials = make("auto", "frozen").ready(net, WINDOW)[1].trials
    assert [trial.problem[:15] for trial in trials] == ["", "labels agree on"]


def test_a_choice_is_remembered_for_the_model_and_the_shape(make, net):
    first = make("auto", "fast").ready(net, WINDOW)[1]
    CALLS.clear()

    again = make("auto", "fast").ready(net, WINDOW)[1]
    other_shape = make("auto", "fast").ready(net, WINDOW[..., :16])[1]
    other_model = make("auto", "fast", identity={"weights": "other"}).ready(net, WINDOW)[1]

    assert (again.remembered, other_shape.remembered, other_model.remembered) == (True, False, False)
    assert again.trials == first.trials
    assert CALLS == ["fast"] * 5  # made once for what is remembered; tried and made for the others


def test_a_choice_is_open_until_it_is_remembered_and_never_where_a_backend_is_named(make, net):
    for wanted, open_before, more in (
        ("auto", True, {}),
        ("fast", False, {}),
        ("coarse", True, {"precision": "int8"}),
        ("auto", True, {"precision": "int8"}),  # among all, which the one that was named says nothing of
    ):
        backends = make(wanted, "fast", "coarse", **more)
        windows = SEVERAL if more else WINDOW
        assert backends.is_open(net, (1, 1, 24, 24, 24)) == open_before, wanted
        backends.ready(net, windows)
        assert not backends.is_open(net, windows.shape)


def test_what_was_made_from_a_network_is_not_taken_for_one_of_the_same_weights_that_computes_otherwise(
    make, tmp_path, monkeypatch
):
    """As while somebody works on a network, whose version stays: another slope, or another file of code."""
    steep, flat = (
        nn.Sequential(nn.Conv3d(1, 2, 1), nn.LeakyReLU(slope)).eval().requires_grad_(False)
        for slope in (0.5, 0.1)
    )
    flat.load_state_dict(steep.state_dict())
    make("kept", "kept").ready(steep, WINDOW)
    make("kept", "kept").ready(steep, WINDOW)
    make("kept", "kept").ready(flat, WINDOW)
    first, again, other = CALLS
    assert first == again != other

    source = "from torch import nn\nclass Net(nn.Module):\n    def forward(self, x):\n        return x {} 1\n"
    codes = []
    for sign in "+-":
        file = tmp_path / f"{sign}.py"
        file.write_text(source.format(sign))
        described = importlib.util.spec_from_file_location("edited_net", file)
        monkeypatch.setitem(sys.modules, "edited_net", importlib.util.module_from_spec(described))
        described.loader.exec_module(sys.modules["edited_net"])
        codes.append(code_of(sys.modules["edited_net"].Net()))
    assert codes[0] != codes[1]


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
    file = tmp_path / "compiled.bin"
    first = openvino(net, WINDOW, saved=str(file))(WINDOW)
    again = openvino(None, WINDOW, saved=str(file))(WINDOW)

    assert torch.equal(first, again)
    assert torch.allclose(first, net(WINDOW), atol=1e-5)


SEVERAL = torch.randn(4, 1, 24, 24, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("content", [b"", bytes(100), None])
def test_a_damaged_file_of_what_was_compiled_is_made_again(net, tmp_path, content):
    file = tmp_path / "net.bin"
    expected = openvino(net, WINDOW, saved=str(file))(WINDOW)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert torch.equal(openvino(net, WINDOW, saved=str(file))(WINDOW), expected)
    assert len(file.read_bytes()) > len(whole) // 2


def test_openvino_gives_each_thread_the_answer_to_its_own_window(net):
    windows = [SEVERAL[:1], SEVERAL[1:2]]
    call = openvino(net, windows[0])
    expected = [call(window) for window in windows]

    def wrong(n):
        return sum(not torch.equal(call(windows[n]), expected[n]) for _ in range(100))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(wrong, (0, 1))) == [0, 0]


@pytest.mark.parametrize("sizes", [(96, 96, 96), (512, 512)])
def test_openvino_keeps_the_digits_of_instance_norms(sizes):
    torch.manual_seed(0)
    conv, norm = {2: (nn.Conv2d, nn.InstanceNorm2d), 3: (nn.Conv3d, nn.InstanceNorm3d)}[len(sizes)]
    stages = [nn.Sequential(conv(c, 16, 3, padding=1), norm(16), nn.LeakyReLU()) for c in (1, 16)]
    net = nn.Sequential(*stages, conv(16, 2, 1)).eval()
    image = torch.randn(1, 1, *sizes) + 3
    with torch.inference_mode():
        exact = copy.deepcopy(net).double()(image.double())
        difference = float((openvino(net, image)(image) - exact).abs().max())
    assert difference < 1e-5  # 2e-4 and 4e-5 by OpenVINO's own sums, 2e-6 by torch's


def test_norms_of_few_voxels_or_of_other_axes_stay_openvinos_own():
    layer = nn.Sequential(nn.InstanceNorm3d(2), nn.LayerNorm(8)).eval()
    image = torch.randn(1, 2, 8, 8, 8)
    assert torch.allclose(openvino(layer, image)(image), layer(image), atol=1e-5)


def test_a_lower_precision_is_kept_while_its_labels_agree_and_is_checked_again(make, net, monkeypatch):
    first = make("eager", "fast", "coarse", precision="int8").ready(net, SEVERAL)[1]
    again = make("eager", "fast", "coarse", precision="int8").ready(net, SEVERAL)[1]

    assert first.backend == again.backend == "builtin:coarse"
    assert [t.backend for t in first.trials] == ["builtin:eager", "builtin:coarse"]
    assert 0.995 < first.trials[1].dice < 1
    assert (first.remembered, first.dice) == (False, None)
    assert (again.remembered, again.dice) == (True, first.trials[1].dice)
    assert CALLS[0] == (4, 0.995, False)
    assert f"now, Dice {again.dice:.4f}" in again.sentence

    monkeypatch.setitem(COARSE, "coarse", 0.1)  # as if the next volume were of another kind
    with pytest.raises(OptionError, match=r"coarse, which agreed on an earlier volume: .* Dice of 0\.\d{4}"):
        make("eager", "fast", "coarse", precision="int8").ready(net, SEVERAL)


def test_a_lower_precision_that_disagrees_is_refused_with_its_dice_and_not_remembered(
    make, net, monkeypatch, tmp_path
):
    monkeypatch.setitem(COARSE, "coarse", 0.1)
    with pytest.raises(
        OptionError, match=r"--precision int8 is refused: builtin:coarse: .* Dice of 0\.\d{4}"
    ):
        make("auto", "coarse", precision="int8").ready(net, SEVERAL)
    assert not list((tmp_path / "backends").glob("*.json"))
    allowed = make("coarse", "coarse", precision="int8", least_dice=0.5).ready(net, SEVERAL)[1]
    assert 0.5 < allowed.trials[1].dice < 0.995


def test_where_nothing_is_labelled_a_lower_precision_has_nothing_to_show(make, net):
    with torch.no_grad():
        net[2].bias[0] += 100  # all background
    with pytest.raises(OptionError, match="no label has 1000 voxels in the windows"):
        make("auto", "coarse", precision="int8").ready(net, SEVERAL)


def test_the_dice_to_agree_by_is_that_over_all_windows(make, net, monkeypatch):
    windows = torch.cat([SEVERAL[:1] / 10, SEVERAL[:1], 10 * SEVERAL[1:2]])
    monkeypatch.setitem(COARSE, "coarse", 0.01)
    kept = make("auto", "coarse", precision="int8", least_dice=0.5).ready(net, windows)[1]
    with torch.inference_mode():
        each = [agreement(coarse(net, w)(w), net(w)).dice for w in windows.split(1)]
    assert min(each) < kept.trials[1].dice < max(each)
    assert kept.trials[1].dice != pytest.approx(each[0], abs=1e-4)


def test_a_lower_precision_that_fails_on_a_later_window_is_refused_with_its_reason(make, net, monkeypatch):
    def picky(module, example):
        def call(x):
            if not torch.equal(x, example[:1]) and not torch.equal(x, example[:1].flip(-1)):
                raise ResourceError("no memory for this one")
            return module(x)

        return call

    monkeypatch.setattr(sys.modules[__name__], "coarse", picky)
    with pytest.raises(OptionError, match="builtin:coarse: ResourceError: no memory for this one"):
        make("auto", "coarse", precision="int8").ready(net, SEVERAL)


def test_a_precision_without_a_backend_and_a_backend_of_another_precision_are_refused(make, net):
    with pytest.raises(OptionError, match="float16 is refused: no backend for cpu computes in it"):
        make("auto", "coarse", precision="float16").ready(net, SEVERAL)
    with pytest.raises(OptionError, match="coarse computes in int8: give --precision int8"):
        make("coarse", "coarse")
    with pytest.raises(OptionError, match="fast computes in float32"):
        make("fast", "fast", precision="int8")


def test_what_a_machine_lacks_is_named():
    from medseg.builtin.onnx_backends import tensorrt

    with pytest.raises(ResourceError, match="pip install onnxruntime-gpu tensorrt"):
        tensorrt(None, WINDOW)


@pytest.mark.parametrize(
    ("make", "capability", "bound"),
    [(openvino_float16, "FP16", 1e-2), (openvino_bfloat16, "BF16", 5e-2)],
    ids=["float16", "bfloat16"],
)
def test_openvino_in_half_precision_takes_the_shape_of_one_of_its_windows(
    net, monkeypatch, make, capability, bound
):
    """Also where the processor has it not: OpenVINO then computes in float32."""
    real = openvino_backends._core()
    able = SimpleNamespace(get_property=lambda *_: ["FP32", capability], compile_model=real.compile_model)
    monkeypatch.setattr(openvino_backends, "_core", lambda: able)
    call = make(net, SEVERAL)
    for n in range(len(SEVERAL)):
        assert torch.allclose(call(SEVERAL[n : n + 1]), net(SEVERAL[n : n + 1]), atol=bound)


def test_importing_openvino_reports_to_nobody():
    code = (
        "from medseg.builtin.openvino_backends import _import_openvino as load; load(); "
        "import sys, openvino.tools.ovc.telemetry_utils as t; "
        "print(sys.modules['openvino_telemetry'], t.tm.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "openvino.tools.ovc.telemetry_stub"]


def test_int8_gives_layers_back_to_float32_until_labels_agree(tmp_path):
    bright = nn.Sequential(
        *(nn.Conv3d(a, b, 3, padding=1) for a, b in ((1, 4), (4, 4), (4, 4), (4, 2)))
    ).eval()
    windows = torch.rand(3, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    for layer in bright:
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        bright[3].weight[1] = 0
        bright[3].bias[1] = 0.5  # label 1 where a voxel is below 0.5
    file = tmp_path / "int8.bin"
    with torch.inference_mode():
        expected = bright(windows[:1])
        call = openvino_int8(bright, windows, saved=str(file), dice=0.98)
        assert 0.98 < agreement(call(windows[:1]), expected).dice < 1
        assert torch.equal(openvino_int8(None, windows, saved=str(file))(windows[:1]), call(windows[:1]))
        assert agreement(openvino_int8(bright, windows, dice=1.0)(windows[:1]), expected).dice == 1.0


def test_a_network_of_which_no_layer_can_be_in_int8_is_refused(net):
    """The first and the last convolution stay in float32, and it has no other."""
    with pytest.raises(ContractError, match="no layer of the network can be in int8"):
        openvino_int8(net, SEVERAL)


TWO_NETWORKS = """
import gc, os, signal, torch
from torch import nn
from medseg.builtin import openvino_backends
from medseg.builtin.openvino_backends import openvino, openvino_float16, openvino_int8
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
x = torch.rand(2, 1, 8, 8, 8)
first = openvino(nn.Conv3d(1, 2, 3).eval(), x[:1])
second = openvino(nn.Conv3d(1, 3, 3).eval(), x[:1])
layers = nn.Sequential(*[nn.Conv3d(1, 1, 3, padding=1) for _ in range(3)], nn.Conv3d(1, 2, 1)).eval()
third = openvino_int8(layers, x, dice=0.01)
del first  # in the order in which they came
gc.collect()
del second, third
gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_signals_are_handled_after_networks_of_openvino():
    done = subprocess.run([sys.executable, "-c", TWO_NETWORKS], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
