"""Prepared cases: image and classes voxel by voxel, in any order of axes, and never of other settings."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import medseg
from medseg.geometry import reorient
from medseg.plugin import Channel
from medseg.registry import default_registry
from medseg.training import prepared
from medseg.training.checking import check_dataset
from medseg.training.contracts import input_of
from medseg.training.dataset import Case, Dataset, label
from medseg.training.plan import Plan
from medseg.training.prepared import prepare_image
from medseg.volume import Volume

PLAN = Plan(architecture="unets:unet3d", loss="builtin:dice-ce", spacing_mm=(1, 1, 1), patch=(8, 8, 8))
FLIPS = list(itertools.product((1, -1), repeat=3))


@pytest.fixture
def prepare(tmp_path):
    """Prepare one case of an image and labels as files have them."""
    (tmp_path / "prepared").mkdir()

    def made(image, labels, *, affine=None, second=None, classes=None, name="a"):
        affine = np.eye(4) if affine is None else affine
        medseg.save(Volume(image, affine), tmp_path / "image.nii.gz")
        medseg.save(Volume(labels, affine, kind="labels"), tmp_path / "labels.nii.gz")
        images = [tmp_path / "image.nii.gz"]
        if second is not None:  # the affine of another channel, of the same values
            images.append(tmp_path / "second.nii.gz")
            medseg.save(Volume(image, second), images[1])
        case = Case(name=name, images=tuple(images), labels=tmp_path / "labels.nii.gz")
        dataset = Dataset(
            name="d",
            channels=(Channel(name="T1w", modality="MR", unit="arbitrary"),) * len(images),
            labels=tuple(label(n, f"class {n}") for n in range(3)),
            cases=(case,),
            classes=classes or {},
        )
        facts = check_dataset(dataset).facts[0]
        return prepare_image(
            case,
            facts,
            dataset,
            tmp_path / "prepared",
            wanted=input_of(PLAN, dataset),
            registry=default_registry(),
        )

    return made


@pytest.mark.parametrize("shape", [(9, 9, 9), (9, 7, 9), (9, 8, 7)])
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_image_and_classes_stay_on_top_of_each_other(prepare, shape, axes):
    """Also of a cube, whose axes cannot be told by their lengths."""
    classes = np.zeros(shape, np.uint8)
    classes[1:4, 2:6, 3:5], classes[5:8, 1:3, 2:6] = 1, 2
    for flip in FLIPS:
        turn = np.eye(4)
        turn[:3, :3] = np.eye(3)[:, axes] * flip
        home = Volume(classes, np.eye(4))
        stored = reorient(home, Volume(np.zeros((2, 2, 2)), turn).orientation)[0]
        found = prepare(np.asfortranarray(stored.array * np.float32(40)), stored.array, affine=stored.affine)
        np.testing.assert_array_equal(found.classes, classes)
        np.testing.assert_allclose(found.image[0], classes / 2, atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_channels_and_labels_near_45_degrees_are_turned_together(prepare, sign):
    """Their last digits alone say which axis goes most to the front."""
    turns = [np.eye(4), np.eye(4)]
    for turn, beyond in zip(turns, (1e-4, -1e-4), strict=True):
        turn[:3, :3] = Rotation.from_euler("z", 45 + sign * beyond, degrees=True).as_matrix()
    classes = np.zeros((9, 9, 9), np.uint8)
    classes[1:4, 2:6, 3:5], classes[5:8, 1:3, 2:6] = 1, 2
    assert Volume(classes, turns[0]).orientation != Volume(classes, turns[1]).orientation
    found = prepare(classes * np.float32(40), classes, affine=turns[0], second=turns[1])
    for channel in found.image:
        np.testing.assert_allclose(channel, found.classes / 2, atol=1e-6)
    assert found.classes.sum() == classes.sum()


def test_files_of_another_form_or_another_table_of_classes_are_not_taken(prepare, monkeypatch, tmp_path):
    image = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    labels = np.zeros((8, 8, 8), np.int32)
    labels[:4], labels[4:] = 301, 1001

    first = np.array(prepare(image, labels, classes={301: 1, 1001: 2}).classes)
    second = np.array(prepare(image, labels, classes={301: 2, 1001: 1}).classes)
    assert (first[0, 0, 0], second[0, 0, 0]) == (1, 2)

    files = set((tmp_path / "prepared").iterdir())
    monkeypatch.setattr(prepared, "_FORM", prepared._FORM + 1)
    prepare(image, labels, classes={301: 1, 1001: 2})
    assert len(set((tmp_path / "prepared").iterdir()) - files) == 2


def test_files_of_the_same_voxels_at_another_spacing_are_not_taken(prepare):
    image = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    labels = np.ones((8, 8, 8), np.uint8)
    assert prepare(image, labels).classes.shape == (8, 8, 8)
    assert prepare(image, labels, affine=np.diag([2, 1, 1, 1.0])).classes.shape == (16, 8, 8)


@pytest.mark.parametrize("name", ["site 1/anna", "../anna", "ä" * 200, "🙂" * 100])
def test_a_case_may_have_any_name(prepare, tmp_path, name):
    image = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    labels = np.ones((8, 8, 8), np.uint8)
    assert prepare(image, labels, name=name).classes.all()
    assert len(list((tmp_path / "prepared").iterdir())) == 2
