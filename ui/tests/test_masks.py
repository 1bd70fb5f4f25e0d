"""Drawings from the browser: exact on every grid, and refused when they do not fit."""

import gzip
import itertools

import nibabel
import numpy as np
import pytest
from medseg_ui.masks import write_mask

import medseg
from medseg import Volume, VolumeError

ENTRIES = [{"index": 1, "value": 1}, {"index": 2, "value": 700}]
ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*axes)
]


def grid(orientation, oblique=0.0):
    """A (5, 6, 7) affine whose axes run as the letters say, turned by some radians."""
    signs = {
        letter: (axis, sign)
        for axis, pair in enumerate(("LR", "PA", "IS"))
        for letter, sign in zip(pair, (-1, 1), strict=True)
    }
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, letter in enumerate(orientation):
        axis, sign = signs[letter]
        affine[axis, column] = sign * (1.0, 2.0, 3.0)[column]
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(oblique), -np.sin(oblique)], [np.sin(oblique), np.cos(oblique)]]
    affine[:3, 3] = (-10, 20, 5)
    return turn @ affine


def send(folder, body):
    path = folder / "body"
    path.write_bytes(body)
    return path


def image(folder, affine):
    medseg.save(Volume(np.zeros((5, 6, 7), np.float32), affine), folder / "volume.nii")
    return folder / "volume.nii"


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("oblique", [0.0, 0.2])
def test_a_drawing_is_written_voxel_by_voxel_on_the_images_own_grid(tmp_path, orientation, oblique):
    volume = image(tmp_path, grid(orientation, oblique))
    drawn = np.random.default_rng(0).integers(0, 3, (5, 6, 7)).astype(np.uint8)
    sent = send(tmp_path, gzip.compress(drawn.tobytes(order="F"), mtime=0))
    counts = write_mask(sent, tmp_path / "labels.nii.gz", like=volume, entries=ENTRIES)
    written = nibabel.load(tmp_path / "labels.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj), np.array([0, 1, 700])[drawn])
    assert np.array_equal(written.affine, nibabel.load(volume).affine)
    assert counts[2] == (drawn == 2).sum()
    assert (
        medseg.load(tmp_path / "labels.nii.gz", kind="labels").orientation == medseg.load(volume).orientation
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"no gzip at all", "arrived damaged"),
        (gzip.compress(bytes(209), mtime=0), "has 209 voxels; the image has 210"),
        (gzip.compress(bytes(10**8), mtime=0), "more voxels than the image"),
        (gzip.compress(b"\x03" * 210, mtime=0), "holds 3, which is none of"),
        (gzip.compress(bytes(210), mtime=0)[:-8], "arrived cut off"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_the_older_file(tmp_path, body, reason):
    volume = image(tmp_path, grid("RAS"))
    target = tmp_path / "labels.nii.gz"
    target.write_bytes(b"older")
    with pytest.raises(VolumeError, match=reason):
        write_mask(send(tmp_path, body), target, like=volume, entries=ENTRIES)
    assert target.read_bytes() == b"older"
    assert list(tmp_path.glob(".part-*")) == []
