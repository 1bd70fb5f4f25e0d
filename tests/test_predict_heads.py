"""Heads that are told the spacing, in backends that keep what they compiled."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from medseg.inference.execution import Execution
from medseg.plugin import Architecture, Channel, Head, Input, Label, Model, Output, Weights, Windows, hookimpl
from medseg.predict import load_model
from medseg.registry import Registry
from medseg.segmenter import Segmenter
from medseg.volume import Volume

IMAGE = np.random.default_rng(0).uniform(0, 100, (8, 8, 8)).astype(np.float32)


class Same(nn.Module):
    """Its features are the image."""

    num_features = 1

    def __init__(self, in_channels: int, out_channels: int, *, dims: int = 3) -> None:
        super().__init__()
        self.layer = nn.Conv3d(in_channels, 1, 1)
        nn.init.ones_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward_features(self, x):
        return self.layer(x)


class Level(nn.Module):
    """Class 1 above a level that grows with the spacing."""

    def __init__(self, num_features: int, out_channels: int, *, dims: int = 3, base: float = 10.0) -> None:
        super().__init__()
        self.base = base

    def forward(self, features, image, spacing_mm):
        lead = features - (self.base + 40 * spacing_mm.mean())
        return Output(logits=torch.cat([torch.zeros_like(lead), lead], 1))


@pytest.fixture
def count(tmp_path, monkeypatch):
    """Voxels of class 1 with a backend, at a spacing, with a head's option; each time loaded anew."""
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path))
    path = tmp_path / "same.safetensors"
    save_file(Segmenter(Same(1, 2), Level(1, 2)).state_dict(), path)
    content = path.read_bytes()

    def counted(backend, mm, base=10.0):
        model = Model(
            name="m",
            summary="s",
            architecture="same",
            head="level",
            head_options={"base": base},
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
                patch=Windows(size=(8, 8, 8)),
            ),
            labels=(
                Label(value=0, name="background", colour="#000000"),
                Label(value=1, name="bright", colour="#ff0000"),
            ),
            intended_use="tests",
            training_data="none",
        )

        class Plugin:
            MEDSEG_API = 1

            @hookimpl
            def medseg_architectures(self):
                yield Architecture(name="same", factory=f"{__name__}:Same", summary="s", features=True)

            @hookimpl
            def medseg_heads(self):
                yield Head(name="level", factory=f"{__name__}:Level", summary="s")

            @hookimpl
            def medseg_models(self):
                yield model

        from medseg.builtin import plugin as builtin

        registry = Registry.of(mine=Plugin(), builtin=builtin)
        loaded = load_model("mine:m", device="cpu", execution=Execution(backend=backend), registry=registry)
        labels = loaded.segment(Volume(IMAGE, np.diag([mm, mm, mm, 1]))).labels
        return int(labels.array.sum())

    return counted


@pytest.mark.parametrize("backend", ["eager", "openvino", "auto"])
def test_what_was_compiled_for_one_spacing_or_option_does_not_serve_another(count, backend):
    wanted = [(1.0, 10.0), (2.0, 10.0), (1.0, 10.0), (1.0, 30.0)]
    found = [count(backend, mm, base) for mm, base in wanted]
    assert found == [int((base + 40 * mm < IMAGE).sum()) for mm, base in wanted]
