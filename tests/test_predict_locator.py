"""A model that tells another one where to look: the box, wherever and however the image is stored."""

import hashlib
from dataclasses import asdict

import numpy as np
import pytest
from safetensors.torch import save_file
from torch import nn

from medseg.errors import ContractError
from medseg.geometry import reorient
from medseg.inference.execution import Execution
from medseg.plugin import (
    Architecture,
    Backend,
    Channel,
    Input,
    Label,
    Locator,
    Model,
    Weights,
    WholeGrid,
    Windows,
    hookimpl,
)
from medseg.predict import load_model, segment
from medseg.registry import Registry
from medseg.volume import Volume


class Net(nn.Module):
    """One 3^3 convolution."""

    def __init__(self, in_channels, out_channels, *, dims: int = 3):
        super().__init__()
        self.layer = nn.Conv3d(in_channels, out_channels, 3, padding=1)

    def forward(self, x):
        return self.layer(x)


def threshold(level, *, channels=1):
    """Class 1 where the first channel is above a level."""
    net = Net(channels, 2)
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    net.layer.weight.data[1, 0, 1, 1, 1] = 1
    net.layer.bias.data[1] = -level
    return net


def wanted(patch, *, channels=1, **more):
    channel = Channel(name="T1w", modality="MR", unit="arbitrary")
    fixed = {"spacing_mm": (1.0, 1.0, 1.0), "orientation": "RAS", "interpolation": "linear"}
    return Input(channels=(channel,) * channels, patch=patch, **(fixed | more))


@pytest.fixture
def offer(tmp_path):
    """A locator ``finder`` and a ``model``, each (module with weights, Input), in a registry."""

    def make(**described):
        models = []
        for name, (net, given) in described.items():
            path = tmp_path / f"{name}.safetensors"
            save_file(net.state_dict(), path)
            sha256, size = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
            models.append(
                Model(
                    name=name,
                    summary="s",
                    architecture="net",
                    weights=Weights(source=f"file:{path}", sha256=sha256, size=size, licence="MIT"),
                    input=given,
                    labels=(
                        Label(value=0, name="background", colour="#000000"),
                        Label(value=4, name="bright", colour="#ff0000"),
                    ),
                    intended_use="tests",
                    training_data="none",
                    hidden=name == "finder",
                )
            )

        class Plugin:
            MEDSEG_API = 1

            @hookimpl
            def medseg_architectures(self):
                yield Architecture(name="net", factory=f"{__name__}:Net", summary="s")

            @hookimpl
            def medseg_backends(self):
                yield Backend(
                    name="coarse", factory="none:none", summary="s", devices=("cpu",), precision="int8"
                )

            @hookimpl
            def medseg_models(self):
                return models

        return Registry.of(mine=Plugin())

    return make


def located(offer, *, margin=0.25, locator_level=50.0, label=4):
    return offer(
        finder=(threshold(locator_level), wanted(WholeGrid(shape=(20, 20, 20)))),
        model=(
            threshold(10.0),
            wanted(
                Windows(size=(4, 4, 4), overlap=0.0),
                locator=Locator(model="finder", label=label, margin=margin),
            ),
        ),
    )


def organ():
    """A bright box of 8 x 6 x 4 voxels in a dim world, all of it above the second model's threshold."""
    array = np.full((20, 20, 20), 20, np.float32)
    array[6:14, 7:13, 8:12] = 100
    return Volume(array, np.eye(4))


def test_the_second_model_sees_the_box_around_the_first_ones_mask_and_its_margin(offer):
    labels = segment(organ(), "model", registry=located(offer), device="cpu").labels.array
    # A quarter of 8, 6 and 4 voxels: 2, 1.5 and 1, outwards to whole voxels.
    expected = np.zeros((20, 20, 20), np.uint8)
    expected[4:16, 5:15, 7:13] = 4
    np.testing.assert_array_equal(labels, expected)


