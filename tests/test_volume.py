"""Volume and Grid: what they hold, refuse and say, axis codes against nibabel's."""

import dataclasses
import itertools

import nibabel
import numpy as np
import pytest
from nibabel.orientations import io_orientation

from medseg.errors import VolumeError
from medseg.volume import Grid, Volume, corner_distance_mm, nearest_axes, smallest_integer_type

EYE = np.eye(4)


def turn(axis, degrees):
    """A rotation about one world axis (3, 3)."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.eye(3)
    i, j = (a for a in range(3) if a != axis)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def affine_of(linear, origin=(0, 0, 0)):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, origin
    return affine


def test_arrays_cannot_be_changed_through_the_volume():
    affine = np.eye(4)
    volume = Volume(np.zeros((2, 3, 4), np.float32), affine)
    affine[0, 0] = 9
    assert volume.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        volume.kind = "labels"


def test_the_caller_may_still_write_to_the_array_that_was_given():
    array = np.zeros((2, 3, 4), np.float32)
    Volume(array, EYE)
    array[0, 0, 0] = 1
    assert array.flags.writeable


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((2, 2)), "three axes"),
        (np.zeros((2, 2, 2, 1)), "three axes"),
        (np.zeros((2, 0, 2)), "three axes"),
        (np.zeros((2, 2, 2), complex), "real numbers; got complex128"),
        (np.zeros((2, 2, 2), object), "real numbers; got object"),
    ],
)
def test_what_is_no_volume_is_refused(array, reason):
    with pytest.raises(VolumeError, match=reason):
        Volume(array, EYE)


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(VolumeError, match="'image' or 'labels'; got 'label'"):
        Volume(np.zeros((1, 1, 1)), EYE, "label")


@pytest.mark.parametrize(
    ("affine", "reason"),
    [
        (np.eye(3), "4 x 4"),
        (np.diag([1, 1, np.nan, 1]), "finite"),
        (np.diag([1, 1, 1, 2.0]), "last row"),
        (np.diag([1, 1, 0, 1.0]), "singular"),
        (affine_of([[1, 2, 0], [1, 2, 0], [0, 0, 1]]), "singular"),
    ],
)
def test_an_affine_that_places_nothing_is_refused(affine, reason):
    with pytest.raises(VolumeError, match=reason):
        Volume(np.zeros((2, 2, 2)), affine)


def test_micrometre_and_very_unequal_spacings_are_not_singular():
    assert Grid((2, 2, 2), np.diag([2e-4, 2e-4, 2e-4, 1])).spacing_mm == (2e-4, 2e-4, 2e-4)
    assert Grid((2, 2, 2), np.diag([1e-3, 1, 1e3, 1])).voxel_ml == pytest.approx(1e-3)


@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i2", "<f4", ">f8", "f2", "i8"])
def test_labels_keep_or_get_an_integer_type(dtype):
    labels = Volume(np.array([[[0, 1]]], dtype), EYE, "labels")
    assert labels.array.dtype.kind in "iu"
    assert labels.array.ravel().tolist() == [0, 1]


def test_large_integer_labels_stay_exact():
    assert Volume(np.array([[[2**40 + 1]]]), EYE, "labels").array[0, 0, 0] == 2**40 + 1
    assert Volume(np.array([[[2**53 - 1.0]]]), EYE, "labels").array[0, 0, 0] == 2**53 - 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([0.5, 1]), "1 voxels do not, such as 0.5"),
        (np.array([np.nan, 1]), "such as nan"),
        (np.array([np.inf, 1]), "such as inf"),
        (np.array([-1, 1]), "from 0 .* up; found -1"),
        (np.array([-1e300, 1]), "from 0 .* up; found -1e"),
        (np.array([2.0**24], np.float32), "too large to be exact in float32"),
        (np.array([2048], np.float16), "too large to be exact in float16"),
        (np.array([2.0**53]), "too large to be exact in float64"),
    ],
)
def test_labels_that_are_no_exact_whole_numbers_are_refused(values, reason):
    with pytest.raises(VolumeError, match=reason):
        Volume(values.reshape(1, 1, -1), EYE, "labels")


def test_spacing_voxel_size_and_axis_codes_agree_with_nibabel():
    rng = np.random.default_rng(0)
    for _ in range(200):
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        shear = np.eye(3) + rng.normal(size=(3, 3)) * rng.choice([0, 0.2])
        affine = affine_of(rotation @ shear * 10 ** rng.uniform(-2, 2, 3), rng.normal(size=3))
        grid = Grid((3, 4, 5), affine)
        assert grid.orientation == "".join(nibabel.aff2axcodes(affine))
        np.testing.assert_allclose(grid.spacing_mm, nibabel.affines.voxel_sizes(affine), rtol=1e-12)
        assert grid.voxel_ml == pytest.approx(abs(np.linalg.det(affine[:3, :3])) / 1000)
        assert [tuple(row) for row in io_orientation(affine).astype(int)] == nearest_axes(affine)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("degrees", [45, -45, 135, 44.999, 45.001])
def test_at_45_degrees_a_permuted_and_flipped_affine_has_the_permuted_and_flipped_codes(axis, degrees):
    affine = turn(axis, degrees)
    codes = Grid((1, 1, 1), affine_of(affine)).orientation
    opposite = dict(zip("LRPAIS", "RLAPSI", strict=True))
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turned = Grid((1, 1, 1), affine_of(affine[:, order] * signs)).orientation
            expected = [
                codes[a] if sign > 0 else opposite[codes[a]] for a, sign in zip(order, signs, strict=True)
            ]
            assert list(turned) == expected


def test_grids_match_by_where_their_corners_are():
    grid = Grid((100, 100, 100), EYE)
    assert grid.matches(Grid((100, 100, 100), affine_of(np.diag([1 + 1e-6, 1, 1]))))
    assert not grid.matches(Grid((100, 100, 100), affine_of(np.diag([1 + 1e-4, 1, 1]))))
    assert not grid.matches(Grid((100, 100, 99), EYE))
    tiny = np.diag([2e-4, 2e-4, 2e-4, 1])
    assert not Grid((5, 5, 5), tiny).matches(Grid((5, 5, 5), affine_of(tiny[:3, :3], (5e-4, 0, 0))))
    shifted = affine_of(np.eye(3), (3, 4, 0))
    assert corner_distance_mm(EYE, shifted, (2, 2, 2)) == pytest.approx(5)


def test_other_values_must_have_the_grids_shape():
    volume = Volume(np.zeros((2, 3, 4)), EYE)
    assert volume.with_array(np.ones((2, 3, 4), bool), kind="labels").kind == "labels"
    with pytest.raises(VolumeError, match=r"shape \(2, 3, 4\), got \(4, 3, 2\)"):
        volume.with_array(np.zeros((4, 3, 2)))


def test_notes_are_added_and_kept():
    assert Volume(np.zeros((1, 1, 1)), EYE).with_notes("a").with_notes("b").notes == ("a", "b")


@pytest.mark.parametrize(
    ("largest", "kind"), [(255, np.uint8), (256, np.uint16), (65536, np.int32), (2**31, np.int64)]
)
def test_the_smallest_type_that_holds_a_label(largest, kind):
    assert smallest_integer_type(largest) is kind


def test_a_volume_says_what_it_is_in_one_line():
    volume = Volume(np.zeros((4, 5, 6), np.uint8), np.diag([-2.0, 2, 3, 1]), "labels")
    assert repr(volume) == "<Volume labels uint8, 4 x 5 x 6 voxels of 2 x 2 x 3 mm, LAS>"
