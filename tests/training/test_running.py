import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import medseg
from medseg import OptionError, ResourceError, save
from medseg.testing.phantoms import make_phantom
from medseg.training.checking import check_dataset
from medseg.training.machine import Machine
from medseg.training.patches import EpochSampler
from medseg.training.plan import Plan, read_plan, taken_up
from medseg.training.reading import read_dataset
from medseg.training.running import run_training
from medseg.training.validation import MEAN, Validation

SHAPE = (24, 20, 16)
SMALL = Plan(
    architecture="unets:unet3d",
    options={"width": 2, "depth": 1, "norm": "instance"},
    loss="builtin:dice-ce",
    spacing_mm=(1.0, 1.0, 1.0),
    patch=(8, 8, 8),
    steps=12,
    epoch_steps=3,
    ema=0.5,
)
HERE = Machine(device="cpu", workers=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("balls")
    cases = []
    for seed in range(3):
        image, truth = make_phantom(shape=SHAPE, seed=seed)
        for place, volume in (("images", image), ("labels", truth)):
            (tmp_path / place).mkdir(exist_ok=True)
            save(volume, tmp_path / place / f"case{seed}.nii.gz")
        entry = {"images": [f"images/case{seed}.nii.gz"], "labels": f"labels/case{seed}.nii.gz"}
        cases.append({**entry, "split": "val" if seed == 2 else "train"})
    listed = {"name": "balls", "labels": ["background", "ball", "egg"], "cases": cases, "licence": "CC0-1.0"}
    (tmp_path / "balls.json").write_text(json.dumps(listed | {"synthesis": {"contrast_share": 0.0}}))
    return tmp_path


def train(folder, out, plan=SMALL, say=lambda line: None, machine=HERE):
    dataset = read_dataset(folder / "balls.json")
    return run_training(dataset, check_dataset(dataset), plan, folder / out, machine=machine, say=say)


def test_networks_learn_with_convolutions_that_are_sound_for_few_voxels(folder, monkeypatch):
    seen = []
    forward = torch.nn.Conv3d.forward

    def watched(layer, x):
        seen.append(all(n > k for n, k in zip(x.shape[2:], layer.kernel_size, strict=True)))
        return forward(layer, x)

    monkeypatch.setattr(torch.nn.Conv3d, "forward", watched)
    options = {"width": 2, "depth": 2, "norm": "instance"}  # 2^3 voxels under 3^3 at the bottom
    train(folder, "mixed", replace(SMALL, options=options, precision="bf16-mixed", steps=3))
    assert seen
    assert all(seen)


class KilledError(Exception):
    pass


def killer(after):
    """Ends a training, as a kill would, once it has said ``after`` lines."""

    def say(line):
        said.append(line)
        if len(said) == after:
            raise KilledError

    said = []
    return say


@pytest.fixture(scope="module")
def whole(folder):
    """A training that nothing disturbed, and what it said."""
    lines = []
    return train(folder, "whole", say=lines.append), lines


def test_a_run_is_a_model_that_segments(folder, whole):
    out, lines = whole
    model = medseg.load_model(str(out))
    result = model.segment(folder / "images/case2.nii.gz")
    assert result.labels.shape == SHAPE
    assert [label.name for label in result.classes] == ["background", "ball", "egg"]
    assert model.description.weights.licence == "CC0-1.0"
    assert len(lines) == 4
    assert "dice ball" in lines[-1]
    assert {"history.csv", "curves.png", "plan.json", "data.json"} <= {p.name for p in out.iterdir()}
    assert len(list((out / "pictures").glob("*.png"))) == 4
    assert read_plan(out / "plan.json") == SMALL


def test_a_training_that_was_stopped_ends_with_the_same_weights(folder, whole):
    with pytest.raises(KilledError):
        train(folder, "stopped", say=killer(3))  # in the third epoch, before its checkpoint
    # With another number of processes that make patches, which must make no difference.
    stopped = train(folder, "stopped", machine=Machine(device="cpu", workers=1))
    ours, theirs = (
        torch.load(out / "checkpoints/last.ckpt", weights_only=True) for out in (whole[0], stopped)
    )
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(ours[part][name], theirs[part][name]) for name in ours[part])
    a, b = (load_file(out / "weights.safetensors") for out in (whole[0], stopped))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert len((stopped / "history.csv").read_text().splitlines()) == 5


