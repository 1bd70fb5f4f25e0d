"""From logits to labels: one class at a time equals all at once, and two classes need one map."""

import numpy as np
import pytest
import torch

from medseg import storage
from medseg.geometry import fit, resample
from medseg.inference import labels as labels_module
from medseg.inference import probabilities as probabilities_module
from medseg.inference.labels import label_map as label_map_of_slabs
from medseg.inference.probabilities import ProbabilityMaps
from medseg.inference.slab import Slab
from medseg.volume import Volume

HOME = Volume(np.zeros((20, 18, 15), np.float32), np.diag([1.0, 1.1, 2.0, 1]))


def label_map(logits, grid, home, values, *, axis=0, rows=1000, **how):
    """The labels of logits that come in slabs of some rows along an axis."""
    slabs = (
        Slab(logits=part, axis=axis, start=n * rows)
        for n, part in enumerate(logits.split(rows, dim=axis + 1))
    )
    return label_map_of_slabs(slabs, grid, home, values, **how)


def logits_on(shape, classes, seed=0):
    """Logits (K,*S) on a grid fitted to HOME, and the way back."""
    scores = torch.from_numpy(np.random.default_rng(seed).normal(size=(classes, *shape)).astype(np.float32))
    fitted, bring_back = fit(HOME, shape)
    return scores, fitted.grid, bring_back


def all_brought_back(scores, grid, bring_back):
    return np.stack([bring_back(Volume(s.numpy(), grid.affine)).array for s in scores])


@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("classes", [1, 4])
def test_labels_on_a_grid_coarser_than_the_slabs_rows(axis, classes):
    """Some slabs hold no row that is wanted."""
    fine = (30, 12, 41)
    scores, grid, bring_back = logits_on(fine, classes)
    coarse = label_map(scores, grid, HOME.grid, range(max(classes, 2)), axis=axis, rows=1)
    full = all_brought_back(scores, grid, bring_back)
    expected = full[0] > 0 if classes == 1 else full.argmax(0)
    assert (coarse.array == expected).mean() > 0.999


@pytest.mark.parametrize("shape", [(8, 8, 8), (32, 30, 31), (20, 18, 15)])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_labels_are_the_largest_of_all_logits_resampled(shape, classes):
    """Where the best two differ by more than float32's rounding; there are hardly any others."""
    scores, grid, bring_back = logits_on(shape, classes)
    full = all_brought_back(scores, grid, bring_back)
    best = np.sort(full, axis=0)
    clear = best[-1] - best[-2] > 1e-5
    assert clear.mean() > 0.999

    labels = label_map(scores, grid, HOME.grid, tuple(range(classes)))

    assert labels.kind == "labels"
    assert labels.grid.matches(HOME.grid)
    np.testing.assert_array_equal(labels.array[clear], full.argmax(axis=0)[clear])


def test_logits_are_interpolated_not_labels():
    """A boundary between two voxels of the network's grid falls where the logits cross, not midway."""
    home = Volume(np.zeros((12, 1, 1), np.float32), np.eye(4))
    coarse, _ = resample(home, (6, 1, 1))
    lead = torch.tensor([-1.0, 3.4]).reshape(1, 2, 1, 1)  # crosses 0 at 3.9, midway is 5.5
    labels = label_map(lead, coarse.grid, home.grid, (0, 1))
    assert labels.array.ravel().tolist() == [0] * 4 + [1] * 8


def test_values_are_the_contracts_in_the_order_of_the_channels():
    scores = torch.zeros(3, 2, 2, 2)
    scores[2, 0], scores[1, 1] = 1, 1
    small = Volume(np.zeros((2, 2, 2), np.float32), np.eye(4))
    labels = label_map(scores, small.grid, small.grid, (0, 300, 7))
    assert labels.array.dtype == np.uint16
    assert labels.array[:, 0, 0].tolist() == [7, 300]


@pytest.mark.parametrize("classes", [2, 3])
def test_on_a_tie_the_first_class_wins_as_in_argmax(classes):
    scores, grid, _ = logits_on((4, 4, 4), classes)
    labels = label_map(torch.zeros_like(scores), grid, HOME.grid, tuple(range(5, 5 + classes)))
    assert (labels.array == 5).all()


