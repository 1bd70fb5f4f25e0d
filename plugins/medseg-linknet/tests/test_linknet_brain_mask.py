"""brain-mask on real heads: the volumes of the original code, and the same mask in every storage order."""

import itertools

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

import medseg
from medseg.geometry import reorient
from medseg.samples import find_sample
from medseg.volume import Volume

ORIENTATIONS = [
    "".join(letters)
    for pairs in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*pairs)
]
SMALL_HEAD = "itk_t1_head_2x2x3mm.nii.gz"


@pytest.fixture(scope="module")
def model():
    return medseg.load_model("linknet:brain-mask", device="cpu")


@pytest.fixture(scope="module")
def small(model):
    """The small head and its mask, both in RAS."""
    head = medseg.load(find_sample(SMALL_HEAD))
    return reorient(head, "RAS")[0], reorient(model.segment(head).labels, "RAS")[0].array > 0


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize(
    ("name", "ml"),
    [
        ("colin27_t1_head.nii.gz", 1956.5),
        (SMALL_HEAD, 1522.7),
        ("tumour1_t1gd_head.nii.gz", 1705),
    ],
)
def test_the_brain_has_the_volume_that_the_original_code_gives(model, name, ml):
    head = medseg.load(find_sample(name))
    result = model.segment(head)
    assert result.labels.grid.matches(head.grid, tolerance_mm=0)
    (brain,) = result.measures
    assert brain.label.name == "brain"
    assert brain.ml == pytest.approx(ml, rel=0.01)


def test_the_brain_of_s1_holds_its_cortex_and_white_matter(model):
    """The labels come from FreeSurfer surfaces of the same subject, which no network of ours has seen."""
    mask = model.segment(medseg.load(find_sample("s1_t1_head_defaced.nii.gz"))).labels
    cerebrum = medseg.load(find_sample("s1_surface_gm1_wm2.nii.gz"), kind="labels")
    assert mask.grid.matches(cerebrum.grid)
    inside = cerebrum.array > 0
    assert np.count_nonzero(mask.array[inside]) / np.count_nonzero(inside) >= 0.999
    assert np.count_nonzero(mask.array) * mask.voxel_ml == pytest.approx(1604, rel=0.01)


def stored_alike(model, small, orientation):
    """Dice of the mask with that of the head stored in RAS, voxel by voxel of the same places."""
    head, mask = small
    stored = reorient(head, orientation)[0]
    assert stored.orientation == orientation
    labels = model.segment(stored).labels
    assert labels.grid.matches(stored.grid, tolerance_mm=0)
    return dice(reorient(labels, "RAS")[0].array > 0, mask)


@pytest.mark.parametrize("orientation", ["LPI", "ASR", "SRA", "IPL", "PIR"])
def test_the_mask_does_not_depend_on_how_the_head_is_stored(model, small, orientation):
    """Five of 48; all of them are in the slow test below and, with tiny models, in tests/test_predict.py."""
    assert stored_alike(model, small, orientation) >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_mask_is_the_same_in_all_48_orientations(model, small, orientation):
    assert stored_alike(model, small, orientation) >= 0.999


@pytest.mark.parametrize("degrees", [(10, -15, 20), (0, 0, 44)])
def test_an_oblique_affine_moves_the_mask_with_the_head(model, small, degrees):
    """The voxels are the same, so is the mask; only the place of both in the world is another."""
    head, mask = small
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    oblique = Volume(head.array, turn @ head.affine)
    labels = model.segment(oblique).labels
    np.testing.assert_array_equal(labels.affine, oblique.affine)
    assert dice(labels.array > 0, mask) >= 0.999


def test_the_mask_is_one_piece_without_holes(small):
    _, mask = small
    assert ndimage.label(mask, structure=np.ones((3, 3, 3)))[1] == 1
    np.testing.assert_array_equal(ndimage.binary_fill_holes(mask), mask)
