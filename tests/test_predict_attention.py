"""Attention gates: their maps come home to the image's grid, and a network without any is refused."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from medseg.errors import OptionError
from medseg.inference.execution import Execution
from medseg.plugin import Architecture, Channel, Input, Label, Model, Weights, WholeGrid, Windows, hookimpl
from medseg.predict import load_model
from medseg.registry import Registry
from medseg.volume import Volume

SHAPE = (8, 12, 16)


class Gated(nn.Module):
    """Gates that are the image itself, pooled once and twice."""

    def __init__(self, in_channels, out_channels, *, dims: int = 3):
        super().__init__()
        self.score = nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, x):
        return self.score(x)

    def gate_maps(self, x):
        return {2: F.avg_pool3d(x, 4), 1: F.avg_pool3d(x, 2)}


class Plain(nn.Module):
    def __init__(self, in_channels, out_channels, *, dims: int = 3):
        super().__init__()
        self.score = nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, x):
        return self.score(x)


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"score.weight": torch.ones(2, 1, 1, 1, 1), "score.bias": torch.zeros(2)}, path)
    content = path.read_bytes()

    def loaded(architecture, patch):
        model = Model(
            name="gated",
            summary="s",
            architecture=architecture,
            weights=Weights(
                source=f"file:{path}",
                sha256=hashlib.sha256(content).hexdigest(),
                size=len(content),
                licence="MIT",
            ),
            input=Input(
                channels=(Channel(name="T1w", modality="MR", unit="arbitrary"),),
                spacing_mm=None,
                orientation="RAS",
                patch=patch,
            ),
            labels=(
                Label(value=0, name="background", colour="#000000"),
                Label(value=1, name="one", colour="#ff0000"),
            ),
            intended_use="-",
            training_data="-",
        )

        class Plugin:
            MEDSEG_API = 1

            @hookimpl
            def medseg_architectures(self):
                yield Architecture(name="gated", factory=f"{__name__}:Gated", summary="s", attention=True)
                yield Architecture(name="plain", factory=f"{__name__}:Plain", summary="s")

            @hookimpl
            def medseg_models(self):
                yield model

        execution = Execution(attention=True)
        return load_model("gated", device="cpu", execution=execution, registry=Registry.of(gated=Plugin()))

    return loaded


def expected(values, pooled):
    image = torch.from_numpy(values)[None, None]
    return F.interpolate(F.avg_pool3d(image, pooled), size=values.shape, mode="trilinear")[0, 0].numpy()


@pytest.fixture
def values():
    return np.random.default_rng(1).uniform(0, 1, SHAPE).astype(np.float32)


def test_gates_of_the_whole_grid_are_those_of_the_network_on_the_images_own_axes(load, values):
    # Turned to LPS: the contract wants RAS, and the maps come back as the image is.
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    image = Volume(values[::-1, ::-1].copy(), affine)
    result = load("gated", WholeGrid(shape=SHAPE, interpolation="linear")).segment(image)
    assert sorted(result.attention) == [1, 2]
    for level, map_ in result.attention.items():
        assert map_.grid.matches(image.grid)
        np.testing.assert_allclose(map_.array[::-1, ::-1], expected(values, 2**level), atol=1e-5)


def test_gates_of_windows_are_stitched_as_scores_are(load, values):
    result = load("gated", Windows(size=(8, 8, 8), overlap=0.5)).segment(Volume(values, np.eye(4)))
    # Away from the windows' borders a gate of one pooling sees the same voxels in every window.
    inner = (slice(1, -1), slice(1, -1), slice(1, -1))
    difference = np.abs(result.attention[1].array - expected(values, 2))[inner]
    assert np.median(difference) < 1e-5
    assert difference.max() < 0.2


def test_a_network_without_gates_is_refused_by_name(load, values):
    loaded = load("plain", Windows(size=(8, 8, 8), overlap=0.5))
    with pytest.raises(OptionError, match="plain, has no attention gates"):
        loaded.segment(Volume(values, np.eye(4)))
