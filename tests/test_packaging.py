"""medseg package: what was trained is installed by pip, segments, and keeps every promise."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import medseg
from medseg.cli import main
from medseg.model import Locator
from medseg.model_folder import read_model, write_model
from medseg.registry import default_registry
from medseg.testing.phantoms import make_phantom
from medseg.training.checking import check_dataset
from medseg.training.machine import Machine
from medseg.training.plan import Plan
from medseg.training.reading import read_dataset
from medseg.training.running import run_training

PLAN = Plan(
    architecture="unets:unet3d",
    options={"width": 2, "depth": 1, "norm": "instance"},
    loss="builtin:dice-ce",
    spacing_mm=(1.0, 1.0, 1.0),
    patch=(16, 16, 16),
    steps=20,
    epoch_steps=20,
    learning_rate=0.02,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Samples, a run that was trained on others, and the same model with another name."""
    tmp_path = tmp_path_factory.mktemp("packaging")
    cases = []
    for seed in range(2):
        image, truth = make_phantom(shape=(24, 20, 16), seed=seed, labels=1)
        place = tmp_path / ("samples" if seed else "data")
        place.mkdir()
        medseg.save(image, place / "image.nii.gz")
        medseg.save(truth, place / "truth.nii.gz")
        cases.append({"name": "Jane Doe", "images": ["image.nii.gz"], "labels": "truth.nii.gz"})
    listed = {"name": "Balls", "labels": ["background", "ball"], "cases": cases[:1], "licence": "CC0-1.0"}
    (tmp_path / "data/balls.json").write_text(json.dumps(listed))
    dataset = read_dataset(tmp_path / "data/balls.json")
    machine = Machine(device="cpu", workers=0)
    run = tmp_path / "run"
    run_training(dataset, check_dataset(dataset), PLAN, run, machine=machine, say=lambda line: None)
    return tmp_path


@pytest.fixture(autouse=True)
def samples(folder, monkeypatch):
    monkeypatch.setattr("medseg.samples.FOLDER", folder / "samples")


def package(*arguments):
    return CliRunner().invoke(main, ["package", *map(str, arguments)])


PROBE = ("--probe", "image.nii.gz", "truth.nii.gz", "1")


