"""Windows: MONAI's sliding_window_inference on the same network, and what it cannot do."""

import itertools

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map
from monai.inferers import sliding_window_inference
from scipy import ndimage

from medseg.errors import Cancelled, ContractError
from medseg.inference.weights import ClampedGaussian, Partition
from medseg.inference.windows import place, slide, slide_slabs
from medseg.plugin import Windows
from medseg.progress import CancelToken

CASES = [
    # shape, window: larger, smaller and equal images, odd remainders, 2-D
    ((70, 53, 41), (32, 32, 32)),
    ((20, 40, 33), (32, 24, 16)),
    ((9, 8, 7), (16, 16, 16)),
    ((32, 32, 32), (32, 32, 32)),
    ((33, 1, 5), (8, 4, 5)),
    ((61, 45), (24, 16)),
    ((10, 45), (24, 16)),
]


def network(channels, dims, seed=0):
    """A convolution over voxels and their neighbours: what it says depends on where a window ends."""
    torch.manual_seed(seed)
    layer = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[dims](channels, 3, 3, padding=1)
    return layer.eval().requires_grad_(False)


def image_of(shape, channels=2):
    return torch.from_numpy(np.random.default_rng(0).normal(size=(channels, *shape)).astype(np.float32))


@pytest.mark.parametrize(("shape", "size"), CASES)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("blend", ["gaussian", "constant"])
def test_a_network_gives_what_it_gives_in_monai(shape, size, overlap, blend):
    if overlap == 0.8:  # many windows: a part of the image says the same
        shape = tuple(min(n, 40) for n in shape)
    image, net = image_of(shape), network(2, len(shape))
    expected = sliding_window_inference(image[None], size, 4, net, overlap=overlap, mode=blend)[0]

    found = slide(net, image, Windows(size=size, overlap=overlap, blend=blend))

    assert found.shape == (3, *shape)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32, 32), (17, 8, 5), (24, 16)])
def test_the_weights_of_a_window_are_monais(size):
    expected = compute_importance_map(size, mode="gaussian", sigma_scale=0.125, dtype=torch.float32)
    corner = (0,) * len(size)
    np.testing.assert_allclose(
        ClampedGaussian(size).at(corner, torch.device("cpu")).numpy(),
        expected.clamp(min=1e-3).numpy(),
        atol=1e-7,
    )


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("blend", ["gaussian", "constant"])
def test_a_network_that_changes_nothing_changes_nothing(overlap, blend):
    image = image_of((70, 53, 41), channels=1)
    found = slide(lambda x: x, image, Windows(size=(32, 32, 32), overlap=overlap, blend=blend))
    np.testing.assert_allclose(found.numpy(), image.numpy(), atol=1e-5)


def test_an_image_smaller_than_the_window_is_padded_evenly_and_comes_back_exactly():
    image, seen = image_of((5, 8, 7), channels=1), []

    def look(window):
        seen.append(window)
        return window

    found = slide(look, image, Windows(size=(8, 8, 8), overlap=0.5, blend="constant"))

    np.testing.assert_array_equal(found.numpy(), image.numpy())
    (window,) = seen
    np.testing.assert_array_equal(window[0, :, 1:6, :, :7].numpy(), image.numpy())
    assert window.count_nonzero() == image.numel()


