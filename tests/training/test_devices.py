"""Two processes that share each step's patches learn what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medseg import save
from medseg.testing.phantoms import make_phantom


@pytest.fixture
def folder(tmp_path):
    for seed in range(2):
        image, truth = make_phantom(shape=(24, 20, 16), seed=seed)
        for place, volume in (("images", image), ("labels", truth)):
            (tmp_path / place).mkdir(exist_ok=True)
            save(volume, tmp_path / place / f"case{seed}.nii.gz")
    return tmp_path


def train(folder, out, *arguments):
    command = [
        *(str(Path(sys.executable).with_name("medseg")), "train", str(folder), "-o", str(folder / out)),
        *("--device", "cpu", "--patch", "8", "--batch", "2", "--steps", "4", "--epoch-steps", "2"),
        *("-o", "width=2", "-o", "depth=1", "--workers", "0", "--ema", "0", *arguments),
    ]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
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