@pytest.mark.slow
def test_killed_at_a_random_moment_the_command_goes_on_to_the_same_weights(folder):
    command = [
        *(
            sys.executable,
            "-c",
            "from medseg.cli import main; main()",
            "train",
            str(folder / "balls.json"),
            "--device",
            "cpu",
        ),
        *("--patch", "8", "--steps", "40", "--epoch-steps", "2", "-o", "width=2", "-o", "depth=1"),
    ]
    subprocess.run([*command, "-o", str(folder / "whole")], check=True, capture_output=True)
    moment = np.random.default_rng()
    for _ in range(3):
        running = subprocess.Popen(
            [*command, "-o", str(folder / "killed")], stderr=subprocess.DEVNULL, start_new_session=True
        )
        while running.poll() is None and not (folder / "killed/checkpoints/last.ckpt").exists():
            time.sleep(0.05)
        time.sleep(moment.uniform(0, 3))
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    subprocess.run([*command, "-o", str(folder / "killed")], check=True, capture_output=True)
    a, b = (load_file(folder / out / "weights.safetensors") for out in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_folder_with_another_training_is_refused(folder, whole):
    other = replace(SMALL, learning_rate=1e-2)
    with pytest.raises(OptionError, match=r"learning_rate: 0.002 before, 0.01 now"):
        train(folder, whole[0].name, plan=other)


def test_other_data_in_the_same_folder_are_refused(folder, whole):
    dataset = read_dataset(folder / "balls.json")
    fewer = check_dataset(replace(dataset, cases=dataset.cases[1:]))
    with pytest.raises(OptionError, match=r"the data are not the same"):
        run_training(dataset, fewer, SMALL, whole[0], machine=HERE, say=lambda line: None)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"synthesis": {"contrast_share": 0.0, "noise": 0.5}}, "synthesis of the data are others"),
        ({"labels": ["background", "left", "right"]}, "labels of the data are others"),
        ({"channels": [{"name": "T2", "modality": "MR", "unit": "arbitrary"}]}, "channels of the data are"),
    ],
)
def test_data_that_mean_something_else_in_the_same_folder_are_refused(folder, whole, changes, sentence):
    path = folder / "other.json"
    path.write_text(json.dumps({**json.loads((folder / "balls.json").read_text()), **changes}))
    dataset = read_dataset(path)
    with pytest.raises(OptionError, match=sentence):
        run_training(dataset, check_dataset(dataset), SMALL, whole[0], machine=HERE)


def test_a_training_of_before_that_does_not_say_what_its_data_mean_goes_on(folder, whole):
    shutil.copytree(whole[0], folder / "older")
    path = folder / "older/data.json"
    data = json.loads(path.read_text())
    del data["meaning"]
    path.write_text(json.dumps(data))
    train(folder, "older")
    assert json.loads(path.read_text())["meaning"]["labels"] == ["background", "ball", "egg"]


def test_a_training_whose_checkpoint_was_removed_is_not_begun_anew_over_its_model(folder, whole):
    shutil.copytree(whole[0], folder / "lost")
    shutil.rmtree(folder / "lost/checkpoints")
    with pytest.raises(OptionError, match=r"of 4 epochs whose checkpoint was removed: it cannot go on"):
        train(folder, "lost", plan=replace(SMALL, steps=24))
    assert load_file(folder / "lost/weights.safetensors").keys()
    assert read_plan(folder / "lost/plan.json") == SMALL


def test_the_devices_share_each_steps_patches():
    plan = replace(SMALL, batch=4)
    alone, first, second = (
        EpochSampler(plan),
        EpochSampler(plan, rank=0, world=2),
        EpochSampler(plan, rank=1, world=2),
    )
    for sampler in (alone, first, second):
        sampler.set_epoch(2)
    assert sorted([*first, *second]) == list(alone) == list(range(24, 36))
    for step in range(plan.epoch_steps):
        shared = {*list(first)[2 * step : 2 * step + 2], *list(second)[2 * step : 2 * step + 2]}
        assert shared == set(list(alone)[4 * step : 4 * step + 4])


def test_deep_supervision_trains_too(folder):
    plan = replace(
        SMALL,
        architecture="unets:unetpp",
        options={"width": 2, "depth": 2, "norm": "instance", "deep_supervision": True},
        loss="builtin:deep-supervision",
        steps=1,
        epoch_steps=1,
    )
    assert medseg.load_model(str(train(folder, "deep", plan=plan)))


def scored(monkeypatch, *validations):
    """Validations that find these scores, one after the other, whatever the network."""
    left = list(validations)
    monkeypatch.setattr(Validation, "score", lambda *_, **__: left.pop(0))


def test_a_label_that_is_neither_there_nor_found_does_not_count(folder, monkeypatch):
    found = {2: math.nan, 1: 0.5}
    monkeypatch.setattr("medseg.evaluation.scores.Scores.value", lambda _, *, metric, label: found[label])
    out = train(folder, "one-label", plan=replace(SMALL, steps=3))
    header, line = (out / "history.csv").read_text().splitlines()
    scores = dict(zip(header.split(","), line.split(","), strict=True))
    assert float(scores[MEAN]) == float(scores["dice ball"]) == 0.5
    assert "dice egg" not in scores


def test_a_validation_without_any_score_keeps_the_newest_weights_and_stops_nothing(folder, monkeypatch):
    scored(monkeypatch, {MEAN: 0.5}, {MEAN: 0.25}, {}, {MEAN: 0.75})
    kept, lines = [], []

    def say(line):
        lines.append(line)
        weights = folder / "no-score/weights.safetensors"
        kept.append(weights.read_bytes() if weights.exists() else b"")

    out = train(folder, "no-score", plan=replace(SMALL, patience=2), say=say)
    # What is said comes before what is kept: at each line there are the weights of the epochs before.
    best, worse, unscored = kept[1:]
    assert best == worse != unscored != (out / "weights.safetensors").read_bytes()
    assert [MEAN in line for line in lines] == [True, True, False, True]


