"""Segmentations: valid, in the right place, the same voxels back in other systems."""

from dataclasses import replace

import highdicom as hd
import numpy as np
import pydicom
import pytest
from medseg_dicom.export_seg import write
from medseg_dicom.reader import read

from medseg.errors import ResourceError, VolumeError
from medseg.plugin import Label

ENCODINGS = ["binary", "labelmap", "fractional"]
DCIODVFY_2022_ON_LABEL_MAPS = [
    (
        "Error - SegmentNumber not monotonically increasing from one by one - "
        "have SegmentSequence item number 1 (from one) with SegmentNumber of 0"
    ),
    "Error - Information Object Not found",
]
OBLIQUE = {
    "along_row": (0.955336489, 0.295520207, 0.0),
    "along_column": (-0.289627, 0.936293, 0.198669),
}


@pytest.fixture(params=ENCODINGS)
def encoding(request):
    return request.param


@pytest.fixture
def path(tmp_path):
    return tmp_path / "case.seg.dcm"


def frames_of(path):
    """Of each frame: the segment (None in a label map), where its pixels are in RAS mm, and their values."""
    dataset = pydicom.dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    row, column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    down, across = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    i, j = np.meshgrid(np.arange(dataset.Columns), np.arange(dataset.Rows))
    pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    for group, values in zip(dataset.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        lps = position + i[..., None] * across * row + j[..., None] * down * column
        identification = group.get("SegmentIdentificationSequence") or shared.get(
            "SegmentIdentificationSequence"
        )
        number = identification[0].ReferencedSegmentNumber if identification else None
        yield number, lps * [-1, -1, 1], values


def check_world(path, balls, counts):
    """Every pixel is what the world has there, and all that was segmented is there."""
    found = {1: 0, 2: 0}
    for number, world, values in frames_of(path):
        truth = balls(world)
        if number is None:
            assert np.array_equal(values, truth)
        else:
            assert np.array_equal(values > 0, truth == number)
        for label in found:
            found[label] += int(
                (values == label).sum() if number is None else (values > 0).sum() * (number == label)
            )
    assert found == counts


def counts_of(result):
    return {label: int((result.labels.array == label).sum()) for label in (1, 2)}


def test_it_is_valid(encoding, make_series, segmented, errors_of, path):
    result, _ = segmented(make_series())
    write(result, path, encoding=encoding)
    assert errors_of(path) == (DCIODVFY_2022_ON_LABEL_MAPS if encoding == "labelmap" else [])


def test_every_pixel_is_where_it_was_segmented(encoding, make_series, segmented, path):
    result, balls = segmented(make_series(**OBLIQUE))
    write(result, path, encoding=encoding)
    check_world(path, balls, counts_of(result))


def test_highdicom_reads_the_same_voxels_back(encoding, make_series, segmented, path):
    folder = make_series(**OBLIQUE)
    result, _ = segmented(folder)
    write(result, path, encoding=encoding)

    source = hd.get_volume_from_series([pydicom.dcmread(file) for file in folder.iterdir()])
    back = hd.seg.segread(path).get_volume(combine_segments=True).match_geometry(source)
    ras = np.diag([-1, -1, 1, 1]) @ back.affine
    index = np.linalg.inv(result.labels.affine) @ ras
    places = np.rint(np.moveaxis(np.indices(back.shape), 0, -1) @ index[:3, :3].T + index[:3, 3]).astype(int)
    assert np.array_equal(back.array, result.labels.array[tuple(np.moveaxis(places, -1, 0))])
    assert back.array.size == result.labels.array.size


def test_dcmqi_reads_the_same_voxels_back(encoding, make_series, segmented, dcmqi_segments, path):
    result, _ = segmented(make_series(**OBLIQUE))
    write(result, path, encoding=encoding)
    found = dcmqi_segments(path)

    places = np.linalg.inv(result.labels.affine)
    back = np.zeros(result.labels.shape, np.uint8)
    for number, points in found.items():
        index = points @ places[:3, :3].T + places[:3, 3]
        np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
        back[tuple(np.rint(index).astype(int).T)] = number
    assert np.array_equal(back, result.labels.array)


@pytest.mark.parametrize("order", [range(8), [3, 0, 7, 1, 6, 2, 5, 4]], ids=["in order", "shuffled"])
def test_a_multi_frame_source_is_referred_to_by_its_own_frame_numbers(
    order, encoding, make_enhanced, segmented, errors_of, path
):
    source = make_enhanced(order=list(order))
    result, balls = segmented(source)
    write(result, path, encoding=encoding)

    assert errors_of(path) == (DCIODVFY_2022_ON_LABEL_MAPS if encoding == "labelmap" else [])
    check_world(path, balls, counts_of(result))
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
    make_series, segmented, errors_of, path
):
    folder = make_series(shear=(0.0, 3 * np.tan(np.radians(20)), 0.0))
    result, balls = segmented(folder, tilt="resample")
    write(result, path)

    assert errors_of(path) == []
    positions = [pydicom.dcmread(file).ImagePositionPatient for file in folder.iterdir()]
    nearest = np.linalg.norm(result.labels.spacing_mm[:2]) / 2  # the straight grid has the slices' planes
    for number, world, values in frames_of(path):
        assert any(np.allclose(world[0, 0] * [-1, -1, 1], position, atol=1e-4) for position in positions)
        certain = balls.certain(world, nearest)
        assert np.array_equal((values > 0)[certain], (balls(world) == number)[certain])
    assert sum(values.sum() for _, _, values in frames_of(path)) == pytest.approx(
        (result.labels.array > 0).sum(), rel=0.03
    )


