"""Segmentations: valid, in the right place, the same voxels back in other systems."""

import json
from dataclasses import replace

import highdicom as hd
import numpy as np
import pydicom
import pytest
from medseg_dicom.export_seg import write

from medseg.errors import ResourceError, VolumeError
from medseg.geometry import crop
from medseg.plugin import Label
from medseg.volume import Volume


@pytest.fixture
def path(tmp_path):
    return tmp_path / "case.seg.dcm"


def test_it_is_valid(encoding, make_series, segmented, check_valid, path):
    result, _ = segmented(make_series())
    write(result, path, encoding=encoding)
    check_valid(path, encoding)


def test_every_pixel_is_where_it_was_segmented(encoding, oblique, make_series, segmented, check_world, path):
    result, balls = segmented(make_series(**oblique))
    write(result, path, encoding=encoding)
    check_world(path, balls, result)


def test_highdicom_reads_the_same_voxels_back(encoding, oblique, make_series, segmented, path):
    folder = make_series(**oblique)
    result, _ = segmented(folder)
    write(result, path, encoding=encoding)

    source = hd.get_volume_from_series([pydicom.dcmread(file) for file in folder.iterdir()])
    back = hd.seg.segread(path).get_volume(combine_segments=True).match_geometry(source)
    ras = np.diag([-1, -1, 1, 1]) @ back.affine
    index = np.linalg.inv(result.labels.affine) @ ras
    places = np.rint(np.moveaxis(np.indices(back.shape), 0, -1) @ index[:3, :3].T + index[:3, 3]).astype(int)
    assert np.array_equal(back.array, result.labels.array[tuple(np.moveaxis(places, -1, 0))])
    assert back.array.size == result.labels.array.size


def test_dcmqi_reads_the_same_voxels_back(encoding, oblique, make_series, segmented, dcmqi_segments, path):
    result, _ = segmented(make_series(**oblique))
    write(result, path, encoding=encoding)
    found = dcmqi_segments(path)

    places = np.linalg.inv(result.labels.affine)
    back = np.zeros(result.labels.shape, np.uint8)
    for number, points in found.items():
        index = points @ places[:3, :3].T + places[:3, 3]
        np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
        back[tuple(np.rint(index).astype(int).T)] = number
    assert np.array_equal(back, result.labels.array)


def with_probabilities(result, balls):
    """Probabilities that fall off about the balls, so that every fraction occurs."""
    affine = result.labels.affine
    world = np.moveaxis(np.indices(result.labels.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    values = {
        label: 1 / (1 + np.exp(np.linalg.norm(world - centre, axis=-1) - radius))
        for label, (centre, radius) in balls.spheres.items()
    }
    volumes = {
        label: Volume(array.astype(np.float32), result.labels.affine, "image")
        for label, array in values.items()
    }
    return replace(result, probabilities=volumes)


def test_fractions_are_the_probabilities_where_the_result_carries_them(
    oblique, make_series, segmented, check_valid, frames_of, dcmqi, tmp_path, path
):
    result, balls = segmented(make_series(**oblique))
    result = with_probabilities(result, balls)
    write(result, path, encoding="fractional")

    check_valid(path, "fractional")
    segmentation = hd.seg.segread(path)
    assert segmentation.SegmentationFractionalType == "PROBABILITY"
    seen = dict.fromkeys(balls.spheres, 0)
    for number, world, values in frames_of(path):
        centre, radius = balls.spheres[number]
        truth = 1 / (1 + np.exp(np.linalg.norm(world - centre, axis=-1) - radius))
        np.testing.assert_allclose(values / 255, truth, atol=0.5 / 255 + 1e-6)
        seen[number] += np.count_nonzero(values)
    assert seen == {
        label: np.count_nonzero(np.rint(255 * volume.array)) for label, volume in result.probabilities.items()
    }
    dcmqi("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", tmp_path, "--prefix", "s")


def test_probabilities_change_nothing_but_fractions(make_series, segmented, tmp_path):
    result, balls = segmented(make_series())
    for kind in ("binary", "labelmap"):
        write(result, tmp_path / "without.dcm", encoding=kind)
        write(with_probabilities(result, balls), tmp_path / "with.dcm", encoding=kind)
        a, b = (pydicom.dcmread(tmp_path / name).PixelData for name in ("without.dcm", "with.dcm"))
        assert a == b


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: {1: p[1]}, r"no probabilities of label 2 \(lesion\)"),
        (lambda p: {**p, 1: p[1].with_array(p[1].array * 3)}, "label 1 reach from .* to .*; wanted 0 to 1"),
        (lambda p: {**p, 1: p[1].with_array(p[1].array * np.nan)}, "label 1 reach from nan to nan"),
        (lambda p: {**p, 2: crop(p[2], (0, 0, 0), (5, 5, 5))[0]}, "label 2 are on another grid"),
    ],
)
def test_probabilities_that_are_none_are_refused(change, sentence, make_series, segmented, path):
    result, balls = segmented(make_series())
    result = with_probabilities(result, balls)
    with pytest.raises(VolumeError, match=sentence):
        write(replace(result, probabilities=change(result.probabilities)), path, encoding="fractional")


