"""The sample volumes are those that samples.json names, and each has its licence beside it."""

import hashlib
import importlib.util
import json

import numpy as np
import pytest

from medseg.errors import ResourceError
from medseg.formats import load
from medseg.geometry import reorient
from medseg.samples import FOLDER, find_sample

INDEX = {row["file"]: row for row in json.loads((FOLDER / "samples.json").read_text())}


def script(name):
    """A script of sample_volumes/ as a module."""
    specification = importlib.util.spec_from_file_location(f"sample_script_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def sha256(path):
    """As samples.json defines it: of a file, or over the listing of a folder."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    listing = "".join(f"{sha256(file)}  {file.name}\n" for file in sorted(path.iterdir()))
    return hashlib.sha256(listing.encode()).hexdigest()


@pytest.mark.parametrize("name", INDEX)
def test_a_sample_is_byte_for_byte_the_one_that_was_indexed(name):
    assert sha256(find_sample(name)) == INDEX[name]["sha256"]


@pytest.mark.parametrize("name", INDEX)
def test_a_sample_has_a_source_and_its_licence_beside_it(name):
    row = INDEX[name]
    assert row["what"]
    assert row["source"]
    assert row["licence"]
    assert len((FOLDER / row["licence_file"]).read_text()) > 200


def test_every_volume_in_the_folder_is_indexed():
    found = {
        path.relative_to(FOLDER).as_posix()
        for path in [*FOLDER.iterdir(), *(FOLDER / "dicom").iterdir()]
        if path.name.endswith((".nii.gz", ".dcm")) or path.parent.name == "dicom"
    }
    assert found == set(INDEX)


def test_the_index_and_the_page_are_what_the_script_writes(tmp_path, monkeypatch):
    index = script("make_index")
    hashes = {FOLDER / name: row["sha256"] for name, row in INDEX.items()}
    monkeypatch.setattr(index, "sha256_of", lambda path: hashes[FOLDER / path.relative_to(tmp_path)])
    monkeypatch.setattr(index, "HERE", tmp_path)
    index.main()
    for name in ("samples.json", "README.md"):
        assert (tmp_path / name).read_text() == (FOLDER / name).read_text()


def test_a_sample_that_is_not_there_says_where_samples_come_from():
    with pytest.raises(ResourceError, match="source checkout"):
        find_sample("nothing.nii.gz")


@pytest.mark.parametrize(
    ("name", "shape", "spacing_mm", "orientation"),
    [
        ("s1_t1_head_defaced.nii.gz", (256, 256, 256), (1, 1, 1), "LIA"),
        ("colin27_t1_head.nii.gz", (181, 217, 181), (1, 1, 1), "RAS"),
        ("itk_t1_head_2x2x3mm.nii.gz", (128, 128, 62), (2, 2, 3), "LSA"),
        ("tumour1_t1gd_head.nii.gz", (256, 256, 25), (0.78, 0.78, 6.5), None),
        ("lung2_ct_chest_half.nii.gz", (256, 256, 61), None, None),
    ],
)
def test_a_sample_has_the_grid_that_the_page_says(name, shape, spacing_mm, orientation):
    volume = load(find_sample(name))
    assert volume.shape == shape
    if spacing_mm:
        np.testing.assert_allclose(volume.spacing_mm, spacing_mm, atol=0.005)
    if orientation:
        assert volume.orientation == orientation


@pytest.mark.parametrize(
    ("labels", "image", "ml"),
    [
        ("tumour1_mask.nii.gz", "tumour1_t1gd_head.nii.gz", 16.4),
        ("lung2_tumour_mask_half.nii.gz", "lung2_ct_chest_half.nii.gz", 48.4),
        ("s1_surface_gm1_wm2.nii.gz", "s1_t1_head_defaced.nii.gz", None),
    ],
)
def test_labels_lie_on_the_grid_of_their_image(labels, image, ml):
    mask = load(find_sample(labels), kind="labels")
    assert mask.grid.matches(load(find_sample(image)).grid)
    if ml:
        assert np.count_nonzero(mask.array) * mask.voxel_ml == pytest.approx(ml, abs=0.05)


# --- the face of S1 ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s1():
    head = load(find_sample("s1_t1_head_defaced.nii.gz"))
    return head, load(find_sample("s1_surface_gm1_wm2.nii.gz"), kind="labels")


def test_face_removal_changes_nothing_in_a_head_without_a_face(s1):
    """Idempotent, so the stored head is a result of the stored script; the original is not published."""
    head, brain = s1
    np.testing.assert_array_equal(script("deface_s1").remove_face(head, brain).array, head.array)


def test_face_removal_zeroes_only_voxels_in_front_of_the_brain(s1):
    """On a head of ones every changed voxel is in front of the foremost brain voxel of the lower half."""
    head, brain = s1
    ones = head.with_array(np.ones(head.shape, np.uint8))
    kept = reorient(script("deface_s1").remove_face(ones, brain), "RAS")[0].array.astype(bool)
    inside = reorient(brain, "RAS")[0].array > 0
    assert not (inside & ~kept).any()
    cut = ~kept
    assert 0.02 < cut.mean() < 0.2
    # Cut voxels reach the front border, and are the same from left to right.
    np.testing.assert_array_equal(cut, np.broadcast_to(cut[:1], cut.shape))
    np.testing.assert_array_equal(cut, np.logical_and.accumulate(cut[:, ::-1], axis=1)[:, ::-1])
    front = np.where(inside.any(axis=(0, 1)), 255 - inside.any(axis=0)[::-1].argmax(axis=0), -1)
    first_cut = np.where(cut[0].any(axis=0), cut[0].argmax(axis=0), 256)
    assert (first_cut[front >= 0] > front[front >= 0] + 9).all()


def test_in_s1_nothing_is_left_of_the_face(s1):
    head, brain = s1
    ones = head.with_array(np.ones(head.shape, np.uint8))
    cut = script("deface_s1").remove_face(ones, brain).array == 0
    assert not head.array[cut].any()
    assert np.count_nonzero(head.array[~cut]) > 2e6
