"""A whole plugin for the tests of the command line: what is brighter than 100 is label 1."""

import hashlib
from pathlib import Path

from medseg.plugin import (
    Architecture,
    Channel,
    Export,
    Format,
    Input,
    Label,
    Model,
    Weights,
    Windows,
    hookimpl,
)

MEDSEG_API = 1


@hookimpl
def medseg_architectures():
    for name, factory in (
        ("threshold", "medseg_tiny.network:Threshold"),
        ("calm", "medseg_tiny.network:Calm"),
        ("sleepy", "medseg_tiny.network:Sleepy"),
        ("unimportable", "medseg_tiny.network_that_is_not_there:Network"),
    ):
        yield Architecture(name=name, factory=factory, summary="A 1x1 convolution")


@hookimpl
def medseg_formats():
    yield Format(
        name="stack",
        factory="medseg_tiny.stack:read",
        sniff="medseg_tiny.stack:sniff",
        contents="medseg_tiny.stack:contents",
        suffixes=(".slice",),
        folders=True,
        isolate=True,
        summary="A folder of slices, each a row of numbers",
    )


@hookimpl
def medseg_exports():
    yield Export(
        name="words", factory="medseg_tiny.words:write", suffix=".words.txt", summary="A result in words"
    )
    yield Export(name="never", factory="medseg_tiny.words:refuse", suffix=".never", summary="Refuses")


@hookimpl
def medseg_models():
    for name, architecture, file, channels in (
        ("bright", "threshold", "bright", ("T1w",)),
        ("calm", "calm", "bright", ("T1w",)),
        ("sleepy", "sleepy", "bright", ("T1w",)),
        ("broken", "unimportable", "bright", ("T1w",)),
        ("pair", "threshold", "pair", ("T1w", "FLAIR")),
    ):
        weights = Path(__file__).with_name(f"{file}.safetensors").read_bytes()
        yield Model(
            name=name,
            summary="Brighter than 100",
            architecture=architecture,
            weights=Weights(
                source=f"package:medseg_tiny/{file}.safetensors",
                sha256=hashlib.sha256(weights).hexdigest(),
                size=len(weights),
                licence="CC0-1.0",
            ),
            input=Input(
                channels=tuple(Channel(name=c, modality="MR", unit="arbitrary") for c in channels),
                spacing_mm=(1, 1, 1),
                orientation="RAS",
                patch=Windows(size=(16, 16, 16), overlap=0.0),
            ),
            labels=(
                Label(value=0, name="background", colour="#000000"),
                Label(value=1, name="bright [red] $x", colour="#e8554e"),
            ),
            intended_use="tests",
            training_data="none: its two numbers are made up",
        )