def nnunet_prediction(net, image, size, overlap):
    """What nnU-Net's predictor does, in float64 where it has float16, for an image larger than a window.

    Facts from nnunetv2/inference/sliding_window_prediction.py: steps of at most size * (1 - overlap),
    evenly spaced and rounded; a delta at size // 2 blurred by a Gaussian of an eighth of the size.
    """
    delta = np.zeros(size)
    delta[tuple(n // 2 for n in size)] = 1
    weight = torch.from_numpy(ndimage.gaussian_filter(delta, [n / 8 for n in size], 0, mode="constant"))
    starts = []
    for length, n in zip(image.shape[1:], size, strict=True):
        count = int(np.ceil((length - n) / (n * (1 - overlap)))) + 1
        starts.append(np.round(np.linspace(0, length - n, count)).astype(int) if count > 1 else [0])
    total, seen = torch.zeros(3, *image.shape[1:]).double(), torch.zeros(image.shape[1:]).double()
    for corner in itertools.product(*starts):
        box = tuple(slice(int(a), int(a) + n) for a, n in zip(corner, size, strict=True))
        total[(slice(None), *box)] += net(image[(slice(None), *box)][None])[0] * weight
        seen[box] += weight
    return total / seen


@pytest.mark.parametrize(("shape", "size"), [((70, 53, 41), (32, 32, 32)), ((33, 30, 40), (17, 8, 24))])
@pytest.mark.parametrize("overlap", [0.2, 0.5])
def test_a_network_gives_what_it_gives_in_nnunet(shape, size, overlap):
    image, net = image_of(shape), network(2, 3)
    found = slide(net, image, Windows(size=size, overlap=overlap, placement="nnunet"))
    np.testing.assert_allclose(found.numpy(), nnunet_prediction(net, image, size, overlap).numpy(), atol=1e-5)


def test_weights_of_a_partition_add_up_to_one_everywhere():
    shape, windows = (50, 33, 21), Windows(size=(16, 12, 8), overlap=0.4, placement="nnunet")
    starts, total = place(shape, windows), torch.zeros(shape)
    for blend in ("gaussian", "constant"):
        weights = Partition(starts, windows.size, blend)
        total.zero_()
        for corner in itertools.product(*starts):
            box = tuple(slice(a, a + n) for a, n in zip(corner, windows.size, strict=True))
            total[box] += weights.at(corner, torch.device("cpu"))
        np.testing.assert_allclose(total.numpy(), 1, atol=1e-5)


@pytest.mark.parametrize("shape", [(90, 20, 20), (20, 20, 90), (9, 90, 21), (5, 6, 7)])
@pytest.mark.parametrize("placement", ["monai", "nnunet"])
def test_rows_leave_in_order_and_only_a_windows_length_of_them_is_held(shape, placement):
    image, windows = image_of(shape), Windows(size=(16, 16, 16), overlap=0.6, placement=placement)
    net, held, next_row = network(2, 3), [], 0
    whole = slide(net, image, windows)
    for slab in slide_slabs(net, image, windows):
        assert slab.start == next_row
        rows = slab.logits.shape[slab.axis + 1]
        next_row += rows
        held.append(slab.logits.untyped_storage().nbytes())
        assert torch.equal(whole.narrow(slab.axis + 1, slab.start, rows), slab.logits)
    assert next_row == shape[slab.axis]
    padded = np.maximum(shape, 16)
    assert max(held) <= 3 * 4 * padded.prod() * 16 / padded.max()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float16])
def test_sums_are_float32_whatever_the_image_is(dtype):
    """MONAI sums in the image's type: it fails on uint8 and rounds in float16."""
    image = (image_of((20, 20, 20), channels=1) * 10).abs().to(dtype)
    found = slide(lambda x: x, image, Windows(size=(8, 8, 8), overlap=0.5))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), image.float().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "size", "overlap", "windows"),
    [(333, 128, 0.5, 5), (333, 128, 0.75, 8), (333, 128, 0.0, 3), (128, 128, 0.5, 1), (512, 128, 0.5, 7)],
)
@pytest.mark.parametrize("placement", ["monai", "nnunet"])
def test_windows_cover_an_axis_and_end_with_it(length, size, overlap, windows, placement):
    (starts,) = place((length,), Windows(size=(size,), overlap=overlap, placement=placement))
    assert len(starts) == windows
    assert (starts[0], starts[-1]) == (0, length - size)
    assert all(a < b <= a + size for a, b in itertools.pairwise(starts))


def test_progress_counts_every_window_once():
    calls = []
    slide(
        lambda x: x,
        image_of((20, 9, 9), channels=1),
        Windows(size=(8, 8, 8), overlap=0.0),
        on_window=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(n, 12) for n in range(1, 13)]


def test_cancelling_stops_before_the_next_window():
    token, calls = CancelToken(), []

    def look(window):
        calls.append(window)
        token.cancel()
        return window

    with pytest.raises(Cancelled):
        slide(look, image_of((32, 8, 8)), Windows(size=(8, 8, 8), overlap=0.0), cancel=token)
    assert len(calls) == 1


@pytest.mark.parametrize(("size", "overlap"), [((8, 8, 8), 1.0), ((8, 8, 8), -0.1), ((8, 0, 8), 0.5)])
def test_windows_that_could_not_slide_are_refused(size, overlap):
    with pytest.raises(ContractError, match="0 <= overlap < 1"):
        slide(lambda x: x, image_of((9, 9, 9)), Windows(size=size, overlap=overlap))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="it runs windows on a GPU, and there is none here")
def test_windows_on_a_gpu_give_what_they_give_on_the_cpu():
    image, net = image_of((30, 30, 30)), network(2, 3)
    windows = Windows(size=(16, 16, 16), overlap=0.5)
    on_gpu = slide(net.cuda(), image.cuda(), windows)
    assert on_gpu.is_cuda
    np.testing.assert_allclose(on_gpu.cpu().numpy(), slide(net.cpu(), image, windows).numpy(), atol=1e-4)


@pytest.mark.parametrize("side", [16, 40])
def test_a_network_that_answers_fewer_voxels_than_it_saw_is_refused(side):
    def middle(x):
        return x[..., 2:-2, 2:-2, 2:-2]

    with pytest.raises(ContractError, match=r"answered \(16, 16, 16\) voxels with \(12, 12, 12\).*'mirror'"):
        slide(middle, torch.zeros(1, side, side, side), Windows(size=(16, 16, 16)))
