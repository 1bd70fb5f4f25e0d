"""Structure sets: valid, and the same pixels when their contours are filled again."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from matplotlib.path import Path
from medseg_dicom.export_rtstruct import write

from medseg.errors import VolumeError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "case.rtstruct.dcm"


def fill(path, images):
    """(N, R, C) of ROI numbers from contours alone: patient coordinates to pixels, then even and odd."""
    structures = pydicom.dcmread(path)
    uids = [image.SOPInstanceUID for image in images]
    filled = np.zeros((len(images), images[0].Rows, images[0].Columns), np.uint8)
    centres = np.indices(filled.shape[1:]).reshape(2, -1).T
    for region in structures.ROIContourSequence:
        for contour in region.get("ContourSequence", []):
            index = uids.index(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)
            points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
            corners, away = to_pixels(points, images[index])
            assert np.abs(away).max() < 1e-3
            inside = Path(np.vstack([corners, corners[:1]]), closed=True).contains_points(centres)
            filled[index][inside.reshape(filled.shape[1:])] += int(region.ReferencedROINumber)
    return filled


def to_pixels(points, image):
    """(N, 2) rows and columns, and (N,) mm away from the image's plane."""
    row, column = np.reshape(image.ImageOrientationPatient, (2, 3)).astype(float)
    down, across = map(float, image.PixelSpacing)
    offset = points - np.array(image.ImagePositionPatient, float)
    return np.stack([offset @ column / down, offset @ row / across], axis=1), offset @ np.cross(row, column)


def images_of(folder):
    images = [pydicom.dcmread(file) for file in folder.iterdir()]
    return sorted(images, key=lambda image: image.InstanceNumber)


@pytest.mark.parametrize("turned", [False, True], ids=["axial", "oblique"])
def test_it_is_valid_and_its_contours_hold_the_voxels_of_the_label_map(
    turned, oblique, make_series, segmented, errors_of, path
):
    folder = make_series(**(oblique if turned else {}))
    result, _ = segmented(folder)
    write(result, path)

    assert errors_of(path) == []
    assert np.array_equal(fill(path, images_of(folder)), result.labels.array.T)


def test_a_tilted_series_gets_contours_on_its_own_slices(make_series, segmented, errors_of, path):
    folder = make_series(shear=(0.0, 1.1, 0.0))
    result, balls = segmented(folder, tilt="resample")
    write(result, path)

    assert errors_of(path) == []
    filled = fill(path, images_of(folder))
    for image, pixels in zip(images_of(folder), filled, strict=True):
        i, j = np.meshgrid(np.arange(image.Columns), np.arange(image.Rows))
        lps = np.array(image.ImagePositionPatient, float) + np.stack([i * 1.5, j * 1.25, 0 * i], axis=-1)
        world = lps * [-1, -1, 1]
        certain = balls.certain(world, np.hypot(1.5, 1.25) / 2)
        assert np.array_equal(pixels[certain], balls(world)[certain])


def test_a_multi_frame_source_is_referred_to_by_frame(make_enhanced, segmented, errors_of, path):
    source = make_enhanced(order=[3, 0, 7, 1, 6, 2, 5, 4])
    result, _ = segmented(source)
    write(result, path)

    assert errors_of(path) == []
    image = pydicom.dcmread(source)
    for contour in pydicom.dcmread(path).ROIContourSequence[0].ContourSequence:
        (reference,) = contour.ContourImageSequence
        group = image.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        assert contour.ContourData[2] == group.PlanePositionSequence[0].ImagePositionPatient[2]


def test_regions_have_names_colours_and_terms(make_series, segmented, path):
    write(segmented(make_series())[0], path)
    structures = pydicom.dcmread(path)

    assert [region.ROIName for region in structures.StructureSetROISequence] == ["brain", "lesion"]
    assert [list(region.ROIDisplayColor) for region in structures.ROIContourSequence] == [
        [0xE8, 0x55, 0x4E],
        [0x10, 0xC0, 0xFF],
    ]
    codes = [o.RTROIIdentificationCodeSequence[0].CodeValue for o in structures.RTROIObservationsSequence]
    assert codes == ["12738006", "52988006"]


def test_a_label_with_a_hole_and_one_that_is_absent(make_series, segmented, errors_of, path):
    def ring(volume):
        labels = np.zeros(volume.shape, np.uint8)
        labels[3:15, 3:13, 2:6] = 1
        labels[6:12, 6:10, 2:6] = 0
        return labels

    folder = make_series()
    result, _ = segmented(folder, array=ring)
    write(result, path)

    assert errors_of(path) == []
    assert np.array_equal(fill(path, images_of(folder)), result.labels.array.T)
    assert "ContourSequence" not in pydicom.dcmread(path).ROIContourSequence[1]


def test_an_empty_mask_is_valid(make_series, segmented, errors_of, path):
    result, _ = segmented(make_series(), array=lambda volume: np.zeros(volume.shape, np.uint8))
    write(result, path)
    assert errors_of(path) == []


def test_a_contour_of_more_than_64_kib_is_whole(make_series, segmented, errors_of, path):
    def comb(volume):
        labels = np.zeros(volume.shape, np.uint8)
        labels[::2, 1:] = 1
        labels[:, 0] = 1
        return labels

    folder = make_series(size=(12, 1600), count=2)
    result, _ = segmented(folder, array=comb)
    write(result, path)

    assert errors_of(path) == []
    contour = pydicom.dcmread(path).ROIContourSequence[0].ContourSequence[0]
    assert len("\\".join(map(str, contour.ContourData))) > 0xFFFF
    assert len(contour.ContourData) == 3 * contour.NumberOfContourPoints
    assert np.array_equal(fill(path, images_of(folder)), result.labels.array.T)


def test_a_model_without_classes_is_refused(make_series, segmented, path):
    result, _ = segmented(make_series())
    with pytest.raises(VolumeError, match="nothing to outline"):
        write(replace(result, classes=result.classes[:1]), path)
