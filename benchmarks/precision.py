"""A trained model in float32 and in int8: seconds of a window, and Dice to float32, on real heads.

    OMP_NUM_THREADS=2 python benchmarks/precision.py

The network of brain-mask on the box that its locator finds, at a size of the grid that is given. int8 is
calibrated with the first head alone, as ``medseg segment --precision int8`` does, and measured on the others,
which it has not seen. Backends take turns, and what counts is the least of the rounds.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import torch

import medseg
from medseg.agreement import agreement
from medseg.builtin.backends import eager
from medseg.builtin.openvino_backends import openvino, openvino_int8
from medseg.geometry import crop, reorient
from medseg.inference.calibration import windows_of
from medseg.inference.network import LogitsOf
from medseg.inference.run import Run
from medseg.loaded import LoadedModel
from medseg.plugin import WholeGrid
from medseg.predict import load_network
from medseg.progress import CancelToken
from medseg.registry import default_registry
from medseg.samples import find_sample

HEADS = ("s1_t1_head_defaced", "colin27_t1_head", "itk_t1_head_2x2x3mm", "tumour1_t1gd_head")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="voxels along each axis of the network's grid")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--least-dice", type=float, default=0.995)
    given = parser.parse_args()
    model = on_grid(given.size)
    with torch.inference_mode():
        images = {name: prepared(model, name) for name in HEADS}
        grid = WholeGrid(shape=(given.size,) * 3)
        module = LogitsOf(model._engine._network, (1.0, 1.0, 1.0), grid)
        windows = windows_of(images[HEADS[0]], grid)
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            int8 = openvino_int8(module, windows, dice=given.least_dice, saved=str(Path(folder) / "int8.bin"))
            ready = time.perf_counter() - begin
        calls = {"eager": eager(module, windows), "openvino": openvino(module, windows[:1]), "int8": int8}
        seconds = seconds_of(calls, windows[:1], given.rounds)
        print(f"{torch.get_num_threads()} threads, brain-mask at {given.size}^3; int8 ready in {ready:.0f} s")
        print(f"{'':10}{'window':>9}{'ratio':>7}  Dice to eager: " + ", ".join(HEADS))
        for name, call in calls.items():
            found = [agreement(call(image[None]), module(image[None])).dice for image in images.values()]
            print(
                f"{name:10}{seconds[name]:8.2f} s{seconds[name] / seconds['eager']:7.2f}  "
                + ", ".join(f"{dice:.4f}" for dice in found)
            )


def on_grid(size: int) -> LoadedModel:
    """brain-mask on a grid of another size."""
    found = default_registry().find("model", "brain-mask")
    wanted = dataclasses.replace(found.component.input, patch=WholeGrid(shape=(size,) * 3))
    component = dataclasses.replace(found.component, input=wanted)
    found = dataclasses.replace(found, component=component)
    return load_network(found, device="cpu", registry=default_registry())


def prepared(model: LoadedModel, name: str) -> torch.Tensor:
    """What the network sees of a head (1,I,J,K)."""
    head = reorient(medseg.load(find_sample(f"{name}.nii.gz")), model.description.input.orientation)[0]
    run = Run(progress=None, cancel=CancelToken())
    box = model._locator.box([head], model.description.input.locator, run)
    return model._prepare([crop(head, *box)[0]], run)[0]


def seconds_of(calls: dict, window: torch.Tensor, rounds: int) -> dict[str, float]:
    """The least of several rounds, after one to warm up."""
    least = dict.fromkeys(calls, float("inf"))
    for turn in range(rounds + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            call(window)
            if turn:
                least[name] = min(least[name], time.perf_counter() - begin)
    return least


if __name__ == "__main__":
    main()
