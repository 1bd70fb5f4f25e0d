"""A plan from the data: what the data decide, what the user decides, and what it will need."""

import math
from dataclasses import replace

import pytest
import torch

from medseg import ContractError, OptionError, ResourceError, default_registry, save
from medseg.plugin import Channel
from medseg.testing.phantoms import make_phantom
from medseg.training.checking import Finding, Report, check_dataset
from medseg.training.planning import forecast, make_plan, step_bytes, target_spacing
from medseg.training.planning import network_of as network
from medseg.training.reading import read_dataset
from medseg.training.synthesis import Recipe

HERE = {"registry": default_registry()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planned")
    for seed in range(2):
        image, truth = make_phantom(shape=(48, 40, 36), seed=seed)
        for place, volume in (("images", image), ("labels", truth)):
            (folder / place).mkdir(exist_ok=True)
            save(volume, folder / place / f"case{seed}.nii.gz")
    dataset = read_dataset(folder)
    return dataset, check_dataset(dataset)


def plan(data, *, memory=4e9, on_gpu=False, **given):
    return make_plan(*data, given=given, memory_bytes=int(memory), on_gpu=on_gpu, **HERE)


def test_the_data_decide_spacing_patch_and_depth(data):
    made = plan(data)
    assert made.spacing_mm == (1.0, 1.0, 1.0)
    assert made.patch == (48, 40, 40)  # the image, in multiples of the network's divisor
    assert made.options["depth"] == 3
    assert made.loss == "builtin:dice-ce"


def test_a_thick_axis_is_trained_at_its_finer_spacings(data):
    facts = [
        replace(fact, spacing_mm=(1.0, 1.0, mm)) for fact, mm in zip(data[1].facts, (4.0, 8.0), strict=True)
    ]
    assert target_spacing(facts) == (1.0, 1.0, 4.4)


def hounsfield(data, *facts):
    """The data as of CT, with what was measured of each case."""
    channel = Channel(name="CT", modality="CT", unit="HU")
    measured = [replace(fact, intensities=found) for fact, found in zip(data[1].facts, facts, strict=True)]
    return replace(data[0], channels=(channel,)), replace(data[1], facts=tuple(measured))


CLIPPED = ("clip-percentiles", {"low": 0.5, "high": 99.5})


def test_ct_is_scaled_by_the_whole_dataset_and_its_darkest_is_what_lies_beyond_an_image(data):
    measured = ((-100.0, 20.0, 300.0, 40.0, 50.0),), ((-300.0, 20.0, 100.0, 20.0, 150.0),)
    (clip, limits), (scale, numbers) = plan(hounsfield(data, *measured)).intensities
    assert (clip, limits) == ("clip", {"low": -200.0, "high": 200.0})
    assert scale == "scale"
    assert numbers["factor"] == pytest.approx(1 / 100)
    assert -200 * numbers["factor"] + numbers["offset"] == pytest.approx(0)  # windows are padded with 0


@pytest.mark.parametrize("first", [True, False])
def test_cases_without_an_image_say_nothing_of_the_values_of_ct(data, first):
    measured, none = ((-100.0, 20.0, 300.0, 40.0, 50.0),), ()
    made = plan(hounsfield(data, *((none, measured) if first else (measured, none))))
    assert made.intensities[0] == ("clip", {"low": -100.0, "high": 300.0})


def test_ct_whose_labels_have_one_value_is_scaled_by_each_image(data):
    assert plan(hounsfield(data, *[((7.0, 7.0, 7.0, 7.0, 0.0),)] * 2)).intensities[0] == CLIPPED


def test_nothing_is_planned_for_data_that_are_refused(data):
    nothing = Report(facts=(), findings=(Finding(case="a", sentence="it cannot be read"),))
    with pytest.raises(ContractError, match="REFUSED a: it cannot be read"):
        plan((data[0], nothing))


def test_what_the_user_decides_stays(data):
    made = plan(data, patch=(16, 16, 16), spacing_mm=(2.0, 2.0, 2.0), batch=1, options={"width": 4})
    assert (made.patch, made.spacing_mm, made.batch) == ((16, 16, 16), (2.0, 2.0, 2.0), 1)
    assert made.options["width"] == 4


@pytest.mark.parametrize(
    "given",
    [{"seed": -1}, {"steps": 0}, {"steps": -5}, {"patience": -1}, {"learning_rate": -1.0}]
    + [{"learning_rate": number} for number in (math.nan, math.inf, 0.0)],
)
def test_numbers_with_which_nothing_can_be_trained_are_refused(data, given):
    ((name, number),) = given.items()
    with pytest.raises(OptionError, match=f"{name} is {number}"):
        plan(data, patch=(8, 8, 8), **given)


def test_one_patch_a_step_is_refused_where_a_network_has_batch_norm(data):
    with pytest.raises(OptionError, match=r"has batch norm, and a step has 1 patch.*--batch 2 or more"):
        plan(data, batch=1, options={"norm": "batch"})
    for made in (plan(data, batch=2, options={"norm": "batch"}), plan(data, batch=1)):
        assert made.architecture == "unets:unet3d"


def test_less_memory_makes_a_smaller_patch_and_too_little_is_refused(data):
    small = plan(data, memory=4.9e8)
    assert math.prod(small.patch) < math.prod(plan(data).patch)
    assert small.options["depth"] < plan(data).options["depth"]
    assert step_bytes(network(small, data[0], HERE["registry"]), small, 1) <= 4.9e8
    with pytest.raises(ResourceError, match="not even a patch of 8 x 8 x 8 voxels"):
        plan(data, memory=1e8)


@pytest.mark.parametrize(
    "given",
    [
        {"architecture": "unets:unet3d"},
        {"architecture": "linknet:linknet"},  # one voxel would be left of a trial of 32 on its coarsest level
        {"architecture": "unets:unet3d", "head": "contours:tdac"},  # looks at values: not on the meta device
    ],
    ids=lambda given: given.get("head", given["architecture"]),
)
def test_every_network_and_head_gets_a_forecast(data, given):
    made = plan(data, patch=(64, 64, 64), options={"width": 4}, **given)
    expected = forecast(made, data[0], device=torch.device("cpu"), **HERE)
    assert expected.step_seconds > 0
    assert expected.parameters == sum(
        p.numel() for p in network(made, data[0], HERE["registry"]).parameters()
    )
    assert expected.memory_bytes > 4.5e8


def test_a_patch_that_leaves_one_voxel_is_refused(data):
    made = plan(data, architecture="linknet:linknet", patch=(32, 32, 32), options={"width": 4})
    with pytest.raises(OptionError, match="linknet cannot be trained on patches of 32 x 32 x 32 voxels"):
        forecast(made, data[0], device=torch.device("cpu"), **HERE)


def test_what_a_small_patch_keeps_says_what_a_large_one_does(data):
    made = plan(data, patch=(64, 64, 64), options={"width": 4}, head="contours:tdac", batch=1)
    without = plan(data, patch=(64, 64, 64), options={"width": 4}, batch=1)
    counted = step_bytes(network(without, data[0], HERE["registry"]), without, 1)
    whole = step_bytes(network(made, data[0], HERE["registry"]), made, 1, divisor=32)
    part = step_bytes(network(made, data[0], HERE["registry"]), made, 1, divisor=16)
    assert counted < whole
    assert part == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss_options": {"foo": "3"}}, "loss builtin:dice-ce has no option 'foo'"),
        ({"head_options": {"n_iter": "3"}}, "options of a head are given, and no head"),
        ({"precision": "16-mixed"}, "16-mixed is for GPUs"),
        ({"spacing_mm": (1.0, math.nan, 1.0), "patch": (8, 8, 8)}, "wanted three numbers of mm above 0"),
        ({"seed": 2**63}, r"it must be below 2\*\*63"),
    ],
)
def test_what_cannot_be_done_is_refused_in_the_plan(data, given, message):
    with pytest.raises(OptionError, match=message):
        plan(data, **given)


def test_a_small_patch_that_is_given_has_fewer_poolings_too(data):
    assert plan(data, patch=(16, 16, 16)).options["depth"] == 2
    assert plan(data, patch=(16, 16, 16), options={"depth": 3}).options["depth"] == 3


def test_ct_that_is_also_painted_is_scaled_as_what_is_painted_is(data):
    measured = ((-100.0, 20.0, 300.0, 40.0, 50.0),)
    dataset, report = hounsfield(data, measured, measured)
    assert plan((replace(dataset, recipe=Recipe()), report)).intensities[0] == CLIPPED
