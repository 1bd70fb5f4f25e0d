"""Geometry: against nibabel, SimpleITK and scipy on the same data, and every undo."""

import itertools

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  # its own documentation calls it so
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medseg.errors import OptionError, VolumeError
from medseg.geometry import (
    crop,
    fit,
    pad,
    parse_orientation,
    reorient,
    resample,
    resample_to,
    within_balls,
)
from medseg.volume import Grid, Volume

ORIENTATIONS = [
    "".join(letters)
    for pairs in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*pairs)
]
LPS = np.diag([-1.0, -1, 1, 1])  # RAS+ to ITK's LPS+ and back
ITK_METHOD = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline3}


def affine_of(linear, origin=(0, 0, 0)):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, origin
    return affine


def oblique(degrees=(10, -20, 30), spacing=(0.9, 1.1, 2.5), origin=(-20, 15, 7)):
    return affine_of(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() * spacing, origin)


def noise(shape=(5, 6, 7), dtype=np.float32, affine=None, seed=0):
    values = np.random.default_rng(seed).normal(100, 30, shape).astype(dtype)
    return Volume(values, oblique() if affine is None else affine)


def blobs(shape, affine):
    """Smooth, so that interpolators agree on it, and asymmetric."""
    values = np.random.default_rng(1).normal(size=shape)
    return Volume(ndimage.gaussian_filter(values, 1.5).astype(np.float32) * 100, affine)


