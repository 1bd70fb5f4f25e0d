"""Surfaces: closed, outward, in the right place, of the right volume."""

from collections import Counter

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from medseg_mesh.surface import extract_surface

OBLIQUE = np.array([[1.1, 0.3, 0.0, -20], [-0.3, 1.1, 0.2, 5], [0.1, -0.2, 2.0, 40], [0, 0, 0, 1]])
FLIPPED = np.diag([-0.8, 0.9, 1.0, 1.0])


def ball(diameter, *, spacing=(1.0, 1.0, 1.0)):
    """A ball of so many mm, whose middle is no voxel's, and the affine that puts it at the origin."""
    spacing = np.array(spacing)
    size = np.ceil((diameter + 4) / spacing).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(size - 1) / 2 * spacing + 0.13
    centres = np.indices(size).reshape(3, -1).T * spacing + affine[:3, 3]
    return (np.linalg.norm(centres, axis=1) <= diameter / 2).reshape(size), affine


def voxel_ml(mask, affine):
    return mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000


def as_trimesh(surface):
    return trimesh.Trimesh(surface.vertices, surface.faces, process=False)


@pytest.mark.parametrize(("diameter", "share"), [(8, 0.97), (16, 0.99), (32, 1.0)])
def test_a_balls_volume_is_nearly_that_of_its_voxels(diameter, share):
    mask, affine = ball(diameter)
    assert extract_surface(mask, affine).ml / voxel_ml(mask, affine) == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("diameter", [4, 8, 16])
@pytest.mark.parametrize("smooth_mm", [0.3, 1, 3])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.9, 3.0)])
def test_smoothing_keeps_the_volume_of_the_voxels(diameter, smooth_mm, spacing):
    mask, affine = ball(diameter, spacing=spacing)
    surface = extract_surface(mask, affine, smooth_mm=smooth_mm)
    assert surface.ml == pytest.approx(voxel_ml(mask, affine), rel=0.005)


def test_smoothing_brings_a_ball_nearer_to_the_sphere():
    mask, affine = ball(24, spacing=(1.0, 1.0, 1.5))
    distances = [
        np.abs(np.linalg.norm(extract_surface(mask, affine, smooth_mm=mm).vertices, axis=1) - 12).mean()
        for mm in (0, 1, 2)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[1] < 0.1


@pytest.mark.parametrize("affine", [np.eye(4), FLIPPED, OBLIQUE, OBLIQUE[[1, 0, 2, 3]]])
@pytest.mark.parametrize("smooth_mm", [0, 1.2])
def test_normals_point_outwards_for_both_hands(affine, smooth_mm):
    mask, _ = ball(10)
    surface = extract_surface(mask, affine, smooth_mm=smooth_mm)
    reference = as_trimesh(surface)

    assert reference.is_watertight
    assert reference.is_winding_consistent
    assert reference.volume / 1000 == pytest.approx(surface.ml)
    outwards = reference.triangles_center - surface.vertices.mean(axis=0)
    assert (np.einsum("ti,ti->t", outwards, surface.normals) > 0).all()
    np.testing.assert_allclose(surface.normals, reference.face_normals, atol=1e-6)


@pytest.mark.parametrize("affine", [np.eye(4), FLIPPED, OBLIQUE])
def test_it_lies_where_the_voxels_are_in_the_world(affine):
    mask = np.zeros((9, 12, 7), bool)
    mask[2:6, 5:9, 3] = True
    surface = extract_surface(mask, affine)
    back = (surface.vertices - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T

    np.testing.assert_allclose(back.min(axis=0), [1.5, 4.5, 2.5], atol=1e-6)
    np.testing.assert_allclose(back.max(axis=0), [5.5, 8.5, 3.5], atol=1e-6)


def test_it_is_closed_where_the_mask_reaches_the_border():
    mask = np.ones((4, 5, 6), bool)
    surface = extract_surface(mask, np.eye(4))
    assert as_trimesh(surface).is_watertight
    assert surface.vertices.min() == -0.5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.sampled_from([0.0, 0.4, 1.0]))
def test_each_edge_has_two_triangles_of_opposite_sense_even_in_noise(seed, density, smooth_mm):
    mask = np.random.default_rng(seed).random((5, 4, 6)) < density
    mask[2, 2, 2] = True
    surface = extract_surface(mask, FLIPPED, smooth_mm=smooth_mm)
    edges = Counter(map(tuple, surface.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).tolist()))

    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)
    assert surface.ml > 0