@pytest.fixture(scope="module")
def site(folder):
    """A folder into which pip installed a distribution of two models, without network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medseg.samples.FOLDER", folder / "samples")
        done = package(
            folder / "run", f"other={folder / 'run'}", "-o", folder, "--name", "medseg-some-balls", *PROBE
        )
    assert done.exit_code == 0, done.output
    command = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    subprocess.run(
        [sys.executable, *command, "--target", folder / "site", folder / "medseg-some-balls"], check=True
    )
    return folder / "site"


def installed(site, *arguments):
    program = (
        "import pathlib, medseg.samples; "
        f"medseg.samples.FOLDER = pathlib.Path({str(site.parent / 'samples')!r}); "
        "from medseg.cli import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_was_packaged_keeps_every_promise_once_it_is_installed(site):
    done = installed(site, "plugin", "check", "some-balls", "--json")
    assert done.returncode == 0, done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert {check["status"] for check in checks} == {"passed"}
    assert {"model/balls/probe-is-met", "model/other/weights-fit"} <= {check["id"] for check in checks}


def test_it_segments_as_the_run_does_with_half_the_bytes(folder, site):
    image, out = folder / "samples/image.nii.gz", folder / "out.nii.gz"
    done = installed(site, "segment", image, "-m", "some-balls:balls", "-o", out)
    assert done.returncode == 0, done.stderr
    first = medseg.segment(image, str(folder / "run")).labels.array
    assert (first > 0).any()
    assert (medseg.load(out, kind="labels").array != first).mean() < 1e-3
    weights = site / "medseg_some_balls/models/balls/weights.safetensors"
    assert {tensor.dtype for tensor in load_file(weights).values()} == {torch.float16}


def test_a_packaged_model_is_packaged_again_with_its_record(site, tmp_path):
    once = site / "medseg_some_balls/models/balls"
    done = installed(site, "package", f"balls={once}", "-o", tmp_path, "--name", "medseg-twice", *PROBE)
    assert done.returncode == 0, done.stderr
    twice = tmp_path / "medseg-twice/src/medseg_twice/models/balls"
    for file in ("training.json", "history.csv", "weights.safetensors"):
        assert (once / file).read_bytes() == (twice / file).read_bytes()


def test_licence_card_and_record_go_along_without_names_of_patients(folder, site):
    root = folder / "medseg-some-balls"
    assert "balls: CC0-1.0" in (root / "LICENSE").read_text()
    assert 'license = "Apache-2.0 AND CC0-1.0"' in (root / "pyproject.toml").read_text()
    assert '"medseg", "medseg-unets"' in (root / "pyproject.toml").read_text()
    assert "medseg segment IMAGE -m some-balls:balls" in (root / "README.md").read_text()
    inside = site / "medseg_some_balls/models/balls"
    assert {"contract.json", "weights.safetensors", "README.md", "training.json", "history.csv"} == {
        path.name for path in inside.iterdir()
    }
    record = json.loads((inside / "training.json").read_text())
    assert record["plan"]["steps"] == PLAN.steps
    texts = [path.read_text() for path in root.rglob("*") if path.suffix in (".json", ".md", ".csv", ".toml")]
    assert not any("Jane" in text for text in texts)


def test_notices_of_one_name_all_go_along(folder, tmp_path):
    notices = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        notices.append(tmp_path / place / "LICENSE.txt")
        notices[-1].write_text(f"licence of {place}")
    flags = [part for notice in notices for part in ("--notice", notice)]
    done = package(folder / "run", "-o", tmp_path, *flags)
    assert done.exit_code == 0, done.output
    root = tmp_path / "medseg-balls"
    texts = {path.name: path.read_text() for path in root.glob("LICENSE.*")}
    assert texts == {"LICENSE.LICENSE.txt": "licence of a", "LICENSE.LICENSE-2.txt": "licence of b"}
    assert all(name in (root / "LICENSE").read_text() for name in texts)


def test_without_a_probe_the_weights_stay_as_they_are(folder):
    done = package(folder / "run", "-o", folder / "plain")
    assert done.exit_code == 0, done.output
    packed = load_file(folder / "plain/medseg-balls/src/medseg_balls/models/balls/weights.safetensors")
    first = load_file(folder / "run/weights.safetensors")
    assert all(torch.equal(packed[name], first[name]) for name in first)


def test_weights_whose_labels_16_bits_change_are_refused(folder, tmp_path):
    model = read_model(folder / "run")
    tensors = load_file(folder / "run/weights.safetensors")
    scores = {name: tensor * 1e-9 for name, tensor in tensors.items() if name.startswith("head.")}
    tensors |= scores  # they are 0 in 16 bits, and not in 32
    write_model(tmp_path / "tiny", model, tensors)
    done = package(tmp_path / "tiny", "-o", tmp_path, *PROBE)
    assert done.exit_code == 2
    assert "keep them with --bits 32" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "balls"), "wanted medseg- and the plugin's name"),
        (("--name", "medseg-unets-"), "is not allowed"),
        (("--bits", "16"), "give --probe too"),
        (("--probe", "image.nii.gz", "truth.nii.gz", "ball"), "wanted a label's number"),
    ],
)
def test_what_cannot_be_packaged_is_refused(folder, tmp_path, arguments, message):
    done = package(folder / "run", "-o", tmp_path, *arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("licence", ["CC BY 4.0", "CC-BY-SA 4.0", "MIT OR", "free for research"])
def test_a_licence_that_is_no_expression_is_refused(folder, tmp_path, licence):
    done = package(folder / "run", "-o", tmp_path, "--name", "medseg-balls", "--licence", licence)
    assert "is no SPDX expression" in done.output
    assert not list(tmp_path.iterdir())


def test_a_probe_that_is_no_sample_is_refused(folder, tmp_path):
    elsewhere = [str(folder / "samples" / name) for name in ("image.nii.gz", "truth.nii.gz")]
    done = package(folder / "run", "-o", tmp_path, "--name", "medseg-balls", "--probe", *elsewhere, "1")
    assert "is no sample's name" in done.output
    assert not list(tmp_path.iterdir())


def test_a_name_twice_a_plugins_name_and_a_licence_that_nobody_stated_are_refused(folder, tmp_path):
    assert "give each a name" in package(folder / "run", folder / "run", "-o", tmp_path).output
    taken = package(folder / "run", "-o", tmp_path, "--name", "medseg-builtin")
    assert "taken by medseg" in taken.output
    unstated = read_model(folder / "run")
    contract = folder / "run/contract.json"
    text = contract.read_text()
    try:
        contract.write_text(text.replace(unstated.weights.licence, "LicenseRef-unstated"))
        assert "give --licence" in package(folder / "run", "-o", tmp_path).output
        assert package(folder / "run", "-o", tmp_path, "--licence", "MIT").exit_code == 0
    finally:
        contract.write_text(text)


def test_a_model_whose_locator_nobody_else_has_is_refused(folder, tmp_path, monkeypatch):
    own, run = read_model(folder / "run"), tmp_path / "run"
    tensors = load_file(folder / "run/weights.safetensors")
    write_model(tmp_path / "home/models/balls", own, tensors)
    shown = replace(own.input, locator=Locator(model="local:balls"))
    write_model(run, replace(own, input=shown), tensors)
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    default_registry.cache_clear()
    try:
        done = package(run, "-o", tmp_path / "dist")
    finally:
        default_registry.cache_clear()
    assert done.exit_code == 2
    assert "sees what local:balls finds" in done.output
    assert not (tmp_path / "dist/medseg-balls").exists()


def test_a_probe_may_call_the_label_otherwise(folder, tmp_path):
    truth = medseg.load(folder / "samples/truth.nii.gz", kind="labels")
    medseg.save(truth.with_array((truth.array * 7).astype(np.uint8)), folder / "samples/sevens.nii.gz")
    expected = {}
    for name, probe in (("a", ("truth.nii.gz", "1")), ("b", ("sevens.nii.gz", "1=7"))):
        done = package(
            f"{name}={folder / 'run'}", "-o", tmp_path, "--json", "--probe", "image.nii.gz", *probe
        )
        (expected[name],) = [model["probe_dice"] for model in json.loads(done.stdout)["models"]]
    assert expected["a"] == expected["b"] > 0