@pytest.mark.parametrize(("every", "validated"), [(5, [4]), (3, [3, 4])])
def test_the_last_epoch_is_validated_whatever_the_rhythm(folder, monkeypatch, every, validated):
    scored(monkeypatch, *({MEAN: 0.5 + n / 10} for n in range(len(validated))))
    lines = []
    out = train(folder, f"every-{every}", plan=replace(SMALL, validate_every=every), say=lines.append)
    assert [n for n, line in enumerate(lines, start=1) if MEAN in line] == validated
    network = torch.load(out / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    kept = load_file(out / "weights.safetensors")
    assert kept
    assert all(torch.equal(tensor, network[f"network.backbone.{name}"]) for name, tensor in kept.items())


def test_an_epoch_that_was_not_validated_has_no_score(folder, monkeypatch):
    scored(monkeypatch, {MEAN: 0.5}, {MEAN: 0.6})
    lines = []
    train(folder, "every-2", plan=replace(SMALL, validate_every=2), say=lines.append)
    assert [MEAN in line for line in lines] == [False, True, False, True]


@pytest.mark.parametrize("name", ["README.md", "contract.json", "weights.safetensors"])
def test_a_folder_that_holds_something_else_is_not_taken(folder, name):
    other = folder / f"other-{name}"
    other.mkdir()
    (other / name).write_text("by hand")
    with pytest.raises(OptionError, match=f"has a {name} and is no run of medseg train"):
        train(folder, other.name)
    assert [path.read_text() for path in other.iterdir()] == ["by hand"]


def test_a_file_in_the_place_of_a_run_is_refused(folder):
    with pytest.raises(ResourceError, match="cannot make the folder"):
        train(folder, "balls.json")


def test_a_plan_with_which_nothing_began_does_not_bind(folder):
    """What was wrong in it can be put right in the same folder."""
    assert taken_up(folder / "wrong", {}) == {}
    (folder / "wrong").mkdir()
    (folder / "wrong/plan.json").write_text(json.dumps(replace(SMALL, steps=3).as_json()))
    assert taken_up(folder / "wrong", {}) == {}
    train(folder, "wrong")
    assert taken_up(folder / "wrong", {})["steps"] == SMALL.steps


def test_a_training_that_has_ended_without_a_model_is_told_so(folder, whole):
    ended = folder / "ended"
    shutil.copytree(whole[0], ended)
    (ended / "contract.json").unlink()
    with pytest.raises(OptionError, match="at its last step, 12, and kept no weights: raise --steps"):
        train(folder, "ended")


def test_a_training_that_stopped_early_is_finished_until_its_steps_are_raised(folder, monkeypatch):
    plan = replace(SMALL, patience=2, schedule="constant")
    scored(monkeypatch, *[{MEAN: 0.5}] * 9)
    lines = []
    train(folder, "early", plan=plan, say=lines.append)
    assert len(lines) == 3
    for steps, further in ((12, 0), (18, 2), (18, 0)):
        lines = []
        train(folder, "early", plan=replace(plan, steps=steps), say=lines.append)
        told = [line for line in lines if "ended at step" in line]
        assert (len(lines) - len(told), bool(told)) == (further, not further)
    assert told == [
        "this training ended at step 15, after 2 validations without a better score; raise --steps to go on"
    ]


def test_one_patch_a_device_is_refused_where_a_network_has_batch_norm(folder):
    plan = replace(SMALL, batch=2, options={**SMALL.options, "norm": "batch"})
    two = replace(HERE, devices=2)
    with pytest.raises(OptionError, match=r"each of 2 devices has 1 patch in a step: .* Give --batch 4"):
        train(folder, "apart", plan=plan, machine=two)


def test_the_devices_share_the_statistics_of_batch_norm_on_gpus_alone(folder, monkeypatch):
    given = []

    class StoppedError(Exception):
        pass

    def trainer(**options):
        given.append(options["sync_batchnorm"])
        raise StoppedError

    monkeypatch.setattr("pytorch_lightning.Trainer", trainer)
    plan = replace(SMALL, options={**SMALL.options, "norm": "batch"})
    for device, devices, batch in (("cpu", 2, 4), ("cuda", 1, 2), ("cuda", 2, 2)):
        monkeypatch.setattr("torch.cuda.is_available", lambda device=device: device == "cuda")
        machine = Machine(device=device, devices=devices, workers=0)
        with pytest.raises(StoppedError):
            train(folder, f"sync-{device}-{devices}", plan=replace(plan, batch=batch), machine=machine)
    assert given == [False, False, True]


def test_a_loss_that_is_no_number_ends_the_training_and_is_not_kept(folder):
    plan = replace(SMALL, learning_rate=1e30, warmup=1)
    with pytest.raises(
        OptionError, match=r"the loss is (nan|inf) at step \d+, wanted a number\. Give a lower"
    ):
        train(folder, "diverged", plan)
    assert not (folder / "diverged" / "weights.safetensors").exists()
