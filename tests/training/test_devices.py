"""Two processes that share each step's patches learn what one does."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from medseg import OptionError, save
from medseg.testing.phantoms import make_phantom
from medseg.training.machine import Machine, SamePlan
from medseg.training.plan import Plan


@pytest.fixture
def folder(tmp_path):
    for seed in range(2):
        image, truth = make_phantom(shape=(24, 20, 16), seed=seed)
        for place, volume in (("images", image), ("labels", truth)):
            (tmp_path / place).mkdir(exist_ok=True)
            save(volume, tmp_path / place / f"case{seed}.nii.gz")
    return tmp_path


def train(folder, out, *arguments, **environment):
    command = [
        *(str(Path(sys.executable).with_name("medseg")), "train", str(folder), "-o", str(folder / out)),
        *("--device", "cpu", "--patch", "8", "--batch", "2", "--steps", "4", "--epoch-steps", "2"),
        *("-o", "width=2", "-o", "depth=1", "--workers", "0", "--ema", "0", *arguments),
    ]
    done = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_two_processes_learn_what_one_does(folder):
    train(folder, "one")
    train(folder, "two", "--devices", "2")
    one, two = (
        torch.load(folder / out / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for out in ("one", "two")
    )
    start = json.loads((folder / "one/plan.json").read_text())
    assert start == json.loads((folder / "two/plan.json").read_text())
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        # Sums in another order: float32's rounding, which AdamW's division by the deviation enlarges.
        torch.testing.assert_close(tensor, two[name], rtol=1e-3, atol=1e-4)


def test_a_process_that_the_first_one_started_takes_its_plan_and_makes_none(folder):
    """Else each would plan by the memory that is free when it starts."""
    train(folder, "run")
    plan = json.loads((folder / "run/plan.json").read_text())
    done = train(folder, "run", "--learning-rate", "7", "--plan-only", "--json", LOCAL_RANK="1")
    assert "learning rate" not in done.stderr
    assert done.stdout == ""
    own = train(
        folder, "other", "--learning-rate", "7", "--plan-only", LOCAL_RANK="1", TORCHELASTIC_RUN_ID="1"
    )
    assert "learning rate 7" in own.stderr  # torchrun starts all at once
    assert json.loads((folder / "run/plan.json").read_text()) == plan


def test_one_gpu_by_its_number_or_several_devices():
    assert Machine(device="cuda", index=1).world == 1
    with pytest.raises(OptionError, match="GPU 1 was asked for, and 2 devices"):
        Machine(device="cuda", index=1, devices=2)
    assert Machine(device="cpu", devices=2).place == "cpu"


@pytest.mark.parametrize("same", [True, False])
def test_computers_with_different_plans_do_not_begin(same):
    plan = Plan(architecture="unets:unet3d", loss="builtin:dice-ce", spacing_mm=(1, 1, 1), patch=(8, 8, 8))
    mine, theirs = SamePlan(plan), SamePlan(plan if same else replace(plan, patch=(8, 8, 16)))
    strategy = SimpleNamespace(all_gather=lambda own: torch.stack([own, torch.tensor([theirs._number])]))
    trainer, module = SimpleNamespace(world_size=2, strategy=strategy), SimpleNamespace(device="cpu")
    with nullcontext() if same else pytest.raises(OptionError, match=r"computers .* made different plans"):
        mine.on_fit_start(trainer, module)