def test_filled_gaps_get_no_frame(make_series, segmented, errors_of, path):
    folder = make_series()
    (folder / "IM004.dcm").unlink()
    result, balls = segmented(folder, gaps="resample")
    write(result, path)

    assert result.labels.shape[2] == 8
    assert errors_of(path) == []
    for number, world, values in frames_of(path):
        assert np.array_equal(values > 0, balls(world) == number)
        assert not np.isclose(world[0, 0, 2], 0)


def test_a_time_point_refers_to_its_own_images(bad, segmented, errors_of, path):
    result, balls = segmented(bad / "12_4d_same_uid", timepoint=2)
    write(result, path)

    assert errors_of(path) == []
    check_world(path, balls, counts_of(result))
    (series,) = pydicom.dcmread(path).ReferencedSeriesSequence
    assert len(series.ReferencedInstanceSequence) == result.labels.shape[2]


@pytest.mark.parametrize(
    "name", ["06_jitter", "15_instance_reversed", "24_big_endian", "25_deflated", "28_j2k", "42_sagittal"]
)
def test_other_sound_series(name, bad, segmented, errors_of, path):
    result, balls = segmented(bad / name)
    write(result, path)

    assert errors_of(path) == []
    if name != "06_jitter":
        check_world(path, balls, counts_of(result))
    assert sum(int(values.sum()) for _, _, values in frames_of(path)) == sum(counts_of(result).values())


def test_an_empty_mask_is_valid_and_says_that_nothing_was_found(
    encoding, make_series, segmented, errors_of, path
):
    result, _ = segmented(make_series(), array=lambda volume: np.zeros(volume.shape, np.uint8))
    write(result, path, encoding=encoding)

    assert errors_of(path) == (DCIODVFY_2022_ON_LABEL_MAPS if encoding == "labelmap" else [])
    assert not any(values.any() for _, _, values in frames_of(path))
    assert {d.segment_label for d in descriptions(path)} == {"brain", "lesion"}


def descriptions(path):
    segmentation = hd.seg.segread(path)
    return [segmentation.get_segment_description(number) for number in segmentation.segment_numbers if number]


def test_an_absent_label_keeps_its_segment(encoding, make_series, segmented, errors_of, dcmqi_segments, path):
    result, _ = segmented(make_series(), array=lambda volume: np.full(volume.shape, 2, np.uint8))
    write(result, path, encoding=encoding)

    assert errors_of(path) == (DCIODVFY_2022_ON_LABEL_MAPS if encoding == "labelmap" else [])
    assert [d.segment_number for d in descriptions(path)] == [1, 2]
    found = dcmqi_segments(path)
    assert len(found[2]) == result.labels.array.size
    assert not len(found.get(1, []))


def test_segments_carry_the_models_terms_and_colours(make_series, segmented, dcmqi, tmp_path, path):
    result, _ = segmented(make_series())
    write(result, path)
    brain, lesion = descriptions(path)

    assert brain.segmented_property_type == hd.sr.CodedConcept("12738006", "SCT", "Brain")
    assert brain.segmented_property_category.value == "123037004"
    assert lesion.segmented_property_type.value == "52988006"
    assert [d.algorithm_type.value for d in (brain, lesion)] == ["AUTOMATIC"] * 2
    for description, rgb in ((brain, (0xE8, 0x55, 0x4E)), (lesion, (0x10, 0xC0, 0xFF))):
        stored = hd.color.CIELabColor.from_dicom_value(description.RecommendedDisplayCIELabValue)
        np.testing.assert_allclose(stored.to_rgb(), rgb, atol=1)