def to_itk(volume):
    """The same image for SimpleITK, which keeps arrays as (k, j, i) in a world of LPS+."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.T))
    affine = LPS @ volume.affine
    image.SetSpacing(volume.spacing_mm)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / volume.spacing_mm).ravel().tolist())
    return image


def itk_resampled(volume, grid, how, outside=0.0):
    frame = to_itk(Volume(np.zeros(grid.shape, np.uint8), grid.affine))
    image = sitk.Resample(to_itk(volume), frame, sitk.Transform(), ITK_METHOD[how], outside)
    return sitk.GetArrayFromImage(image).T


def centres_mm(volume):
    """World position of every voxel, with its value: what no reorientation may change."""
    index = np.indices(volume.shape).reshape(3, -1)
    return {
        tuple(np.round(p, 6) + 0.0): value
        for p, value in zip(
            (volume.affine[:3, :3] @ index + volume.affine[:3, 3:]).T, volume.array.ravel(), strict=True
        )
    }


# --- reorient ---------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ORIENTATIONS)
def test_reorienting_to_each_of_the_48_orientations_is_nibabels(wanted):
    volume = noise()
    image = nibabel.Nifti1Image(volume.array, volume.affine)
    turn = ornt_transform(io_orientation(volume.affine), axcodes2ornt(wanted))
    expected = image.as_reoriented(turn)

    turned, undo = reorient(volume, wanted)

    np.testing.assert_array_equal(turned.array, np.asanyarray(expected.dataobj))
    np.testing.assert_allclose(turned.affine, expected.affine, atol=1e-12)
    assert turned.orientation == wanted
    back = undo(turned)
    np.testing.assert_array_equal(back.array, volume.array)
    np.testing.assert_array_equal(back.affine, volume.affine)


@pytest.mark.parametrize("stored", ORIENTATIONS)
def test_a_volume_stored_in_any_of_the_48_orientations_becomes_nibabels_canonical_one(stored):
    home = noise(affine=affine_of(np.diag([1, 2, 3.0]), (5, 6, 7)))
    away = reorient(home, stored)[0]
    assert away.orientation == stored

    canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(away.array, away.affine))
    turned, undo = reorient(away, "RAS")

    np.testing.assert_array_equal(turned.array, np.asanyarray(canonical.dataobj))
    np.testing.assert_allclose(turned.affine, canonical.affine, atol=1e-12)
    np.testing.assert_array_equal(turned.array, home.array)
    np.testing.assert_array_equal(undo(turned).affine, away.affine)


def test_the_turn_matrix_is_nibabels():
    volume = noise()
    turn = ornt_transform(io_orientation(volume.affine), axcodes2ornt("SLP"))
    np.testing.assert_allclose(
        reorient(volume, "SLP")[0].affine, volume.affine @ inv_ornt_aff(turn, volume.shape), atol=1e-12
    )


@pytest.mark.parametrize("degrees", [(0, 0, 45), (45, 0, 0), (0, 45, 45), (44.9999999, 0, 0)])
def test_at_45_degrees_a_turned_volume_has_the_axis_codes_it_was_turned_to(degrees):
    volume = noise(affine=oblique(degrees, spacing=(1, 1, 1)))
    for wanted in ORIENTATIONS:
        turned, _ = reorient(volume, wanted)
        assert turned.orientation == wanted
        assert centres_mm(turned) == centres_mm(volume)


@pytest.mark.parametrize("wanted", ["", "RA", "RAA", "RLS", "ras", "XYZ", "RASR"])
def test_an_orientation_that_is_none_is_refused(wanted):
    with pytest.raises(VolumeError, match="one of each pair"):
        parse_orientation(wanted)


# --- resample onto any grid -------------------------------------------------------------------


# No voxel centre lies halfway between two, where rounding is a matter of taste.
GRIDS = {
    "finer and shifted": Grid((14, 15, 9), affine_of(np.diag([0.7, 0.8, 1.3]), (0.33, -0.41, 0.61))),
    "coarser": Grid((4, 3, 5), affine_of(np.diag([2.3, 3.1, 1.9]), (0.21, 0.11, 0.41))),
    "reaching beyond on all sides": Grid(
        (20, 22, 18), affine_of(np.diag([0.9, 0.8, 1.1]), (-3.03, -4.03, -3.03))
    ),
    "axes permuted and flipped": Grid(
        (9, 10, 11), affine_of([[0, 0, -0.8], [0.9, 0, 0], [0, -1.1, 0]], (8.33, 0.21, 9.43))
    ),
    "oblique": Grid((12, 11, 10), oblique((10, -20, 30), (0.8, 0.9, 1.2), (1, 2, -2))),
    "nearly 45 degrees": Grid((12, 11, 10), oblique((0, 0, 44.99), (0.8, 0.9, 1.2), (4, -4, 0.3))),
    "sheared": Grid((8, 8, 8), affine_of([[1, 0.3, 0], [0, 1, 0.2], [0.1, 0, 1]], (0.15, 0.25, 0.35))),
    "thin voxels": Grid((6, 5, 90), affine_of(np.diag([1.7, 2.1, 0.1]), (0.13, 0.13, 0.04))),
}


@pytest.mark.parametrize("how", ["linear", "nearest"])
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("outside", [0.0, -1000.0])
def test_resampling_onto_a_grid_is_simpleitks(name, how, outside):
    """Half-voxel edge and default value included; sheared frames are beyond ITK and go the other way."""
    volume, grid = blobs((10, 11, 12), affine_of(np.eye(3))), GRIDS[name]
    if name == "sheared":
        values = np.indices(volume.shape).astype(np.float64)
        index = grid.affine[:3, :3] @ np.indices(grid.shape).reshape(3, -1) + grid.affine[:3, 3:]
        order = {"linear": 1, "nearest": 0}[how]
        expected = ndimage.map_coordinates(
            volume.array, index if order else np.floor(index + 0.5), order=order, mode="nearest"
        ).reshape(grid.shape)
        limits = np.array(values.shape[1:])[:, None] - 0.5
        beyond = ((index < -0.5) | (index > limits)).any(axis=0).reshape(grid.shape)
        expected[beyond] = outside
    else:
        expected = itk_resampled(volume, grid, how, outside)

    moved, undo = resample_to(volume, grid, interpolation=how, outside=outside)

    np.testing.assert_allclose(moved.array, expected, atol=2e-4)
    np.testing.assert_array_equal(moved.affine, grid.affine)
    back = undo(moved)
    assert back.shape == volume.shape
    np.testing.assert_array_equal(back.affine, volume.affine)


@pytest.mark.parametrize("name", ["finer and shifted", "oblique"])
def test_an_anisotropic_oblique_source_is_resampled_as_by_simpleitk(name):
    volume = blobs((10, 11, 6), oblique((25, 10, -35), (0.5, 0.7, 3.0), (-1, 2, 0)))
    grid = GRIDS[name]
    np.testing.assert_allclose(
        resample_to(volume, grid, outside=-7)[0].array, itk_resampled(volume, grid, "linear", -7), atol=2e-4
    )


@pytest.mark.parametrize("name", ["finer and shifted", "oblique", "axes permuted and flipped"])
def test_cubic_resampling_is_simpleitks_b_spline_away_from_the_edge(name):
    """ITK mirrors the image at its border, medseg repeats the edge: they differ near it."""
    shape = (24, 25, 26)
    volume = blobs(shape, affine_of(np.eye(3), (-8, -8, -8)))
    grid = GRIDS[name]
    index = np.linalg.inv(volume.affine) @ grid.affine
    points = index[:3, :3] @ np.indices(grid.shape).reshape(3, -1) + index[:3, 3:]
    deep = ((points > 6) & (points < np.array(shape)[:, None] - 7)).all(axis=0).reshape(grid.shape)
    assert deep.sum() > 100

    moved = resample_to(volume, grid, interpolation="cubic")[0].array

    np.testing.assert_allclose(moved[deep], itk_resampled(volume, grid, "cubic")[deep], atol=0.02)


def test_resampling_onto_its_own_grid_changes_nothing():
    volume = noise()
    for how in ("nearest", "linear", "cubic"):
        np.testing.assert_array_equal(
            resample_to(volume, volume.grid, interpolation=how)[0].array, volume.array
        )


def test_a_grid_far_away_sees_nothing_but_the_outside():
    away = Grid((3, 3, 3), affine_of(np.eye(3), (500, 0, 0)))
    assert (resample_to(noise(), away, outside=-5)[0].array == -5).all()
    twisted = Grid((3, 3, 3), oblique(origin=(500, 0, 0)))
    moved = resample_to(noise(affine=np.eye(4)), twisted, outside=-5)[0]
    assert (moved.array == -5).all()


@pytest.mark.parametrize("degrees", [0, 20])
@pytest.mark.parametrize("outside", [-1, 0.5, 300, float("nan")])
def test_an_outside_that_the_type_cannot_hold_is_refused_not_wrapped(degrees, outside):
    volume = noise(dtype=np.uint8, affine=np.eye(4))
    grid = Grid((9, 9, 9), oblique((0, 0, degrees), (1, 1, 1), (0, 0, 0)))
    with pytest.raises(VolumeError, match="cannot fill uint8 voxels"):
        resample_to(volume, grid, interpolation="nearest", outside=outside)


def test_labels_are_never_mixed_whatever_was_asked():
    labels = Volume(np.array([0, 9] * 60, np.uint8).reshape(4, 5, 6), np.eye(4), "labels")
    oblique_grid = Grid((6, 6, 6), oblique((0, 0, 30), (0.6, 0.7, 0.8), (1, 1, 1)))
    for moved in (
        resample(labels, (0.3, 0.7, 1.4), interpolation="cubic")[0],
        fit(labels, (7, 3, 11), interpolation="linear")[0],
        resample_to(labels, oblique_grid, interpolation="cubic")[0],
    ):
        assert moved.array.dtype == np.uint8
        assert set(np.unique(moved.array)) <= {0, 9}


# --- resample to a spacing, fit to a shape ----------------------------------------------------


@pytest.mark.parametrize(("how", "order"), [("nearest", 0), ("linear", 1), ("cubic", 3)])
@pytest.mark.parametrize("shape", [(9, 10, 11), (20, 5, 33), (13, 14, 15), (3, 40, 6)])
def test_fitting_is_scipys_zoom_of_voxels_as_boxes(shape, how, order):
    volume = noise((13, 14, 15))
    zoom = np.array(shape) / volume.shape
    expected = ndimage.zoom(
        volume.array.astype(np.float64), zoom, order=order, mode="nearest", grid_mode=True
    )
    np.testing.assert_allclose(fit(volume, shape, interpolation=how)[0].array, expected, atol=1e-3, rtol=1e-5)


def test_fitting_keeps_the_field_of_view():
    volume = noise()
    fitted, undo = fit(volume, (8, 8, 8))
    for corner in itertools.product((0, 1), repeat=3):
        faces = [np.array(corner) * v.shape - 0.5 for v in (volume, fitted)]
        places = [
            v.affine[:3, :3] @ f + v.affine[:3, 3] for v, f in zip((volume, fitted), faces, strict=True)
        ]
        np.testing.assert_allclose(*places, atol=1e-9)
    np.testing.assert_array_equal(undo(fitted).affine, volume.affine)


def test_resampling_to_a_spacing_keeps_the_centre_and_rounds_to_whole_voxels():
    volume = noise((10, 20, 7), affine=oblique(spacing=(1, 1.5, 4)))
    moved, undo = resample(volume, (2, 1, 1.3))
    assert moved.shape == (5, 30, 22)  # 10 mm, 30 mm, 28 mm
    np.testing.assert_allclose(moved.spacing_mm, (2, 1, 1.3), rtol=1e-12)
    middles = [v.affine @ [*(np.array(v.shape) - 1) / 2, 1] for v in (volume, moved)]
    np.testing.assert_allclose(*middles, atol=1e-9)
    back = undo(moved)
    assert back.shape == volume.shape
    np.testing.assert_array_equal(back.affine, volume.affine)


def test_voxels_that_stand_out_by_rounding_take_the_edge_value():
    volume = Volume(np.full((10, 10, 10), 7, np.float32), np.eye(4))
    for how in ("nearest", "linear", "cubic"):
        moved, undo = resample(volume, (3, 6.6, 3), interpolation=how)
        np.testing.assert_allclose(moved.array, 7, rtol=1e-6)
        np.testing.assert_allclose(undo(moved).array, 7, rtol=1e-6)


def test_a_label_map_survives_a_finer_grid_and_back():
    labels = Volume(np.random.default_rng(0).integers(0, 4, (6, 7, 8)), np.eye(4), "labels")
    finer, undo = resample(labels, (0.5, 1 / 3, 0.25))
    np.testing.assert_array_equal(undo(finer).array, labels.array)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 1), (5, 1, 2)])
def test_axes_of_one_voxel_can_be_resampled_and_fitted(shape):
    volume = Volume(np.full(shape, 3, np.int16), np.diag([100, 0.1, 7, 1]))
    for moved, undo in (resample(volume, (50, 0.2, 1)), fit(volume, (2, 3, 4)), fit(volume, (1, 1, 1))):
        np.testing.assert_allclose(moved.array, 3, rtol=1e-6)
        assert undo(moved).shape == shape


@pytest.mark.parametrize("spacing", [(0, 1, 1), (-1, 1, 1), (np.nan, 1, 1), (np.inf, 1, 1), (1, 1)])
def test_a_spacing_that_is_none_is_refused(spacing):
    with pytest.raises(VolumeError, match="three positive numbers"):
        resample(noise(), spacing)


def test_a_spacing_that_would_fill_the_memory_is_refused():
    with pytest.raises(VolumeError, match="is it in mm"):
        resample(noise(), (1e-6, 1, 1))


@pytest.mark.parametrize("shape", [(0, 1, 1), (2, 2), (2.5, 2, 2)])
def test_a_grid_without_whole_sizes_is_refused(shape):
    with pytest.raises(VolumeError, match="three whole sizes"):
        fit(noise(), shape)


# --- crop and pad -----------------------------------------------------------------------------


def test_a_crop_keeps_places_and_its_undo_fills_with_background():
    volume = noise()
    part, undo = crop(volume, (1, 2, 3), (4, 4, 6))
    np.testing.assert_array_equal(part.array, volume.array[1:4, 2:4, 3:6])
    assert centres_mm(part).items() <= centres_mm(volume).items()
    back = undo(part)
    np.testing.assert_array_equal(back.affine, volume.affine)
    np.testing.assert_array_equal(back.array[1:4, 2:4, 3:6], part.array)
    assert np.count_nonzero(back.array) == part.array.size


@pytest.mark.parametrize(
    ("start", "stop"), [((0, 0, 0), (6, 1, 1)), ((-1, 0, 0), (1, 1, 1)), ((2, 2, 2), (2, 3, 3))]
)
def test_a_box_that_is_empty_or_reaches_outside_is_refused(start, stop):
    with pytest.raises(VolumeError, match="empty or not inside"):
        crop(noise(), start, stop)


def test_padding_is_cut_off_again():
    volume = noise()
    padded, undo = pad(volume, (1, 0, 2), (0, 3, 1), value=-1000)
    assert padded.shape == (6, 9, 10)
    assert centres_mm(volume).items() <= centres_mm(padded).items()
    assert (padded.array == -1000).sum() == 6 * 9 * 10 - 5 * 6 * 7
    np.testing.assert_array_equal(undo(padded).array, volume.array)
    np.testing.assert_array_equal(undo(padded).affine, volume.affine)


def test_impossible_padding_is_refused():
    with pytest.raises(VolumeError, match="negative number"):
        pad(noise(), (-1, 0, 0), (0, 0, 0))
    with pytest.raises(VolumeError, match="cannot fill uint8 voxels with -1024"):
        pad(noise(dtype=np.uint8), (1, 0, 0), (0, 0, 0), value=-1024)


# --- undo -------------------------------------------------------------------------------------


def test_an_undo_refuses_a_volume_on_another_grid():
    volume = noise()
    for changed, undo in (
        reorient(volume, "LPI"),
        crop(volume, (1, 1, 1), (3, 3, 3)),
        pad(volume, (1, 1, 1), (1, 1, 1)),
        resample(volume, (1, 1, 1)),
        fit(volume, (4, 4, 4)),
        resample_to(volume, GRIDS["oblique"]),
    ):
        moved = Volume(changed.array, affine_of(np.eye(3), (1, 0, 0)) @ changed.affine)
        with pytest.raises(VolumeError, match="undo wants a volume on the grid"):
            undo(moved)


sizes = st.tuples(*[st.integers(1, 6)] * 3)
few = st.tuples(*[st.integers(0, 3)] * 3)
spacings = st.tuples(*[st.floats(0.2, 8)] * 3)
angles = st.tuples(*[st.floats(-180, 180)] * 3)


@st.composite
def volumes(draw):
    """Any shape, obliqueness, handedness, memory layout, byte order and number type."""
    shape = draw(sizes)
    dtype = draw(st.sampled_from(["u1", "<i2", ">i2", "<f4", ">f4", "f8", "i8"]))
    array = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 200, shape).astype(dtype)
    layout = draw(st.sampled_from([np.ascontiguousarray, np.asfortranarray, lambda a: np.flip(a.copy())]))
    mirror = draw(st.sampled_from([1, -1]))
    affine = oblique(draw(angles), draw(spacings), (3, -4, 5)) @ np.diag([mirror, 1, 1, 1])
    return Volume(layout(array), affine)


@settings(max_examples=60, deadline=None)
@given(volumes(), st.sampled_from(ORIENTATIONS), few, few)
def test_undoing_in_reverse_order_gives_back_every_voxel_type_and_place(volume, wanted, before, after):
    turned, turn_back = reorient(volume, wanted)
    padded, cut_off = pad(turned, before, after, value=1)
    again, pad_again = crop(padded, before, [b + n for b, n in zip(before, turned.shape, strict=True)])
    np.testing.assert_array_equal(again.array, turned.array)
    np.testing.assert_allclose(again.affine, turned.affine, atol=1e-9)

    back = turn_back(cut_off(pad_again(again)))

    np.testing.assert_array_equal(back.array, volume.array)
    assert back.array.dtype == volume.array.dtype
    np.testing.assert_array_equal(back.affine, volume.affine)


@settings(max_examples=60, deadline=None)
@given(volumes(), sizes, spacings, st.sampled_from(["nearest", "linear"]))
def test_resampling_stays_within_the_values_and_its_undo_restores_shape_and_affine(
    volume, shape, spacing_mm, how
):
    low, high = float(volume.array.min()), float(volume.array.max())
    for moved, undo in (
        fit(volume, shape, interpolation=how),
        resample(volume, spacing_mm, interpolation=how),
    ):
        assert moved.array.min() >= low - 1e-3
        assert moved.array.max() <= high + 1e-3
        back = undo(moved)
        assert back.shape == volume.shape
        np.testing.assert_array_equal(back.affine, volume.affine)


def test_balls_are_round_in_millimetres_whatever_the_grid():
    affine = np.array([[0, -2.0, 0, 10], [1.0, 0, 0, -5], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    grid = Grid((20, 15, 12), affine)
    points = (0.0, 5.0, 15.0)
    voxels = np.argwhere(within_balls(grid, points, 6.0)) @ affine[:3, :3].T + affine[:3, 3]
    everywhere = np.indices(grid.shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]

    assert np.linalg.norm(voxels - points, axis=1).max() <= 6
    assert len(voxels) == (np.linalg.norm(everywhere - points, axis=1) <= 6).sum()
    assert within_balls(grid, (*points, 4.0, 3.0, 6.0), 0.0).sum() == 2
    assert not within_balls(grid, (), 3.0).any()


def test_a_point_outside_is_refused_with_where_the_volume_lies():
    grid = Grid((4, 4, 4), np.diag([1.0, 2.0, 3.0, 1.0]))
    with pytest.raises(OptionError, match=r"the point 9, 0, 0 mm \(RAS\+\) is voxel \(9, 0, 0\), outside"):
        within_balls(grid, (9.0, 0.0, 0.0), 1.0)
    with pytest.raises(OptionError, match=r"0.0..3.0, 0.0..6.0, 0.0..9.0 mm"):
        within_balls(grid, (9.0, 0.0, 0.0), 1.0)
    with pytest.raises(OptionError, match="x, y, z in mm each"):
        within_balls(grid, (1.0, 2.0), 1.0)
