"""Peak memory of ``medseg segment``, as the system counts it, against what was predicted.

    OMP_NUM_THREADS=2 python benchmarks/memory_limits.py

Each run is the command itself, in a process of its own, on a volume of noise and a small U-Net with
random weights. What counts is the largest resident memory of that process. "over the image" is that
less the peak of a process that only reads the volume with torch imported.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from medseg.formats import save
from medseg.model_folder import write_model
from medseg.plugin import Channel, Input, Label, Model, Weights, Windows
from medseg.segmenter import build
from medseg.volume import Volume

READ = "import sys, torch, medseg.predict; from medseg.formats import load; load(sys.argv[1])"


@dataclass(frozen=True)
class Run:
    """One run: the volume, its voxels' size, the model's classes and spacing, and the limit."""

    title: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    classes: int
    network_mm: float
    max_ram: str = ""


RUNS = {
    "classes": Run("118 classes, 3 mm", (512, 512, 400), (0.75, 0.75, 1.0), 118, 3.0),
    "limit": Run("25 classes, 1.5 mm", (512, 512, 1000), (0.75, 0.75, 1.0), 25, 1.5, "4GiB"),
    "native": Run("3 classes, as stored", (512, 512, 1000), (0.75, 0.75, 1.0), 3, 0.0, "4GiB"),
    "many": Run("118 classes, 1.5 mm", (512, 512, 400), (0.75, 0.75, 1.0), 118, 1.5, "2500MiB"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="*", default=["classes", "limit"], help=", ".join(RUNS))
    parser.add_argument("--backend", default="eager")
    parser.add_argument("--width", type=int, default=2)
    parser.add_argument("--window", type=int, default=96)
    given = parser.parse_args()
    print(f"{'':22}{'volume':>16}{'limit':>9}{'seconds':>9}{'peak MB':>9}{'predicted':>11}{'over image':>12}")
    for name in given.runs:
        with tempfile.TemporaryDirectory() as folder:
            measure(RUNS[name], Path(folder), given)


def measure(run: Run, folder: Path, given: argparse.Namespace) -> None:
    model, volume, out = folder / "model", folder / "volume.nii", folder / "labels.nii"
    write(run, model, volume, given)
    alone = peak_of([sys.executable, "-c", READ, str(volume)])
    limit = ["--max-ram", run.max_ram] if run.max_ram else []
    command = [
        str(Path(sys.executable).with_name("medseg")),
        "segment",
        str(volume),
        "-m",
        str(model),
        "-o",
        str(out),
    ]
    begin = time.perf_counter()
    peak = peak_of([*command, "--device", "cpu", "--backend", given.backend, *limit])
    seconds = time.perf_counter() - begin
    plan = find_plan(out.with_name("labels.json"))
    print(
        f"{run.title:22}{'x'.join(map(str, run.shape)):>16}{run.max_ram:>9}{seconds:9.0f}{peak / 1e6:9.0f}"
        f"{plan['peak'] / 1e6:8.0f}{(plan['peak'] - peak) / peak:+6.0%}{(peak - alone) / 1e6:9.0f} MB"
        f"   sums: {plan['room']['stitch']}, arrays: {plan['room']['arrays']}",
        flush=True,
    )


def find_plan(record: Path) -> dict:
    return json.loads(record.read_text())["predicted_memory_bytes"]


def write(run: Run, model: Path, volume: Path, given: argparse.Namespace) -> None:
    torch.manual_seed(0)
    options = {"width": given.width}
    network = build("unet3d", in_channels=1, out_channels=run.classes, options=options)
    described = Model(
        name="noise",
        summary="Random weights",
        architecture="unets:unet3d",
        options=options,
        weights=Weights(source="file:weights.safetensors", sha256="0" * 64, size=1, licence="CC0-1.0"),
        input=Input(
            channels=(Channel(name="CT", modality="CT", unit="HU"),),
            spacing_mm=(run.network_mm,) * 3 if run.network_mm else None,
            orientation="RAS",
            patch=Windows(size=(given.window,) * 3, overlap=0.25),
            steps=(("builtin:clip", {"low": -1000.0, "high": 1000.0}), ("builtin:zscore", {})),
            interpolation="linear",
        ),
        labels=tuple(Label(value=n, name=f"label {n}", colour="#e8554e") for n in range(run.classes)),
        intended_use="none",
        training_data="none",
    )
    write_model(model, described, network.backbone.state_dict())
    # One noisy slab again and again: making the noise is not what is measured.
    slab = np.random.default_rng(0).integers(-1000, 1000, (*run.shape[:2], 50), np.int16)
    array = np.concatenate([slab] * (run.shape[2] // 50), axis=2)
    save(Volume(array, np.diag([*run.spacing_mm, 1.0])), volume)


def peak_of(command: list[str]) -> int:
    """Largest resident memory of a command in bytes, its own alone."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(said.read().decode())
    return usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