def test_an_empty_mask_is_valid_and_says_that_nothing_was_found(
    encoding, make_series, segmented, check_valid, frames_of, path
):
    result, _ = segmented(make_series(), array=lambda volume: np.zeros(volume.shape, np.uint8))
    write(result, path, encoding=encoding)

    check_valid(path, encoding)
    assert not any(values.any() for _, _, values in frames_of(path))
    assert {d.segment_label for d in descriptions(path)} == {"brain", "lesion"}


def descriptions(path):
    segmentation = hd.seg.segread(path)
    return [segmentation.get_segment_description(number) for number in segmentation.segment_numbers if number]


def test_an_absent_label_keeps_its_segment(
    encoding, make_series, segmented, dcmqi_segments, check_valid, path
):
    result, _ = segmented(make_series(), array=lambda volume: np.full(volume.shape, 2, np.uint8))
    write(result, path, encoding=encoding)

    check_valid(path, encoding)
    assert [d.segment_number for d in descriptions(path)] == [1, 2]
    found = dcmqi_segments(path)
    assert len(found[2]) == result.labels.array.size
    assert not len(found.get(1, []))


def test_dcmqi_reads_the_models_terms_and_colours(make_series, segmented, dcmqi, tmp_path, path):
    result, _ = segmented(make_series())
    write(result, path)
    dcmqi("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", tmp_path, "--prefix", "s")

    groups = json.loads((tmp_path / "s-meta.json").read_text())["segmentAttributes"]
    (brain,), (lesion,) = groups
    for segment, label in ((brain, result.classes[1]), (lesion, result.classes[2])):
        assert segment["SegmentLabel"] == label.name
        assert segment["SegmentAlgorithmType"] == "AUTOMATIC"
        for keyword, code in (("Category", label.category), ("Type", label.type)):
            assert segment[f"SegmentedProperty{keyword}CodeSequence"] == {
                "CodeValue": code.value,
                "CodingSchemeDesignator": code.scheme,
                "CodeMeaning": code.meaning,
            }
        rgb = bytes.fromhex(label.colour[1:])
        np.testing.assert_allclose(segment["recommendedDisplayRGBValue"], list(rgb), atol=1)


def test_a_label_without_terms_gets_its_name_as_a_local_one(make_series, segmented, check_valid, path):
    plain = (
        Label(value=0, name="background", colour="#000000"),
        Label(value=4, name="µ-thing", colour="#ffffff"),
    )
    result, _ = segmented(
        make_series(), classes=plain, array=lambda volume: np.full(volume.shape, 4, np.uint8)
    )
    write(result, path)

    check_valid(path)
    (description,) = descriptions(path)
    assert description.segmented_property_type == hd.sr.CodedConcept("label-4", "99MEDSEG", "µ-thing")
    assert description.segment_number == 1


@pytest.mark.parametrize("encoding", ["binary", "labelmap"])
def test_three_hundred_labels(encoding, make_series, segmented, path):
    classes = tuple(Label(value=3 * n, name=f"part {n}", colour="#123456") for n in range(301))
    result, _ = segmented(
        make_series(),
        classes=classes,
        array=lambda volume: 3 * (np.arange(volume.array.size) % 301).reshape(volume.shape),
    )
    write(result, path, encoding=encoding)

    segmentation = hd.seg.segread(path)
    assert segmentation.segment_numbers == list(range(1, 301))
    back = segmentation.get_volume(combine_segments=True)
    upwards = 1 if back.affine[2, 0] > 0 else -1
    assert np.array_equal(3 * back.array[::upwards].T, result.labels.array)


def test_images_without_anything_are_left_out(make_series, segmented, frames_of, path):
    def one_slice(volume):
        labels = np.zeros(volume.shape, np.uint8)
        labels[3:9, 4:8, 5] = 1
        return labels

    result, _ = segmented(make_series(), array=one_slice)
    write(result, path)
    assert len(list(frames_of(path))) == 1


def test_the_same_result_has_the_same_uids_and_another_has_others(encoding, make_series, segmented, tmp_path):
    result, _ = segmented(make_series())
    other = replace(result, provenance={**result.provenance, "seconds": {"network": 1.5}})

    def uids(result, name):
        write(result, tmp_path / name, encoding=encoding)
        dataset = pydicom.dcmread(tmp_path / name)
        return dataset.SOPInstanceUID, dataset.SeriesInstanceUID

    assert uids(result, "a.dcm") == uids(result, "b.dcm")
    assert not set(uids(result, "a.dcm")) & set(uids(other, "c.dcm"))


def test_a_model_without_classes_is_refused(make_series, segmented, path):
    result, _ = segmented(make_series())
    with pytest.raises(VolumeError, match="no class but the background"):
        write(replace(result, classes=result.classes[:1]), path)


def test_a_folder_that_is_not_there_is_a_sentence(make_series, segmented, tmp_path):
    result, _ = segmented(make_series())
    with pytest.raises(ResourceError, match="the folder does not exist"):
        write(result, tmp_path / "nowhere" / "case.seg.dcm")