def test_a_box_stays_inside_the_image(offer):
    labels = segment(organ(), "model", registry=located(offer, margin=9.0), device="cpu").labels.array
    assert (labels == 4).all()


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "SRA", "PIR"])
def test_the_box_is_the_same_place_however_the_image_is_stored(offer, orientation):
    registry = located(offer)
    here = segment(organ(), "model", registry=registry, device="cpu").labels
    stored = reorient(organ(), orientation)[0]
    there = segment(stored, "model", registry=registry, device="cpu").labels
    np.testing.assert_array_equal(there.affine, stored.affine)
    np.testing.assert_array_equal(reorient(there, "RAS")[0].array, here.array)


def rightmost():
    """Class 1 where a voxel is bright and its neighbour at a lower first index is not."""
    net = threshold(40.0)
    net.layer.weight.data[1, 0, 0, 1, 1] = -1
    return net


@pytest.mark.parametrize("stored", ["RAS", "LIP"])
@pytest.mark.parametrize("orientation", ["RAS", "LPS", "ASR", "stored"])
def test_a_locator_sees_its_own_orientation_whatever_that_of_the_model(offer, orientation, stored):
    registry = offer(
        finder=(rightmost(), wanted(Windows(size=(20, 20, 20)))),
        model=(
            threshold(10.0),
            wanted(
                Windows(size=(4, 4, 4), overlap=0.0),
                locator=Locator(model="finder", label=4, margin=0.0),
                orientation=orientation,
            ),
        ),
    )
    image = reorient(organ(), stored)[0]
    labels = reorient(segment(image, "model", registry=registry, device="cpu").labels, "RAS")[0].array
    expected = np.zeros((20, 20, 20), np.uint8)
    expected[6:7, 7:13, 8:12] = 4  # the organ's face at the patient's left
    np.testing.assert_array_equal(labels, expected)


def test_a_locator_of_other_channels_is_refused_by_name(offer):
    registry = offer(
        finder=(threshold(50.0, channels=2), wanted(Windows(size=(8, 8, 8)), channels=2)),
        model=(
            threshold(50.0),
            wanted(Windows(size=(8, 8, 8)), locator=Locator(model="finder", label=4, margin=0.0)),
        ),
    )
    with pytest.raises(ContractError, match=r"the locator mine:finder cannot use this input.*wanted 2"):
        segment(organ(), "model", registry=registry, device="cpu")


def test_only_the_largest_piece_is_boxed(offer):
    image = organ()
    array = image.array.copy()
    array[1, 1, 1] = 100
    found = segment(image.with_array(array), "model", registry=located(offer), device="cpu").labels
    expected = segment(image, "model", registry=located(offer), device="cpu").labels
    np.testing.assert_array_equal(found.array, expected.array)


def test_a_locator_that_finds_nothing_says_so(offer):
    with pytest.raises(ContractError, match=r"locator mine:finder finds no bright .*Intended use: tests"):
        segment(organ(), "model", registry=located(offer, locator_level=500), device="cpu")


def test_a_locator_without_the_label_is_named_with_those_it_has(offer):
    with pytest.raises(ContractError, match=r"mine:finder has no label 1; it has 0 \(background\), 4"):
        segment(organ(), "model", registry=located(offer, label=1), device="cpu")


def test_a_backend_of_lower_precision_runs_the_model_and_not_its_locator(offer):
    execution = Execution(precision="int8", backend="coarse")
    loaded = load_model("model", registry=located(offer), device="cpu", execution=execution)
    assert loaded.describe()["execution"]["backend"] == "coarse"
    assert loaded._locator.describe()["execution"] == asdict(Execution(mirror=False))


def test_mirroring_is_of_the_model_and_not_of_a_locator_that_was_trained_without(offer):
    registry = offer(
        finder=(threshold(0.5), wanted(WholeGrid(shape=(20, 20, 20)), mirror=())),
        model=(
            threshold(-100.0),
            wanted(
                WholeGrid(shape=(16, 16, 16)),
                locator=Locator(model="finder", label=4, margin=0.25),
                mirror=(0, 1, 2),
            ),
        ),
    )
    mirrored = segment(organ(), "model", registry=registry, device="cpu", execution=Execution(mirror=True))
    plain = segment(organ(), "model", registry=registry, device="cpu")
    np.testing.assert_array_equal(mirrored.labels.array, plain.labels.array)
