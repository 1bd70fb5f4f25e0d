import numpy as np
import pytest
from matplotlib.image import imread

from medseg.errors import ResourceError
from medseg.picture import draw
from medseg.plugin import Label
from medseg.predict import Segmentation
from medseg.volume import Volume

CLASSES = (
    Label(value=0, name="background", colour="#000000"),
    Label(value=1, name="red", colour="#ff0000"),
)


def result(labels, affine, classes=CLASSES):
    return Segmentation(
        labels=Volume(labels, affine, "labels"),
        classes=classes,
        provenance={"model": "tiny:bright", "medseg": "0.1.0"},
    )


def pixels(tmp_path, image, labels, affine=None, **settings):
    affine = np.eye(4) if affine is None else affine
    draw(Volume(image, affine), result(labels, affine, **settings), tmp_path / "p.png", title="a $x$ [red]")
    return imread(tmp_path / "p.png")[..., :3]


def reddish(picture):
    return (picture[..., 0] > 0.6) & (picture[..., 1] < 0.4) & (picture[..., 2] < 0.4)


def columns(picture, top=0.15, bottom=0.85):
    """Where the outlines are, as fractions of the width, between title and legend."""
    rows = picture[int(top * len(picture)) : int(bottom * len(picture))]
    return np.flatnonzero(reddish(rows).any(axis=0)) / picture.shape[1]


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_the_patients_right_is_on_the_left_of_the_axial_plane(tmp_path, flip):
    # The label is in the patient's right half, at high i where i grows to the right, else at low i.
    affine = np.diag([flip, 1.0, 1.0, 1.0])
    labels = np.zeros((40, 40, 40), np.uint8)
    right = slice(28, 36) if flip > 0 else slice(4, 12)
    labels[right, 10:30, 10:30] = 1
    seen = columns(pixels(tmp_path, np.zeros((40, 40, 40), np.float32), labels, affine))
    axial = seen[seen < 1 / 3]
    assert axial.size
    assert axial.mean() < 1 / 6


def test_without_labels_nothing_is_outlined(tmp_path):
    empty = np.zeros((20, 20, 20), np.uint8)
    picture = pixels(tmp_path, np.random.default_rng(0).normal(size=(20, 20, 20)), empty)
    assert columns(picture).size == 0


@pytest.mark.parametrize("shape", [(1, 1, 1), (64, 64, 1), (1, 64, 64), (3, 3, 2000), (2000, 3, 3)])
def test_thin_and_long_volumes_are_drawn_at_a_size_that_fits(tmp_path, shape):
    labels = np.zeros(shape, np.uint8)
    labels[0, 0, 0] = 1
    height, width, _ = pixels(tmp_path, np.ones(shape, np.float32), labels).shape
    assert max(height, width) < 4000


def test_names_are_text_and_no_formulas(tmp_path):
    labels = np.ones((8, 8, 8), np.uint8)
    odd = (CLASSES[0], Label(value=1, name=r"$\frac{1$ & 100% {x}", colour="#ff0000"))
    assert pixels(tmp_path, np.zeros((8, 8, 8), np.float32), labels, classes=odd).size


def test_the_picture_is_the_same_each_time(tmp_path):
    image = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    labels = (image > 1).astype(np.uint8)
    pixels(tmp_path, image, labels)
    first = (tmp_path / "p.png").read_bytes()
    pixels(tmp_path, image, labels)
    assert (tmp_path / "p.png").read_bytes() == first


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path):
    labels = np.ones((8, 8, 8), np.uint8)
    with pytest.raises(ResourceError, match="the folder does not exist"):
        draw(
            Volume(np.zeros((8, 8, 8), np.float32), np.eye(4)),
            result(labels, np.eye(4)),
            tmp_path / "nowhere" / "p.png",
        )
    assert list(tmp_path.iterdir()) == []
