"""The rows of the legend: sizes, means, and what the field of view cuts."""

import nibabel
import numpy as np
import pytest
from medseg_ui.measures import csv_rows, name_labels, show_labels
from scipy import ndimage

from medseg import Volume, VolumeError
from medseg.plugin import Label


@pytest.fixture
def head():
    values = np.random.default_rng(1).normal(size=(6, 7, 8)).astype(np.float32)
    return Volume(values, np.diag([1.0, 2.0, 3.0, 1.0]))


def measure(head, array, folder, classes=()):
    labels = head.with_array(array, kind="labels")
    shown = show_labels(labels, head, name_labels(np.unique(array).tolist(), classes), folder)
    return shown, np.asarray(nibabel.load(folder / "shown.nii").dataobj)


def test_sizes_and_means_are_those_of_scipy(head, tmp_path):
    array = np.random.default_rng(2).integers(0, 4, head.shape).astype(np.uint8)
    shown, written = measure(head, array, tmp_path)
    assert np.array_equal(written, array)
    for entry in shown["entries"]:
        inside = ndimage.sum_labels(np.ones(head.shape), array, entry["value"])
        assert entry["voxels"] == inside
        assert entry["ml"] == pytest.approx(inside * 6 / 1000)
        assert entry["mean"] == pytest.approx(ndimage.mean(head.array, array, entry["value"]), rel=1e-5)


@pytest.mark.parametrize(
    ("axis", "index", "edge"),
    [(0, 0, "left"), (0, -1, "right"), (1, 0, "back"), (1, -1, "front"), (2, 0, "bottom"), (2, -1, "top")],
)
def test_a_label_at_the_edge_of_the_image_is_marked_as_cut_there(head, tmp_path, axis, index, edge):
    array = np.zeros(head.shape, np.uint8)
    where = [3, 3, 3]
    where[axis] = index
    array[tuple(where)] = 1
    shown, _ = measure(head, array, tmp_path)
    assert shown["entries"][0]["cut"] == [edge]


def test_labels_beyond_a_byte_are_shown_under_other_numbers_and_keep_their_own(head, tmp_path):
    array = np.zeros(head.shape, np.uint16)
    array[1, 2, 3], array[2, 2, 2] = 700, 40000
    shown, written = measure(head, array, tmp_path)
    assert [(entry["index"], entry["value"]) for entry in shown["entries"]] == [(1, 700), (2, 40000)]
    assert (written[1, 2, 3], written[2, 2, 2]) == (1, 2)


def test_an_image_is_not_taken_for_a_label_map():
    with pytest.raises(VolumeError, match="256 labels; the viewer shows at most 255"):
        name_labels(range(257))


def test_a_label_that_was_not_found_is_listed_as_empty(head, tmp_path):
    tumour = Label(value=3, name="tumour", colour="#ff0000")
    shown, _ = measure(head, np.zeros(head.shape, np.uint8), tmp_path, (tumour,))
    assert (shown["entries"][0]["name"], shown["entries"][0]["voxels"], shown["centre"]) == (
        "tumour",
        0,
        None,
    )
    assert csv_rows(shown["entries"])[1] == [3, "tumour", 0.0, 0, "", ""]
