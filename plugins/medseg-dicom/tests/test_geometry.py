"""Every voxel is where it was scanned, whatever the orientation and the order of the slices."""

import itertools

import numpy as np
import pytest
from medseg_dicom.reader import read

from medseg.errors import VolumeError

AXES = [np.array(axis, float) for axis in itertools.product((-1, 0, 1), repeat=3) if np.abs(axis).sum() == 1]
PLANES = [(row, column) for row in AXES for column in AXES if row @ column == 0]


@pytest.mark.parametrize("acquired", [1, -1], ids=["ascending", "descending"])
@pytest.mark.parametrize(
    ("row", "column"), PLANES, ids=[f"{r.astype(int)}{c.astype(int)}" for r, c in PLANES]
)
def test_all_48_orientations_are_right_in_the_world(make_series, read_world, row, column, acquired):
    volume = read_world(
        make_series(along_row=row, along_column=column, gap=acquired * 3.0, origin=(5, -4, 7))
    )
    assert volume.spacing_mm == pytest.approx((1.5, 1.25, 3))
    assert np.linalg.det(volume.affine[:3, :3]) > 0


def test_there_are_24_planes_so_48_orientations():
    assert len(PLANES) == 24


@pytest.fixture(scope="module")
def oblique():
    angles = np.cos([0.3, 0.2]), np.sin([0.3, 0.2])
    (c1, c2), (s1, s2) = angles
    rotation = np.array([[c1, -s1, 0], [s1, c1, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, c2, -s2], [0, s2, c2]]
    return {"along_row": rotation[:, 0], "along_column": rotation[:, 1]}


def test_a_double_oblique_stack_is_right_in_the_world(make_series, read_world, oblique):
    read_world(make_series(**oblique))


def test_the_first_axis_runs_along_columns_the_second_along_rows(make_series):
    volume = read(make_series(origin=(-15, -10, -12)))
    assert volume.shape == (20, 16, 8)
    assert volume.affine[:3].tolist() == [[-1.5, 0, 0, 15], [0, -1.25, 0, 10], [0, 0, 3, -12]]


def test_place_and_values_are_those_that_simpleitk_finds(make_series, oblique):
    import SimpleITK as sitk  # noqa: N813  # the name in its documentation

    folder = make_series(**oblique)
    theirs = sitk.ReadImage([str(path) for path in sorted(folder.iterdir())])
    volume = read(folder)
    assert np.array_equal(sitk.GetArrayFromImage(theirs).T, volume.array)
    lps = np.diag([-1, -1, 1, 1]) @ volume.affine
    assert np.allclose(lps[:3, 3], theirs.GetOrigin(), atol=1e-6)
    assert np.allclose(
        lps[:3, :3], np.reshape(theirs.GetDirection(), (3, 3)) * theirs.GetSpacing(), atol=1e-6
    )


TILT = (0.0, 3 * np.tan(np.radians(20)), 0.0)


@pytest.mark.parametrize("shear", [TILT, (0.7, -1.1, 0.0)], ids=["gantry", "both axes"])
def test_a_leaning_stack_is_straightened_only_if_that_is_allowed(make_series, wrong_by, shear):
    folder = make_series(shear=shear)
    with pytest.raises(VolumeError, match=r"tilt \d+\.\d degrees.*--allow tilt=resample"):
        read(folder)
    volume = read(folder, tilt="resample")
    assert "resampled onto a straight grid as you allowed" in " ".join(volume.notes)
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    assert np.allclose(axes.T @ axes, np.eye(3))
    measured = volume.array != -1000
    assert measured.sum() > 0.8 * 20 * 16 * 8
    ours = volume.with_array(np.where(measured, volume.array, _field(volume)).astype(np.float32))
    assert wrong_by(ours) <= 1


def _field(volume):
    index = np.indices(volume.shape).reshape(3, -1)
    x, y, z = volume.affine[:3, :3] @ index + volume.affine[:3, 3:]
    return (-8 * x - 12 * y + 20 * z).reshape(volume.shape)


def test_a_drift_below_a_quarter_pixel_is_noted(make_series):
    volume = read(make_series(shear=(0.03, 0, 0)))
    assert any("leans by 0.21 mm" in note for note in volume.notes)


@pytest.mark.parametrize("gone", [[4], [2, 5], [3, 4]], ids=str)
def test_missing_slices_are_interpolated_only_if_that_is_allowed(make_series, read_world, gone):
    folder = make_series()
    for number in gone:
        (folder / f"IM{number:03d}.dcm").unlink()
    with pytest.raises(VolumeError, match=rf"{len(gone)} slices? (is|are) missing.*--allow gaps=resample"):
        read(folder)
    volume = read_world(folder, gaps="resample")
    assert volume.shape == (20, 16, 8)
    assert "8 slices every 3 mm were interpolated" in " ".join(volume.notes)


def test_uneven_gaps_are_listed(make_series, read_world):
    def move(dataset, number):
        dataset.ImagePositionPatient[2] = -12 + 3 * number + max(0, number - 4) * 1.3

    folder = make_series(edit=move)
    with pytest.raises(VolumeError, match=r"uneven: 3 mm \(4 times\), 4\.3 mm \(3 times\)"):
        read(folder)


def test_gaps_that_hide_more_than_they_show_are_not_filled(make_series):
    folder = make_series(count=40)
    for number in range(3, 38):
        (folder / f"IM{number:03d}.dcm").unlink()
    with pytest.raises(VolumeError, match="more slices are missing than there are"):
        read(folder, gaps="resample")


def test_a_missing_slice_of_a_leaning_stack_is_right_in_the_world(make_series, wrong_by):
    folder = make_series(shear=TILT)
    (folder / "IM003.dcm").unlink()
    volume = read(folder, gaps="resample", tilt="resample")
    measured = volume.array != -1000
    assert wrong_by(volume.with_array(np.where(measured, volume.array, _field(volume)))) <= 1


def test_small_deviations_that_add_up_are_refused(make_series):
    def creep(dataset, number):
        dataset.ImagePositionPatient[2] = -12 + 3 * number + (number >= 20) * (number - 20) * 0.05

    with pytest.raises(VolumeError, match="uneven"):
        read(make_series(count=40, edit=creep, size=(4, 4)))


def test_one_slice_that_stands_aside_is_refused(make_series):
    def push(dataset, number):
        if number == 3:
            dataset.ImagePositionPatient[0] += 1.0

    with pytest.raises(VolumeError, match=r"IM003\.dcm stands .* mm beside the line"):
        read(make_series(edit=push))
