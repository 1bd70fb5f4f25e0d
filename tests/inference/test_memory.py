"""The plan of memory: what a network holds at once, and what grows with classes and voxels."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from medseg.errors import OptionError, ResourceError
from medseg.inference.calls import mirrored
from medseg.inference.engine import Engine
from medseg.inference.execution import Execution, arithmetic
from medseg.inference.live import live_bytes, resident_bytes, watched
from medseg.inference.memory import Task, fit_memory, fit_vram, parse_bytes, plan_memory
from medseg.inference.room import Room
from medseg.plugin import Slices, WholeGrid, Windows

MB = 2**20


GB = 10**9


def task(patch=None, *, shape=(8, 8, 8), home=None, channels=1, classes=2, **more):
    """A task on the CPU whose network takes nothing."""
    settings = {"window_bytes": 0, "before": 0, **more}
    return Task(
        patch=patch or Windows(size=(96, 96, 96)),
        channels=channels,
        classes=classes,
        shape=shape,
        home=home or shape,
        **settings,
    )


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
        plan_memory(task(patch, classes=k, shape=(128, 128, 1000), home=(256, 256, 2000)), Room()).peak
        for k in (2, 102)
    )
    # 128 x 128 x 96 sums, and as many answers of a window
    assert many - few <= 100 * 4 * (128 * 128 * 96 + 96**3) + 4 * MB
    assert many - few < 100 * 4 * 128 * 128 * 1000 / 4


def test_what_the_process_holds_already_is_part_of_the_peak():
    without, with_ = (plan_memory(task(WholeGrid(shape=(8, 8, 8)), before=b), Room()).peak for b in (0, GB))
    assert with_ - without == GB


def test_too_little_memory_is_refused_with_the_number():
    wanted = task(Windows(size=(8, 8, 8)), window_bytes=10 * GB)
    assert fit_memory(wanted, None).room == Room()
    with pytest.raises(ResourceError, match=r"needs about 1\d\.\d\d GB.*--max-ram allows 4\.00 GB"):
        fit_memory(wanted, 4 * GB)


def test_a_limit_sends_to_the_disk_what_it_must_and_no_more():
    wanted = task(classes=118, shape=(400, 400, 700), before=GB)
    free = fit_memory(wanted, None)
    assert (free.room, free.stitching > 7 * GB) == (Room(), True)
    tighter = fit_memory(wanted, 4 * GB)
    assert tighter.room == Room(stitch="disk")
    assert tighter.peak <= 4 * GB
    tightest = fit_memory(wanted, 2700 * 10**6)
    assert tightest.room == Room(stitch="disk", arrays="disk")
    assert tightest.peak <= 2700 * 10**6


def test_of_a_two_dimensional_network_whole_slices_of_all_classes_are_held_several_times():
    """Measured at 512 x 512 x 3 with 100 classes: 0.76 GB beside what was there, 0.66 GB at a limit."""
    wanted = task(Slices(axis=2, size=(64, 64)), classes=100, shape=(512, 512, 3))
    assert 0.66 * GB < fit_memory(wanted, None).peak < 0.95 * GB
    with pytest.raises(ResourceError, match="with all that can be on the disk"):
        fit_memory(wanted, GB // 2)


def test_what_steps_after_the_network_take_is_counted():
    """Measured of fill-holes on 320^3 voxels: 0.36 GB beside the labels and what was there before."""
    wanted = task(shape=(320, 320, 320), channels=0, finished=True)
    more = fit_memory(wanted, None).finishing - fit_memory(wanted, None).labels
    assert 0.36 * GB < more < 0.45 * GB
    with pytest.raises(ResourceError):
        fit_memory(wanted, GB // 3)


def test_on_a_gpu_windows_come_in_batches_then_sums_and_image_leave_its_memory():
    wanted = task(
        classes=100, shape=(300, 300, 600), window_bytes=GB
    )  # sums 3.5 GB, image 0.2 GB, answer 0.35 GB
    rooms = {
        limit: fit_vram(wanted, int(limit * GB), batches=True, refuse=True)[0]
        for limit in (80, 8.5, 5.5, 1.6, 1.4)
    }
    assert rooms == {
        80: Room(batch=8),
        8.5: Room(batch=4),
        5.5: Room(batch=1),
        1.6: Room(stitch="host"),
        1.4: Room(stitch="host", image="host"),
    }
    assert fit_vram(wanted, 80 * GB, batches=False, refuse=True)[0] == Room()


class Repeated(nn.Module):
    def forward(self, x):
        return x.repeat(1, 20, 1, 1, 1)


class Mirrored(Repeated):
    def forward(self, x):
        return mirrored(super().forward, (0, 1))(x)


def test_what_stands_between_windows_and_network_is_counted_as_it_is_held():
    """The sums of mirrored windows with a flipped copy, and the answer to a constant window."""
    answer, shape = 4 * 20 * 64**3, (1, 1, 64, 64, 64)
    plain, averaged = (live_bytes(network().eval(), shape) for network in (Repeated, Mirrored))
    planned = [
        plan_memory(task(patch, classes=20, window_bytes=plain, mirrored=flips), Room()).window
        for patch in (WholeGrid(shape=shape[2:]), Windows(size=shape[2:]))
        for flips in (False, True)
    ]
    assert 0 <= planned[1] - averaged <= 2 * MB
    assert planned == [plain, plain + 2 * answer, plain + answer, plain + 3 * answer]


def test_a_window_that_a_gpu_may_not_hold_is_refused_where_someone_set_the_limit():
    wanted = task(window_bytes=GB)
    with pytest.raises(ResourceError, match=r"one window needs about 1\.01 GB.*--max-vram allows 0\.50 GB"):
        fit_vram(wanted, GB // 2, batches=True, refuse=True)
    smallest = Room(stitch="host", image="host")
    assert fit_vram(wanted, GB // 2, batches=True, refuse=False)[0] == smallest


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_limit_on_a_gpus_memory_is_torchs_too(monkeypatch, device):
    """torch's own function, which wants a number for the GPU, as far as its call of CUDA."""
    set_to = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=80 * GB))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.memory._lazy_init", lambda: None)
    monkeypatch.setattr(torch._C, "_cuda_setMemoryFraction", lambda *a: set_to.append(a), raising=False)
    monkeypatch.setattr(torch._C, "_cuda_resetPeakMemoryStats", lambda _: None, raising=False)
    for limit in (20 * GB, None, 200 * GB):
        engine = SimpleNamespace(_device=torch.device(device), _execution=Execution(max_vram=limit))
        Engine._limit_vram(engine)
    index = int(device == "cuda:1")
    assert set_to == [(0.25, index), (1.0, index), (1.0, index)]


