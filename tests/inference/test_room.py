"""Windows in more or less room: the same sums, and what was computed stays when memory runs out."""

import numpy as np
import pytest
import torch

from medseg.errors import ResourceError
from medseg.inference.network import stream_logits
from medseg.inference.room import Room, ran_out
from medseg.inference.windows import slide_slabs
from medseg.plugin import Windows

IMAGE = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 40, 21, 18)).astype(np.float32))
SLIDING = [
    Windows(size=(16, 16, 16), overlap=0.5),
    Windows(size=(12, 8, 16), overlap=0.4, placement="nnunet"),
    Windows(size=(16, 16, 16), overlap=0.6, blend="constant"),
]
CPU = torch.device("cpu")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return torch.nn.Conv3d(2, 3, 3, padding=1).eval().requires_grad_(False)


def whole(network, windows, **settings):
    """All slabs, put together."""
    slabs = [(s.axis, s.start, s.logits.clone()) for s in slide_slabs(network, IMAGE, windows, **settings)]
    rows = [start for _, start, _ in slabs]
    assert rows == sorted(rows)
    return torch.cat([logits for _, _, logits in slabs], dim=slabs[0][0] + 1)


@pytest.mark.parametrize("windows", SLIDING)
@pytest.mark.parametrize("room", [Room(stitch="disk"), Room(batch=3), Room(batch=100, stitch="disk")])
def test_any_room_gives_the_same_sums(net, windows, room):
    expected, found = whole(net, windows), whole(net, windows, room=room)
    assert found.shape == (3, *IMAGE.shape[1:])
    # A convolution over a batch may add up in another order.
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5 if room.batch > 1 else 0)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
        MemoryError(),
    ],
)
def test_when_memory_runs_out_the_same_windows_go_on_in_less_room(net, error):
    sizes, rooms, failing = [], [], {4: 1, 2: 2}  # batch: how often it still fails

    def narrow(windows):
        if failing.get(len(windows), 0):
            failing[len(windows)] -= 1
            raise error
        sizes.append(len(windows))
        return net(windows)

    windows = SLIDING[0]
    found = whole(narrow, windows, room=Room(batch=4), on_smaller=rooms.append)

    np.testing.assert_allclose(found.numpy(), whole(net, windows).numpy(), atol=1e-5)
    assert rooms == [Room(batch=2), Room(batch=1)]
    total = sum(1 for _ in range(4 * 2 * 2))
    assert sum(sizes) == total  # no window ran twice


def test_sums_move_to_the_disk_in_the_middle_of_a_run(net):
    calls, rooms = [], []

    def late(windows):
        calls.append(len(windows))
        if len(calls) == 6:
            raise MemoryError
        return net(windows)

    found = whole(late, SLIDING[1], on_smaller=rooms.append)
    assert rooms == [Room(stitch="disk")]
    assert torch.equal(found, whole(net, SLIDING[1]))


def test_the_room_that_is_reported_has_shrunk_by_the_sums_and_by_the_network(net, monkeypatch):
    """In either order: what one gave up the other does not take back."""
    for sums_first in (True, False):
        rooms, failing = [], [not sums_first]

        def narrow(windows, failing=failing):
            if len(windows) > 2 and failing[0]:
                raise MemoryError
            return net(windows)

        zeros, refused = torch.zeros, []

        def scarce(*shape, refused=refused, failing=failing, zeros=zeros, **more):
            if not refused:
                refused.append(shape)
                failing[0] = True
                raise MemoryError
            return zeros(*shape, **more)

        monkeypatch.setattr("medseg.inference.stitching.torch.zeros", scarce)
        found = whole(narrow, SLIDING[0], room=Room(batch=4), on_smaller=rooms.append)
        monkeypatch.undo()
        assert rooms[-1] == Room(batch=2, stitch="disk"), sums_first
        np.testing.assert_allclose(found.numpy(), whole(net, SLIDING[0]).numpy(), atol=1e-5)


def test_memory_for_not_even_one_window_is_an_error_with_a_remedy():
    def full(windows):
        raise MemoryError

    with pytest.raises(ResourceError, match=r"memory of cpu is too small for one window.*crop the input"):
        list(stream_logits(full, IMAGE, SLIDING[0]))


def test_a_fault_of_the_network_is_not_taken_for_a_lack_of_memory():
    def faulty(windows):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="multiplied"):
        list(stream_logits(faulty, IMAGE, SLIDING[0]))
    assert not ran_out(RuntimeError("shapes cannot be multiplied"))
    assert ran_out(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"))
    assert ran_out(RuntimeError("CUDA error: out of memory"))


def test_what_is_given_up_first():
    gpu, steps = torch.device("cuda"), []
    room = Room(batch=4)
    while room := room.smaller(gpu):
        steps.append((room.batch, room.stitch))
    assert steps == [(2, "device"), (1, "device"), (1, "host"), (1, "disk")]
    assert Room().smaller(CPU) == Room(stitch="disk")