def test_a_label_without_terms_gets_its_name_as_a_local_one(make_series, segmented, errors_of, path):
    plain = (
        Label(value=0, name="background", colour="#000000"),
        Label(value=4, name="µ-thing", colour="#ffffff"),
    )
    result, _ = segmented(
        make_series(), classes=plain, array=lambda volume: np.full(volume.shape, 4, np.uint8)
    )
    write(result, path)

    assert errors_of(path) == []
    (description,) = descriptions(path)
    assert description.segmented_property_type == hd.sr.CodedConcept("label-4", "99MEDSEG", "µ-thing")
    assert description.segment_number == 1


@pytest.mark.parametrize("encoding", ["binary", "labelmap"])
def test_three_hundred_labels(encoding, make_series, segmented, path):
    classes = tuple(Label(value=3 * n, name=f"part {n}", colour="#123456") for n in range(301))
    parts = lambda volume: 3 * (np.arange(volume.array.size) % 301).reshape(volume.shape)  # noqa: E731
    result, _ = segmented(make_series(), classes=classes, array=parts)
    write(result, path, encoding=encoding)

    segmentation = hd.seg.segread(path)
    assert segmentation.segment_numbers == list(range(1, 301))
    back = segmentation.get_volume(combine_segments=True)
    assert np.array_equal(
        3 * back.array[::-1].T if back.affine[2, 0] < 0 else 3 * back.array.T, result.labels.array
    )


def test_images_without_anything_are_left_out(make_series, segmented, path):
    def one_slice(volume):
        labels = np.zeros(volume.shape, np.uint8)
        labels[3:9, 4:8, 5] = 1
        return labels

    result, _ = segmented(make_series(), array=one_slice)
    write(result, path)
    assert len(list(frames_of(path))) == 1


def test_the_real_series_opens_in_the_right_place(samples, segmented, errors_of, dcmqi_segments, path):
    def bright(volume):
        return (volume.array > np.percentile(volume.array, 80)).astype(np.uint8)

    folder = samples / "head_pd_raw"
    result, _ = segmented(folder, array=bright)
    write(result, path)
    assert errors_of(path) == []

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

    # dcmqi, in the world: within the scanner's unevenness of 0.1 mm.
    points = dcmqi_segments(path)[1]
    index = (points - result.labels.affine[:3, 3]) @ np.linalg.inv(result.labels.affine[:3, :3]).T
    np.testing.assert_allclose((index - np.rint(index)) * result.labels.spacing_mm, 0, atol=0.1)
    mask = np.zeros(result.labels.shape, bool)
    mask[tuple(np.rint(index).astype(int).T)] = True
    assert np.array_equal(mask, result.labels.array == 1)


def test_a_lossy_source_is_said_to_be_one(make_series, segmented, errors_of, path):
    def lossy(dataset, number):
        dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", "12.5"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"

    result, _ = segmented(make_series(edit=lossy))
    write(result, path)

    dataset = pydicom.dcmread(path)
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionRatio) == ("01", 12.5)
    assert errors_of(path) == []


def test_the_same_result_has_the_same_uids_and_another_has_others(encoding, make_series, segmented, tmp_path):
    result, _ = segmented(make_series())
    other = replace(result, provenance={**result.provenance, "seconds": {"network": 1.5}})

    def uids(result, name):
        write(result, tmp_path / name, encoding=encoding)
        dataset = pydicom.dcmread(tmp_path / name)
        return dataset.SOPInstanceUID, dataset.SeriesInstanceUID

    assert uids(result, "a.dcm") == uids(result, "b.dcm")
    assert not set(uids(result, "a.dcm")) & set(uids(other, "c.dcm"))


def test_a_series_in_several_multi_frame_files_is_refused(
    make_enhanced, make_series, segmented, tmp_path, path
):
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


def test_a_model_without_classes_is_refused(make_series, segmented, path):
    result, _ = segmented(make_series())
    with pytest.raises(VolumeError, match="no class but the background"):
        write(replace(result, classes=result.classes[:1]), path)


def test_a_folder_that_is_not_there_is_a_sentence(make_series, segmented, tmp_path):
    result, _ = segmented(make_series())
    with pytest.raises(ResourceError, match="the folder does not exist"):
        write(result, tmp_path / "nowhere" / "case.seg.dcm")
