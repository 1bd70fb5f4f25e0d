"""A model's contract as JSON and back, and what it finds in a volume."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from medseg import contract, description
from medseg.errors import ContractError
from medseg.plugin import (
    Channel,
    Code,
    Input,
    Label,
    Locator,
    Model,
    Probe,
    Slices,
    Weights,
    WholeGrid,
    Windows,
)
from medseg.volume import Volume

T1 = Channel(name="T1w", modality="MR", unit="arbitrary")
CT = Channel(name="CT", modality="CT", unit="HU")
EYE = np.eye(4)


def wanted(*channels, spacing_mm=(1.0, 1.0, 1.5), patch=None):
    return Input(
        channels=channels or (T1,),
        spacing_mm=spacing_mm,
        orientation="LPS",
        patch=patch or Windows(size=(32, 32, 16), overlap=0.25),
        steps=(("clip", {"low": -57.0, "high": 164.0}), ("zscore", {})),
        locator=Locator(model="finder", margin=0.2),
    )


def model(patch=None, spacing_mm=(1.0, 1.0, 1.5)):
    return Model(
        name="liver",
        summary="A liver",
        architecture="unet3d",
        options={"width": 8, "norm": "batch", "deep": True, "rate": 0.5},
        weights=Weights(source="package:p/w.safetensors", sha256="0" * 64, size=1, licence="MIT"),
        input=wanted(patch=patch, spacing_mm=spacing_mm),
        labels=(
            Label(value=0, name="background", colour="#000000"),
            Label(
                value=3, name="liver", colour="#ff0000", type=Code(scheme="SCT", value="1", meaning="Liver")
            ),
        ),
        intended_use="tests",
        training_data="none",
        post=(("largest-component", {}),),
        probe=Probe(volume="a", truth="b", label=3, dice=0.9, tolerance=0.01),
        hidden=True,
    )


def noise(low=0.0, high=100.0, affine=EYE):
    return Volume(np.linspace(low, high, 27).reshape(3, 3, 3), affine)


@pytest.mark.parametrize(
    ("patch", "spacing_mm"),
    [
        (Windows(size=(32, 32, 16), overlap=0.25, blend="constant"), (1.0, 1.0, 1.5)),
        (WholeGrid(shape=(64, 64, 64), interpolation="nearest"), None),
        (Slices(axis=2, size=(64, 64), neighbours=1), None),
    ],
)
def test_a_contract_survives_json(patch, spacing_mm):
    described = model(patch, spacing_mm)
    assert description.from_json(json.loads(json.dumps(description.to_json(described)))) == described


def test_numbers_that_json_writers_shorten_are_read():
    data = description.to_json(model())
    data["input"]["spacing_mm"] = [1, 1, 2]
    assert description.from_json(data).input.spacing_mm == (1.0, 1.0, 2.0)


@pytest.mark.parametrize(
    "path",
    [
        ("input",),
        ("input", "spacing_mm"),
        ("input", "orientation"),
        ("input", "channels"),
        ("labels",),
        ("weights", "sha256"),
        ("weights", "licence"),
    ],
)
def test_what_must_not_be_guessed_has_no_default(path):
    data = description.to_json(model())
    part = data
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    with pytest.raises(ContractError, match=f"missing fields {path[-1]}"):
        description.from_json(data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("colour",), 1, "model: unknown fields colour"),
        (("input",), 5, "model.input: got 5, wanted the fields of"),
        (("labels",), {}, "model.labels: got {}, wanted a list"),
        (("labels", 1, "value"), "three", "labels: value is 'three', wanted int"),
        (("labels", 1, "value"), True, "labels: value is True, wanted int"),
        (("input", "channels"), "T1", "model.input.channels: got 'T1', wanted a list"),
        (("input", "spacing_mm"), [1, 1], "wanted a list of 3"),
        (("input", "spacing_mm"), ["1", "1", "1"], r"spacing_mm is \('1', '1', '1'\), wanted"),
        (("input", "interpolation"), "cubik", "interpolation is 'cubik', wanted Literal"),
        (("input", "steps"), [["clip"]], r"steps\[0\]: got \['clip'\], wanted a list of 2"),
        (("input", "patch"), {"size": [8, 8, 8]}, "kind None is not one of Slices, WholeGrid, Windows"),
        (("input", "patch", "kind"), "Tiles", "kind 'Tiles' is not one of"),
        (("options",), [], r"options is \[\], wanted Mapping"),
        (("name",), "A Liver", "name 'A Liver' is not allowed"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_wanted(path, value, message):
    data = copy.deepcopy(description.to_json(model()))
    part = data
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(ContractError, match=message):
        description.from_json(data)


def test_an_input_that_fits_has_no_problems():
    assert contract.check([noise()], wanted()) == []


def test_spacing_and_orientation_are_no_problems_within_reason():
    assert contract.check([noise(affine=np.diag([-2.0, 1, 3, 1]))], wanted()) == []


def test_each_channel_needs_a_volume():
    (problem,) = contract.check([noise()], wanted(T1, CT))
    assert problem.severity == "refuse"
    assert str(problem) == (
        "channels: got 1 volumes, wanted 2: T1w (MR, arbitrary), CT (CT, HU); "
        "give one volume for each channel, in this order"
    )


def test_channels_must_share_one_grid():
    (problem,) = contract.check([noise(), noise(affine=np.diag([1.0, 1, 1.1, 1]))], wanted(T1, T1))
    assert (problem.field, problem.severity) == ("grid of T1w", "refuse")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_refused(value):
    array = noise().array.copy()
    array[1, 1, 1] = value
    (problem,) = contract.check([Volume(array, EYE)], wanted())
    assert (problem.got, problem.severity) == ("NaN or infinite voxels", "refuse")


def test_a_constant_image_is_refused():
    (problem,) = contract.check([noise(5, 5)], wanted())
    assert problem.severity == "refuse"
    assert "5.0 everywhere" in problem.got


@pytest.mark.parametrize(
    ("low", "high", "warns"),
    [(0, 255, True), (-1024, 255, False), (0, 1500, False), (-2000, 1500, True), (-1000, 5000, True)],
)
def test_a_ct_windowed_for_display_is_a_warning(low, high, warns):
    problems = contract.check([noise(low, high)], wanted(CT))
    assert [p.severity for p in problems] == ["warn"] * warns


@pytest.mark.parametrize(("thick", "warns"), [(4.5, False), (4.6, True)])
def test_voxels_three_times_coarser_than_in_training_are_a_warning(thick, warns):
    problems = contract.check([noise(affine=np.diag([1, 1, thick, 1]))], wanted())
    assert [p.field for p in problems] == ["spacing"] * warns


def test_a_grid_that_is_fitted_asks_for_no_spacing():
    whole = wanted(spacing_mm=None, patch=WholeGrid(shape=(8, 8, 8)))
    assert contract.check([noise(affine=np.diag([1.0, 1, 90, 1]))], whole) == []


def stated(modality="", unit=""):
    return replace(noise(-1000, 1000), modality=modality, unit=unit)


def test_what_the_file_does_not_state_is_no_problem():
    assert contract.check([stated()], wanted(CT)) == []
    assert contract.check([stated("CT", "HU")], wanted(CT)) == []


@pytest.mark.parametrize(
    ("volume", "sentence"),
    [
        (stated("MR"), "modality of CT: got MR, wanted CT; choose a model for it, or force this one"),
        (stated("CT", "arbitrary"), "unit of CT: got arbitrary, wanted HU"),
    ],
)
def test_another_modality_or_unit_than_the_contract_has_to_be_forced(volume, sentence):
    (problem,) = contract.check([volume], wanted(CT))

    assert problem.severity == "force"
    assert sentence in str(problem)


def test_an_arbitrary_unit_in_the_contract_takes_any():
    assert contract.check([stated("MR", "ms")], wanted()) == []


def test_a_field_of_view_is_compared_along_the_axes_of_the_contract():
    needs = replace(wanted(CT), field_mm=(10.0, 20.0, 30.0))
    values = np.linspace(-1000, 1000, 6000).reshape(20, 30, 10)
    turned = Volume(values, np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]))
    short = Volume(values, np.eye(4))

    assert contract.check([turned], needs) == []  # 10 mm to the left, 20 back, 30 up
    (problem,) = contract.check([short], needs)
    assert problem.severity == "warn"
    assert "field of view: got 20 x 30 x 10 mm, wanted at least 10 x 20 x 30 mm along LPS" in str(problem)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.linspace(-1000, 900, 27), "got values from -1000 to 900, wanted MR values; is this CT?"),
        (np.arange(27) % 2, "got the two values 0 and 1, wanted MR values; is this a mask?"),
    ],
)
def test_values_that_speak_against_the_modality_are_a_warning(values, sentence):
    (problem,) = contract.check([Volume(values.reshape(3, 3, 3), EYE)], wanted())

    assert problem.severity == "warn"
    assert sentence in str(problem)
