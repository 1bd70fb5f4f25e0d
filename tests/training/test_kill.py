"""kill -9 at a random step, with worker processes: the training that goes on ends with the same bits."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medseg import save
from medseg.testing.phantoms import make_phantom
from medseg.training.checking import check_dataset
from medseg.training.machine import Machine
from medseg.training.plan import Plan
from medseg.training.reading import read_dataset
from medseg.training.running import run_training

PLAN = Plan(
    architecture="unets:unet",
    options={"width": 2, "depth": 1, "norm": "instance", "dropout": 0.5},
    loss="builtin:dice-ce",
    spacing_mm=(1.0, 1.0, 1.0),
    patch=(8, 8, 8),
    steps=12,
    epoch_steps=3,
    ema=0.9,
)
WORKERS = Machine(device="cpu", workers=2)
# A process that kills itself, as nothing can be caught or tidied up, once it has begun a certain step.
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_kill import start
from medseg.training.learner import Learner
step = Learner.training_step
def until_killed(self, batch, number):
    if self.global_step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, number)
Learner.training_step = until_killed
start(sys.argv[2], "killed")
"""


def start(folder, out):
    dataset = read_dataset(Path(folder) / "balls.json")
    report = check_dataset(dataset)
    return run_training(dataset, report, PLAN, Path(folder) / out, machine=WORKERS, say=lambda line: None)


@pytest.fixture
def folder(tmp_path):
    cases = []
    for seed in range(3):
        image, truth = make_phantom(shape=(24, 20, 16), seed=seed)
        for place, volume in (("images", image), ("labels", truth)):
            (tmp_path / place).mkdir(exist_ok=True)
            save(volume, tmp_path / place / f"case{seed}.nii.gz")
        entry = {"images": [f"images/case{seed}.nii.gz"], "labels": f"labels/case{seed}.nii.gz"}
        cases.append({**entry, "split": "val" if seed == 2 else "train"})
    listed = {"labels": ["background", "ball", "egg"], "cases": cases, "synthesis": {}}
    (tmp_path / "balls.json").write_text(json.dumps(listed))
    return tmp_path


def differing(ours, theirs, where=""):
    """Where two checkpoints differ; paths in them, times and versions aside."""
    if isinstance(ours, torch.Tensor):
        return [] if torch.equal(ours, theirs) else [where]
    if isinstance(ours, dict):
        if ours.keys() != theirs.keys():
            return [where]
        return [found for key in ours for found in differing(ours[key], theirs[key], f"{where}.{key}")]
    if isinstance(ours, list | tuple):
        return [
            found
            for n, (a, b) in enumerate(zip(ours, theirs, strict=True))
            for found in differing(a, b, f"{where}.{n}")
        ]
    return [] if ours == theirs else [where]


def test_killed_at_a_random_step_it_ends_with_the_same_weights(folder):
    moment = random.randrange(PLAN.epoch_steps, PLAN.steps)  # there is a checkpoint to go on from
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(folder), str(moment)]
    killed = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}, check=False
    )
    assert killed.returncode == -signal.SIGKILL

    whole, again = start(folder, "whole"), start(folder, "killed")

    a, b = (torch.load(out / "checkpoints/last.ckpt", weights_only=True) for out in (whole, again))
    assert a["global_step"] == b["global_step"] == PLAN.steps
    # Weights, their average, the optimiser's moments and the schedule.
    for part in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers"):
        assert differing(a[part], b[part]) == [], f"{part} differs after a kill at step {moment}"
    first, second = (load_file(out / "weights.safetensors") for out in (whole, again))
    assert differing(first, second) == [], f"the model differs after a kill at step {moment}"