def test_a_call_is_watched_for_what_it_holds_at_its_peak():
    def call():
        big = np.ones(100 * MB, np.uint8)
        time.sleep(0.05)
        return int(big[-1])

    result, held = watched(call)
    assert result == 1
    assert held == pytest.approx(100 * MB, rel=0.2)
    assert resident_bytes() > 50 * MB


@pytest.mark.parametrize(
    ("text", "expected"), [("4GiB", 2**32), ("500 MB", 5e8), ("2e9", 2e9), ("1.5k", 1500), ("3MiB", 3 * MB)]
)
def test_amounts_of_memory_are_read_as_people_write_them(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "four", "-1GB", "0", "4 apples", "1.2.3GB", "1e400"])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(OptionError, match="such as 4GiB or 500MB"):
        parse_bytes(text)


def test_torch_computes_as_an_execution_says_and_as_before_after():

    def settings():
        return torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32

    before = settings()
    with arithmetic(Execution(deterministic=True)):
        assert settings() == (True, False)
    with arithmetic(Execution()):
        assert settings() == (before[0], False)
    assert settings() == before


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"precision": "int4"}, "precision is 'int4'; wanted float32, float16, bfloat16, int8"),
        ({"least_dice": 0.0}, "above 0"),
        ({"least_dice": 1.5}, "1 at the most"),
    ],
)
def test_an_execution_that_cannot_be_is_refused(given, says):

    with pytest.raises(OptionError, match=says):
        Execution(**given)


def test_comparing_backends_is_planned_for_and_refused_beyond_the_limit():
    plain = plan_memory(task(Windows(size=(96, 96, 96)), window_bytes=GB), Room())
    chooses = task(Windows(size=(96, 96, 96)), window_bytes=GB, choosing="float32")
    assert plan_memory(chooses, Room()).peak > plain.peak + GB
    with pytest.raises(ResourceError, match=r"to choose a backend, once, .* take --backend eager"):
        fit_memory(chooses, 2 * GB)
    lower = task(Windows(size=(96, 96, 96)), window_bytes=GB, choosing="int8")
    with pytest.raises(ResourceError, match=r"to choose a backend, once, .* leave out --precision"):
        fit_memory(lower, 2 * GB)