def test_one_channel_is_a_sigmoid_class_against_the_background():
    scores, grid, _ = logits_on((9, 9, 9), 1)
    both = torch.cat([torch.zeros_like(scores), scores])
    alone = label_map(scores, grid, HOME.grid, (0, 4))
    np.testing.assert_array_equal(alone.array, label_map(both, grid, HOME.grid, (0, 4)).array)
    assert set(np.unique(alone.array)) == {0, 4}


def test_half_precision_logits_are_interpolated_in_float32():
    scores, grid, _ = logits_on((9, 9, 9), 3)
    half = scores.half()
    np.testing.assert_array_equal(
        label_map(half, grid, HOME.grid, (0, 1, 2)).array,
        label_map(half.float(), grid, HOME.grid, (0, 1, 2)).array,
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("rows", [1, 3, 7])
def test_how_the_rows_come_in_changes_no_label(axis, rows, monkeypatch):
    scores, grid, _ = logits_on((11, 9, 13), 4)
    whole = label_map(scores, grid, HOME.grid, range(4))
    monkeypatch.setattr(labels_module, "_PIECE_VALUES", 1200)

    found = label_map(scores, grid, HOME.grid, range(4), axis=axis, rows=rows)

    np.testing.assert_array_equal(found.array, whole.array)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_regions_are_painted_over_one_another_and_the_background_has_no_channel(axis):
    scores, grid, _ = logits_on((8, 9, 7), 3)
    expected = np.zeros(HOME.shape, np.int64)
    for number, value in enumerate((4, 9, 2)):
        lead = label_map(scores[number : number + 1], grid, HOME.grid, (0, 1))
        expected[lead.array == 1] = value
    found = label_map(scores, grid, HOME.grid, (0, 4, 9, 2), axis=axis, rows=3, regions=True)
    np.testing.assert_array_equal(found.array, expected)
    assert set(np.unique(found.array)) == {0, 2, 4, 9}


@pytest.mark.parametrize(("axis", "apart"), [(0, 0), (1, 0), (2, 2), (0, 1)])
def test_along_one_axis_the_nearest_logits_may_be_taken(axis, apart):
    shape = list(HOME.shape)
    shape[apart] = 6
    scores, grid, _ = logits_on(tuple(shape), 3)
    count = HOME.shape[apart]
    pick = np.floor((np.arange(count) + 0.5) * 6 / count).astype(int)
    expected = scores.numpy().argmax(0).take(pick, apart)
    found = label_map(scores, grid, HOME.grid, (0, 1, 2), axis=axis, rows=4, nearest_axis=apart)
    np.testing.assert_array_equal(found.array, expected)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize(("axis", "rows"), [(0, 1000), (2, 2)])
def test_probabilities_are_those_of_all_logits_resampled(classes, regions, axis, rows, monkeypatch):
    monkeypatch.setattr(probabilities_module, "_VALUES", 2000)  # several steps
    scores, grid, bring_back = logits_on((8, 9, 7), classes)
    full = torch.from_numpy(all_brought_back(scores, grid, bring_back)).double()
    p = full.sigmoid() if regions else full.softmax(dim=0)
    values = tuple(range(classes + regions))
    maps = ProbabilityMaps(HOME.shape, values, regions=regions)

    label_map(scores, grid, HOME.grid, values, axis=axis, rows=rows, regions=regions, maps=maps)

    assert list(maps.of_label) == list(values[1:])
    for value, found in maps.of_label.items():
        np.testing.assert_allclose(found, p[value - regions].numpy(), atol=1e-5)
    entropy = -(p * p.log()).sum(0) / np.log(classes)
    if regions:
        entropy = -(p * p.log2() + (1 - p) * (1 - p).log2()).mean(0)
    np.testing.assert_allclose(maps.entropy, entropy.numpy(), atol=1e-5)


def test_labels_go_to_the_disk_while_arrays_are_spilled(monkeypatch):
    scores, grid, _ = logits_on((8, 9, 7), 4)
    monkeypatch.setattr(storage, "_SMALL", 0)
    with storage.spilling(True):
        labels = label_map(scores, grid, HOME.grid, (0, 1, 2, 3), rows=2)
        assert any(start == labels.array.ctypes.data for start in storage._maps)
    np.testing.assert_array_equal(labels.array, label_map(scores, grid, HOME.grid, (0, 1, 2, 3)).array)
