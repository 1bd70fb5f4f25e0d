"""Models whose channels overlap: regions write labels in order; mirroring is as they were trained."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from medseg import description
from medseg.errors import OptionError
from medseg.inference.execution import Execution
from medseg.loaded import LoadedModel
from medseg.plugin import (
    Architecture,
    Channel,
    Input,
    Label,
    Locator,
    Model,
    Weights,
    Windows,
    hookimpl,
)
from medseg.predict import load_model
from medseg.registry import Registered, Registry, default_registry
from medseg.segmenter import Segmenter
from medseg.volume import Volume

LEVELS = (20.0, 50.0, 80.0)


class Nested(nn.Module):
    """Channel k is above 0 where the voxel is above the k-th level."""

    def __init__(self, in_channels, out_channels, *, dims: int = 3):
        super().__init__()
        self.score = nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, x):
        return self.score(x)


class Plugin:
    MEDSEG_API = 1

    def __init__(self, *models):
        self.models = models

    @hookimpl
    def medseg_architectures(self):
        yield Architecture(name="nested", factory=f"{__name__}:Nested", summary="s")

    @hookimpl
    def medseg_models(self):
        return self.models


@pytest.fixture
def model(tmp_path):
    weights = {"score.weight": torch.ones(3, 1, 1, 1, 1), "score.bias": -torch.tensor(LEVELS)}
    path = tmp_path / "w.safetensors"
    save_file(weights, path)
    content = path.read_bytes()
    return Model(
        name="tumour",
        summary="s",
        architecture="nested",
        weights=Weights(
            source=f"file:{path}",
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            licence="MIT",
        ),
        input=Input(
            channels=(Channel(name="T1w", modality="MR", unit="arbitrary"),),
            spacing_mm=(1.0, 1.0, 1.0),
            orientation="RAS",
            patch=Windows(size=(8, 8, 8)),
        ),
        labels=tuple(
            Label(value=n, name=name, colour="#ff0000")
            for n, name in enumerate(("background", "oedema", "core", "enhancing"))
        ),
        regions=True,
        intended_use="tests",
        training_data="none",
    )


def segmented(model, *others, values=None, **execution):
    if values is None:
        values = np.random.default_rng(0).uniform(0, 100, (14, 12, 10)).astype(np.float32)
    loaded = load_model(
        "tumour",
        device="cpu",
        registry=Registry.of(mine=Plugin(model, *others)),
        execution=Execution(**execution),
    )
    return values, loaded.segment(Volume(values, np.eye(4)))


def test_later_regions_write_over_earlier_ones(model):
    values, result = segmented(model)
    np.testing.assert_array_equal(result.labels.array, np.digitize(values, LEVELS))
    assert [m.label.name for m in result.measures] == ["oedema", "core", "enhancing"]


def test_probabilities_are_those_of_the_regions(model):
    values, result = segmented(model, probabilities=True)
    for value, level in zip((1, 2, 3), LEVELS, strict=True):
        expected = 1 / (1 + np.exp(level - values.astype(np.float64)))
        np.testing.assert_allclose(result.probabilities[value].array, expected, atol=1e-5)


def test_probabilities_outside_the_located_box_are_zero(model):
    located = replace(model, input=replace(model.input, locator=Locator(model="finder", label=3, margin=0)))
    values, box = np.full((14, 12, 10), 30.0, np.float32), np.s_[4:8, 3:9, 2:6]
    values[box] = 90
    _, result = segmented(located, replace(model, name="finder"), values=values, probabilities=True)
    whole_tumour = result.probabilities[1].array
    assert whole_tumour.shape == values.shape
    assert (whole_tumour[box] > 0.99).all()
    assert np.count_nonzero(whole_tumour) == values[box].size
    np.testing.assert_array_equal(result.labels.array, np.where(values == 90, 3, 0))


def test_regions_and_mirror_axes_survive_json(model):
    changed = replace(model, input=replace(model.input, mirror=(0, 2)))
    text = json.dumps(description.to_json(changed))
    assert description.from_json(json.loads(text)) == changed


def test_a_model_that_was_trained_without_mirroring_is_not_mirrored(model):
    never = replace(model, input=replace(model.input, mirror=()))
    with pytest.raises(OptionError, match="trained without mirroring; leave out --mirror"):
        segmented(never, mirror=True)


class Beside(nn.Module):
    """Each voxel's class is told by the voxel before it along the first axis, so that flips differ."""

    def forward(self, x):
        return torch.cat([torch.roll(x, 1, 2) - 49.5, torch.full_like(x, -1.0).repeat(1, 2, 1, 1, 1)], 1)


@pytest.mark.parametrize("asked", [None, True, False])
@pytest.mark.parametrize("by_default", [True, False])
def test_the_contract_says_whether_windows_are_mirrored_and_its_user_has_the_last_word(
    model, by_default, asked
):
    wanted = replace(model.input, mirror=(0,), mirror_by_default=by_default)
    values = np.zeros((16, 16, 16), np.float32)
    values[8] = 60
    loaded = LoadedModel(
        found=Registered(component=model, kind="model", plugin="mine"),
        description=replace(model, input=wanted),
        network=Segmenter(Beside(), None),
        device=torch.device("cpu"),
        registry=default_registry(),
        execution=Execution(mirror=asked),
        locator=None,
    )
    result = loaded.segment(Volume(values, np.eye(4)))
    mirrored = by_default if asked is None else asked
    assert result.provenance["execution"]["mirror"] is mirrored
    # The mean of one logit of 10.5 and one of -49.5 is below 0.
    rows = np.flatnonzero(result.labels.array.any((1, 2))).tolist()
    assert rows == ([] if mirrored else [9])
