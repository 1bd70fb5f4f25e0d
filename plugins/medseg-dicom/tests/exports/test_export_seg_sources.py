"""Segmentations of all kinds of series: each frame lies on the image that was segmented, and refers to it."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
from medseg_dicom.export_seg import write
from medseg_dicom.reader import read

from medseg.errors import VolumeError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "case.seg.dcm"


@pytest.mark.parametrize("order", [range(8), [3, 0, 7, 1, 6, 2, 5, 4]], ids=["in order", "shuffled"])
def test_a_multi_frame_source_is_referred_to_by_its_own_frame_numbers(
    order, encoding, make_enhanced, segmented, check_valid, check_world, path
):
    source = make_enhanced(order=list(order))
    result, balls = segmented(source)
    write(result, path, encoding=encoding)

    check_valid(path, encoding)
    check_world(path, balls, result)
    image, segmentation = pydicom.dcmread(source), pydicom.dcmread(path)
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        (origin,) = group.DerivationImageSequence[0].SourceImageSequence
        theirs = image.PerFrameFunctionalGroupsSequence[origin.ReferencedFrameNumber - 1]
        assert origin.ReferencedSOPInstanceUID == image.SOPInstanceUID
        assert (
            theirs.PlanePositionSequence[0].ImagePositionPatient
            == group.PlanePositionSequence[0].ImagePositionPatient
        )


def test_each_frame_refers_to_the_image_that_it_lies_on(make_series, segmented, path):
    folder = make_series()
    result, _ = segmented(folder)
    write(result, path)
    images = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, folder.iterdir())}
    segmentation = pydicom.dcmread(path)

    (series,) = segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == next(iter(images.values())).SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == set(images)
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        image = images[group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert image.ImagePositionPatient == group.PlanePositionSequence[0].ImagePositionPatient


def test_the_mask_of_a_straightened_tilted_series_is_back_on_its_slices(
    make_series, segmented, check_valid, frames_of, path
):
    folder = make_series(shear=(0.0, 3 * np.tan(np.radians(20)), 0.0))
    result, balls = segmented(folder, tilt="resample")
    write(result, path)

    check_valid(path)
    positions = [pydicom.dcmread(file).ImagePositionPatient for file in folder.iterdir()]
    nearest = np.linalg.norm(result.labels.spacing_mm[:2]) / 2  # the straight grid has the slices' planes
    for number, world, values in frames_of(path):
        assert any(np.allclose(world[0, 0] * [-1, -1, 1], position, atol=1e-4) for position in positions)
        certain = balls.certain(world, nearest)
        assert np.array_equal((values > 0)[certain], (balls(world) == number)[certain])
    assert sum(values.sum() for _, _, values in frames_of(path)) == pytest.approx(
        (result.labels.array > 0).sum(), rel=0.03
    )


def test_filled_gaps_get_no_frame(make_series, segmented, check_valid, frames_of, path):
    folder = make_series()
    (folder / "IM004.dcm").unlink()
    result, balls = segmented(folder, gaps="resample")
    write(result, path)

    assert result.labels.shape[2] == 8
    check_valid(path)
    for number, world, values in frames_of(path):
        assert np.array_equal(values > 0, balls(world) == number)
        assert not np.isclose(world[0, 0, 2], 0)


def test_a_time_point_refers_to_its_own_images(bad, segmented, check_valid, check_world, path):
    result, balls = segmented(bad / "12_4d_same_uid", timepoint=2)
    write(result, path)

    check_valid(path)
    check_world(path, balls, result)
    images = map(pydicom.dcmread, (bad / "12_4d_same_uid").iterdir())
    second = {image.SOPInstanceUID for image in images if image.TemporalPositionIdentifier == 2}
    (series,) = pydicom.dcmread(path).ReferencedSeriesSequence
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == second


@pytest.mark.parametrize(
    "name", ["06_jitter", "15_instance_reversed", "24_big_endian", "25_deflated", "28_j2k", "42_sagittal"]
)
def test_other_sound_series(name, bad, segmented, check_valid, check_world, frames_of, path):
    result, balls = segmented(bad / name)
    write(result, path)

    check_valid(path)
    if name != "06_jitter":
        check_world(path, balls, result)
    assert sum(int(values.sum()) for _, _, values in frames_of(path)) == np.count_nonzero(result.labels.array)


def test_the_real_series_opens_in_the_right_place(samples, segmented, dcmqi_segments, check_valid, path):
    def bright(volume):
        return (volume.array > np.percentile(volume.array, 80)).astype(np.uint8)

    folder = samples / "head_pd_raw"
    result, _ = segmented(folder, array=bright)
    write(result, path)
    check_valid(path)

    # highdicom, image by image: its volumes want slices spaced more evenly than this scanner's.
    segmentation = hd.seg.segread(path)
    images = sorted(
        map(pydicom.dcmread, folder.glob("*.dcm")), key=lambda image: image.ImagePositionPatient[2]
    )
    uids = [image.SOPInstanceUID for image in images]
    back = segmentation.get_pixels_by_source_instance(uids, segment_numbers=[1])[..., 0]
    volume = read(folder)
    threshold = np.percentile(volume.array, 80)
    assert np.array_equal(back, [image.pixel_array > threshold for image in images])

    # dcmqi takes the thickness for the distance of slices that are not spaced evenly.
    (measures,) = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.SliceThickness == pytest.approx(result.labels.spacing_mm[2], abs=1e-4)

    # dcmqi, in the world: within the scanner's unevenness of 0.1 mm.
    points = dcmqi_segments(path)[1]
    index = (points - result.labels.affine[:3, 3]) @ np.linalg.inv(result.labels.affine[:3, :3]).T
    np.testing.assert_allclose((index - np.rint(index)) * result.labels.spacing_mm, 0, atol=0.1)
    mask = np.zeros(result.labels.shape, bool)
    mask[tuple(np.rint(index).astype(int).T)] = True
    assert np.array_equal(mask, result.labels.array == 1)


def test_a_lossy_source_is_said_to_be_one(make_series, segmented, check_valid, path):
    def lossy(dataset, number):
        dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", "12.5"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"

    result, _ = segmented(make_series(edit=lossy))
    write(result, path)

    dataset = pydicom.dcmread(path)
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionRatio) == ("01", 12.5)
    check_valid(path)


def test_a_series_in_several_multi_frame_files_is_refused(make_enhanced, segmented, tmp_path, path):
    folder = tmp_path / "both"
    folder.mkdir()
    for name, order in (("A.dcm", range(4)), ("B.dcm", range(4, 8))):
        source = make_enhanced(name, order=list(order))
        dataset = pydicom.dcmread(source)
        dataset.SOPInstanceUID += f".{name[0] == 'A':d}"
        dataset.save_as(folder / name)
    result, _ = segmented(folder)
    with pytest.raises(VolumeError, match="spread over 2 multi-frame files"):
        write(result, path)
    assert not path.exists()


def test_a_single_slice_that_was_allowed_has_a_segmentation(
    encoding, make_series, segmented, check_valid, check_world, path
):
    result, balls = segmented(make_series(count=1), single="thickness")
    write(result, path, encoding=encoding)
    check_valid(path, encoding)
    check_world(path, balls, result)
