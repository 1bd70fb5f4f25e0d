"""A training with a locator: patches hold what the model will be shown, and no more."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import medseg
from medseg.cli import main
from medseg.errors import ContractError, OptionError, UnknownNameError
from medseg.geometry import crop, reorient
from medseg.model import Locator
from medseg.plugin import Channel
from medseg.registry import default_registry
from medseg.training.checking import check_dataset
from medseg.training.contracts import contract_of, input_of
from medseg.training.dataset import Case, Dataset, label
from medseg.training.locating import load_locating
from medseg.training.machine import Machine
from medseg.training.plan import Plan, read_plan
from medseg.training.planning import make_plan
from medseg.training.prepared import prepare_image, prepare_regions
from medseg.training.running import run_training
from medseg.volume import Volume

PLAN = Plan(
    architecture="unets:unet3d",
    options={"width": 2, "depth": 1, "norm": "instance"},
    loss="builtin:dice-ce",
    spacing_mm=(1, 1, 1),
    patch=(8, 8, 8),
    steps=2,
    epoch_steps=2,
    locator=Locator(model="tiny:bright", margin=0.25),
)
BOX = (slice(4, 16), slice(5, 15), slice(7, 13))  # a quarter of 8, 6, 4 voxels on each side, to whole ones

pytestmark = pytest.mark.usefixtures("tiny")


def organ(seed=0):
    """A bright block of 8 x 6 x 4 voxels in noise, and within it what is to be learnt."""
    image = np.random.default_rng(seed).uniform(0, 50, (20, 18, 16)).astype(np.float32)
    image[6:14, 7:13, 8:12] += 150
    labels = np.zeros(image.shape, np.uint8)
    labels[7:13, 8:12, 9:11] = 1
    labels[6, 7, 8] = seed > 0  # no two cases have the same map
    return Volume(image, np.eye(4)), Volume(labels, np.eye(4), kind="labels")


def dataset_in(folder, volumes, *, orientation="RAS", seen=True):
    cases = []
    for n, (image, labels) in enumerate(volumes):
        medseg.save(reorient(image, orientation)[0], folder / f"image{n}.nii.gz")
        medseg.save(reorient(labels, orientation)[0], folder / f"labels{n}.nii.gz")
        images = (folder / f"image{n}.nii.gz",) if seen else ()
        split = "val" if n else "train"
        cases.append(Case(name=f"case{n}", images=images, labels=folder / f"labels{n}.nii.gz", split=split))
    return Dataset(
        name="d",
        channels=(Channel(name="T1w", modality="MR", unit="arbitrary"),),
        labels=(label(0, "background"), label(1, "core")),
        cases=tuple(cases),
    )


def prepared(dataset, folder, plan=PLAN):
    case, registry = dataset.cases[0], default_registry()
    facts = check_dataset(dataset).facts[0]
    locating = load_locating(plan.locator, device="cpu", registry=registry)
    regions = prepare_regions(case, facts, dataset, folder, beyond_mm=5, locating=locating)
    if not case.images:
        return None, regions
    wanted = input_of(plan, dataset)
    pictured = prepare_image(
        case, facts, dataset, folder, wanted=wanted, registry=registry, locating=locating
    )
    return pictured, regions


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "SRA"])
def test_image_classes_and_regions_are_those_of_the_box(tmp_path, orientation):
    image, labels = organ()
    pictured, regions = prepared(dataset_in(tmp_path, [(image, labels)], orientation=orientation), tmp_path)
    inside = image.array[BOX]
    low, high = np.percentile(inside, [0.5, 99.5])
    # The limits are those of what is shown, as when the model is used.
    expected = (np.clip(inside, low, high) - low) / (high - low)
    np.testing.assert_allclose(pictured.image[0], expected, atol=0.01)
    np.testing.assert_array_equal(pictured.classes, labels.array[BOX])
    np.testing.assert_array_equal(regions.labels, labels.array[BOX])


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 0.7), (1.5, 1.5, 1.5), (2.0, 1.3, 0.8)])
def test_image_and_classes_of_a_box_stay_on_top_of_each_other_at_any_spacing(tmp_path, spacing):
    labels = np.zeros((21, 18, 17), np.uint8)
    labels[5:14, 6:13, 7:13] = 1
    volumes = (Volume(labels * np.float32(200), np.eye(4)), Volume(labels, np.eye(4), kind="labels"))
    plan = replace(PLAN, spacing_mm=spacing, locator=Locator(model="tiny:bright", margin=0.3))
    pictured, _ = prepared(dataset_in(tmp_path, [volumes]), tmp_path, plan)
    np.testing.assert_array_equal(pictured.classes, pictured.image[0] > 0.5)


def test_without_an_image_the_box_is_about_what_is_learnt(tmp_path):
    dataset = dataset_in(tmp_path, [organ()], seen=False)
    _, regions = prepared(dataset, tmp_path)
    # 6 x 4 x 2 voxels: 1.5, 1 and 0.5 more on each side.
    np.testing.assert_array_equal(regions.labels, organ()[1].array[5:15, 7:13, 8:12])


def test_another_margin_is_another_file(tmp_path):
    dataset = dataset_in(tmp_path, [organ()])
    shapes = {
        prepared(dataset, tmp_path, replace(PLAN, locator=locator))[0].classes.shape
        for locator in (
            Locator(model="tiny:bright", margin=0.0),
            Locator(model="tiny:bright", margin=0.25),
            None,
        )
    }
    assert shapes == {(8, 6, 4), (12, 10, 6), (20, 18, 16)}


def test_a_case_in_which_nothing_is_found_is_named(tmp_path):
    image, labels = organ()
    dark = image.with_array(image.array / 10)
    with pytest.raises(ContractError, match=r"case0: .*finds no bright"):
        prepared(dataset_in(tmp_path, [(dark, labels)]), tmp_path)


def test_a_run_with_a_locator_is_a_model_that_sees_the_box(tmp_path):
    dataset = dataset_in(tmp_path, [organ(), organ(1)])
    report = check_dataset(dataset)
    lines = []
    run = run_training(
        dataset, report, PLAN, tmp_path / "run", machine=Machine(device="cpu", workers=0), say=lines.append
    )
    assert "dice" in lines[-1]  # validated with the locator too
    model = medseg.load_model(str(run), device="cpu")
    assert model.description.input.locator == PLAN.locator
    assert read_plan(run / "plan.json") == PLAN
    image, _ = organ(2)
    whole = model.segment(image)
    assert whole.provenance["locator"]["model"] == "tiny:bright"
    outside = whole.labels.array.copy()
    outside[BOX] = 0
    assert not outside.any()
    # What is outside is not seen: the same answer whatever lies there.
    other = np.full(image.shape, 20, np.float32)
    other[BOX] = crop(image, [s.start for s in BOX], [s.stop for s in BOX])[0].array
    np.testing.assert_array_equal(model.segment(image.with_array(other)).labels.array, whole.labels.array)


def test_the_command_takes_a_locator_by_a_short_name(tmp_path):
    dataset_in(tmp_path, [organ()])
    cases = [{"name": "a", "images": ["image0.nii.gz"], "labels": "labels0.nii.gz"}]
    (tmp_path / "d.json").write_text(
        json.dumps({"name": "d", "labels": ["background", "core"], "cases": cases})
    )
    arguments = [
        "train",
        str(tmp_path / "d.json"),
        "-o",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        "--plan-only",
    ]
    done = CliRunner().invoke(main, [*arguments, "--patch", "32", "--locator", "bright"])
    assert done.exit_code == 0, done.output
    assert "around what tiny:bright finds" in done.output


def test_steps_after_the_network_are_planned_by_full_name_and_in_the_contract(tmp_path):
    dataset = dataset_in(tmp_path, [organ()])
    report, registry = check_dataset(dataset), default_registry()
    more = {"memory_bytes": 2**30, "on_gpu": False, "registry": registry}
    given = {"patch": (32, 32, 32), "post": (("main-body", {"bridge_mm": 3.0}),)}
    plan = make_plan(dataset, report, given=given, **more)
    assert plan.post == (("builtin:main-body", {"bridge_mm": 3.0}),)
    assert contract_of(plan, dataset).post == plan.post
    (tmp_path / "plan.json").write_text(json.dumps(plan.as_json()))
    assert read_plan(tmp_path / "plan.json") == plan
    assert make_plan(dataset, report, given={**given, "post": plan.post}, **more) == plan
    with pytest.raises(OptionError, match="builtin:rescale works on images before the network"):
        make_plan(dataset, report, given={**given, "post": (("rescale", {}),)}, **more)


def test_a_locator_that_is_not_installed_is_refused(tmp_path):
    dataset = dataset_in(tmp_path, [organ()])
    given = {"locator": Locator(model="nowhere"), "patch": (8, 8, 8)}
    with pytest.raises(UnknownNameError, match="nowhere"):
        make_plan(
            dataset,
            check_dataset(dataset),
            given=given,
            memory_bytes=2**30,
            on_gpu=False,
            registry=default_registry(),
        )
