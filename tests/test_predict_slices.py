"""A 2-D model on a volume: its contract says which axis is cut, the core does the rest."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from medseg.plugin import (
    Architecture,
    Channel,
    Input,
    Label,
    Model,
    Slices,
    Weights,
    hookimpl,
)
from medseg.predict import load_model
from medseg.registry import Registry
from medseg.volume import Volume

AFFINE = np.diag([-2.0, 1.0, 3.0, 1.0])


class Brighter(nn.Conv2d):
    """Label 1 where the weighted sum of the input channels is above 10."""

    def __init__(self, in_channels: int, out_channels: int, *, dims: int = 2):
        super().__init__(in_channels, out_channels, 1)


@pytest.fixture
def segment(tmp_path):
    def run(volume, *, axis, weights, spacing_mm=None):
        kernel = torch.zeros(2, len(weights), 1, 1)
        kernel[1] = torch.tensor(weights).reshape(-1, 1, 1)
        file = tmp_path / "brighter.safetensors"
        save_file({"weight": kernel, "bias": torch.tensor([0.0, -10.0])}, file)
        network = Architecture(
            name="brighter", factory=f"{__name__}:Brighter", summary="1x1 convolution", dims=(2,)
        )
        model = Model(
            name="bright",
            summary="Bright pixels",
            architecture="brighter",
            weights=Weights(
                source=f"file:{file}",
                sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
                size=file.stat().st_size,
                licence="CC0-1.0",
            ),
            input=Input(
                channels=(Channel(name="T1w", modality="MR", unit="arbitrary"),),
                spacing_mm=spacing_mm,
                orientation="RAS",
                patch=Slices(axis=axis, size=(8, 8), neighbours=len(weights) // 2),
                interpolation="linear",
            ),
            labels=(
                Label(value=0, name="background", colour="#000000"),
                Label(value=1, name="bright", colour="#ff0000"),
            ),
            intended_use="tests",
            training_data="none",
        )
        plugin = SimpleNamespace(
            MEDSEG_API=1,
            medseg_architectures=hookimpl(lambda: [network]),
            medseg_models=hookimpl(lambda: [model]),
        )
        loaded = load_model("bright", device="cpu", registry=Registry.of(planar=plugin))
        return loaded.segment(volume).labels

    return run


@pytest.fixture
def volume():
    values = np.random.default_rng(0).uniform(0, 20, (9, 12, 7)).astype(np.float32)
    return Volume(values, AFFINE)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_labels_of_slices_are_on_the_grid_of_the_input(segment, volume, axis):
    labels = segment(volume, axis=axis, weights=[1.0])

    assert np.array_equal(labels.array, volume.array > 10)
    assert np.array_equal(labels.affine, AFFINE)


def test_neighbours_are_counted_in_the_orientation_of_the_contract(segment, volume):
    upper = segment(volume, axis=0, weights=[0.0, 0.0, 1.0])  # the neighbour to the patient's right

    # The volume is stored from right to left, so that neighbour is the one before.
    assert np.array_equal(upper.array[1:], volume.array[:-1] > 10)


def test_a_spacing_in_the_contract_is_kept_too(segment, volume):
    coarse = segment(volume, axis=2, weights=[1.0], spacing_mm=(4.0, 2.0, 3.0))

    assert coarse.shape == volume.shape
    assert 0.5 < (coarse.array == (volume.array > 10)).mean() < 1
