"""Enhanced multi-frame files: each frame by its own position and its own rescale."""

import copy

import numpy as np
import pydicom
import pytest
from medseg_dicom.reader import read
from pydicom.uid import JPEG2000Lossless

from medseg.errors import VolumeError


@pytest.mark.parametrize(
    "order", [range(8), [3, 0, 7, 1, 6, 2, 5, 4], range(7, -1, -1)], ids=["sorted", "shuffled", "reversed"]
)
def test_frames_are_sorted_by_position(make_enhanced, read_world, order):
    assert read_world(make_enhanced(order=order)).shape == (20, 16, 8)


def test_each_frame_has_its_own_slope(make_enhanced, read_world):
    slopes = [1, 0.5, 2, 1, 0.8, 1, 0.5, 1]
    volume = read_world(make_enhanced(slopes=slopes, order=[3, 0, 7, 1, 6, 2, 5, 4]))
    assert volume.array.dtype == "float32"


def test_compressed_frames_are_decoded_one_by_one(make_enhanced, read_world):
    geometry = {"size": (64, 64), "spacing": (0.4, 0.3)}  # openjpeg wants 32 pixels at least
    read_world(make_enhanced(order=[1, 0, 3, 2, 5, 4, 7, 6], compress=JPEG2000Lossless, **geometry))


def test_a_missing_frame_is_refused(make_enhanced):
    with pytest.raises(VolumeError, match=r"between frame 4 of E\.dcm and frame 5 of E\.dcm"):
        read(make_enhanced(order=[0, 1, 2, 3, 5, 6, 7]))


def test_frames_without_a_group_each_are_refused(make_enhanced):
    def drop(dataset):
        dataset.PerFrameFunctionalGroupsSequence.pop()

    with pytest.raises(VolumeError, match=r"describes 7 frames, NumberOfFrames .* is 8"):
        read(make_enhanced(edit=drop))


def test_a_frame_without_position_is_named(make_enhanced):
    def drop(dataset):
        del dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence

    with pytest.raises(VolumeError, match="frame 3: no geometry: ImagePositionPatient"):
        read(make_enhanced(edit=drop))


def test_time_points_within_one_file_are_chosen(make_enhanced, read_world):
    def mark(dataset):
        for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            group.FrameContentSequence[0].TemporalPositionIndex = number // 8 + 1
            group.PixelValueTransformationSequence[0].RescaleIntercept = -1024 + 500 * (number // 8)

    path = make_enhanced(order=[*range(8), *range(8)], edit=mark)
    with pytest.raises(VolumeError, match="2 time points, 16 images"):
        read(path)
    read_world(path, timepoint=1)
    second = read(path, timepoint=2)
    assert (second.array == read(path, timepoint=1).array + 500).all()


@pytest.mark.parametrize(
    "name",
    ["", "_RLE", "_big_endian", "_jpeg_2k_lossless", "_jpeg_ls_lossless"],
    ids=lambda name: name or "raw",
)
def test_a_real_enhanced_mr_without_geometry_is_refused(samples, name):
    with pytest.raises(VolumeError, match=r"describes 0 frames, NumberOfFrames \(0028,0008\) is 10"):
        read(samples / f"emri_small{name}.dcm")


def test_a_real_enhanced_ct_is_read_by_its_functional_groups(samples):
    volume = read(samples / "eCT_Supplemental.dcm")
    assert volume.shape == (512, 512, 2)
    assert volume.spacing_mm == pytest.approx((0.388672, 0.388672, 10))
    assert volume.orientation == "RPI"


@pytest.fixture
def halves(make_enhanced, tmp_path):
    """One image in two files, as a concatenation."""
    whole = pydicom.dcmread(make_enhanced())
    folder = tmp_path / "halves"
    folder.mkdir()
    frames = np.frombuffer(whole.PixelData, "<u2").reshape(8, -1)
    for number, part in enumerate((slice(0, 4), slice(4, 8)), start=1):
        half = copy.deepcopy(whole)
        half.SOPInstanceUID = half.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        half.InConcatenationNumber, half.InConcatenationTotalNumber = number, 2
        half.NumberOfFrames = 4
        half.PerFrameFunctionalGroupsSequence = whole.PerFrameFunctionalGroupsSequence[part]
        half.PixelData = frames[part].tobytes()
        half.save_as(folder / f"{number}.dcm")
    return folder


def test_an_image_in_several_files_is_one_volume(halves, read_world):
    volume = read_world(halves)
    assert volume.shape == (20, 16, 8)
    assert volume.notes == ()


def test_a_missing_file_of_an_image_in_several_is_noted(halves, read_world):
    (halves / "2.dcm").unlink()
    (note,) = read_world(halves).notes
    assert note.startswith("InConcatenationTotalNumber (0020,9163) is 2, but 1 of these files are here")


@pytest.mark.parametrize("group", ["PlanePositionSequence", "PixelValueTransformationSequence"])
def test_a_group_of_two_items_is_refused(make_enhanced, group):
    def double(dataset):
        own = dataset.PerFrameFunctionalGroupsSequence
        own[3][group].value.append(own[2][group][0])

    with pytest.raises(VolumeError, match=rf"frame 4: {group} .* has 2 items; wanted one"):
        read(make_enhanced(edit=double))
