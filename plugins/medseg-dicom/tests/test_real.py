"""A real head series, twice: uncompressed and as JPEG 2000."""

import numpy as np
import pytest
from medseg_dicom.listing import list_series
from medseg_dicom.reader import read


@pytest.fixture(scope="module")
def raw(samples):
    return read(samples / "head_pd_raw")


def test_its_stored_pixels_sum_to_what_was_published(raw):
    assert raw.shape == (256, 256, 20)
    assert int(raw.array.sum(dtype=np.int64)) == 219_593_921
    assert raw.array.dtype == "int16"


def test_jpeg_2000_gives_the_same_volume(raw, samples):
    twin = read(samples / "head_pd_j2k")
    assert np.array_equal(twin.array, raw.array)
    assert np.array_equal(twin.affine, raw.affine)


def test_place_and_values_are_those_that_simpleitk_finds(raw, samples):
    """To within what the gaps, which vary by 0.07 mm, let two sound fits differ."""
    import SimpleITK as sitk  # noqa: N813  # the name in its documentation

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(samples / "head_pd_raw")))
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    theirs = reader.Execute()
    sitk.ProcessObject.SetGlobalWarningDisplay(True)
    assert np.array_equal(sitk.GetArrayFromImage(theirs).T, raw.array)
    for index in [(0, 0, 0), (255, 0, 0), (0, 255, 19), (255, 255, 19)]:
        ours = (raw.affine @ [*index, 1])[:3] * [-1, -1, 1]
        assert np.abs(ours - theirs.TransformIndexToPhysicalPoint(index)).max() < 0.08


def test_its_list_says_that_it_can_be_read(samples):
    (entry,) = list_series(samples / "head_pd_raw")
    assert (entry.modality, entry.images, entry.refusal) == ("MR", 20, "")
    assert entry.spacing_mm == pytest.approx((0.8594, 0.8594, 7.001), abs=1e-3)
