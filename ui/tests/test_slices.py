"""Plain slices: the patient's right is on the left of the picture, whatever the file's axes are."""

import io
import itertools

import numpy as np
import pytest
from medseg_ui.slices import draw_slice, planes
from PIL import Image

import medseg
from medseg import Volume, VolumeError
from medseg.geometry import reorient

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*axes)
]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_mark_at_the_right_front_top_lies_where_radiology_puts_it(tmp_path, orientation):
    array = np.zeros((8, 10, 12), np.float32)
    array[6:, 8:, 10:] = 1  # RAS: to the right, the front and the top
    volume, _ = reorient(Volume(array, np.eye(4)), orientation)
    medseg.save(volume, tmp_path / "v.nii")
    for plane in planes(list(volume.shape), volume.orientation):
        marked = int(np.argwhere(volume.array.any(axis=tuple({0, 1, 2} - {plane["axis"]})))[0, 0])
        png = draw_slice(tmp_path / "v.nii", axis=plane["axis"], index=marked, window=(0, 1))
        picture = np.asarray(Image.open(io.BytesIO(png)))[..., 0]
        row, column = np.argwhere(picture > 128).mean(axis=0)
        # In the sagittal plane the nose looks to the left.
        assert column < picture.shape[1] / 2, plane
        assert row < picture.shape[0] / 2, plane


def test_pixels_are_square_millimetres(tmp_path):
    medseg.save(Volume(np.zeros((10, 10, 10), np.float32), np.diag([1.0, 1.0, 3.0, 1.0])), tmp_path / "v.nii")
    png = draw_slice(tmp_path / "v.nii", axis=0, index=0, window=(0, 1))
    assert Image.open(io.BytesIO(png)).size == (10, 30)


def test_a_slice_that_is_not_there_is_refused(tmp_path):
    medseg.save(Volume(np.zeros((4, 4, 4), np.float32), np.eye(4)), tmp_path / "v.nii")
    with pytest.raises(VolumeError, match="no slice 4 along axis 0"):
        draw_slice(tmp_path / "v.nii", axis=0, index=4, window=(0, 1))
