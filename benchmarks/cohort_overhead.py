"""What a cohort costs beside the work: time a case over a plain loop, and memory from first to last.

python benchmarks/cohort_overhead.py [--cases 10000]

The cases are tiny, 8 x 8 x 8 voxels through a network of one 1 x 1 x 1 convolution, so that there is nearly
no work. The loop holds the model and, for each case, reads, segments and saves, with no record, journal,
hash or process of its own; the cohort is ``medseg segment`` on the folder, from the moment its first case
is done, so without the start of Python and torch.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from medseg.batch.journal import NAME
from medseg.formats import load, save
from medseg.predict import load_model
from medseg.registry import default_registry
from medseg.volume import Volume

TINY = Path(__file__).parents[1] / "tests" / "data" / "medseg_tiny"


def install(site: Path) -> None:
    """The tests' plugin, as pip would install it."""
    shutil.copytree(TINY, site / "medseg_tiny", ignore=shutil.ignore_patterns("__pycache__"))
    for name, channels in (("bright", 1), ("pair", 2)):
        score = torch.zeros(2, channels, 1, 1, 1)
        score[1] = 1.0
        bias = torch.tensor([0.0, -100.5])
        save_file({"score.weight": score, "score.bias": bias}, site / "medseg_tiny" / f"{name}.safetensors")
    info = site / "medseg_tiny-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: medseg-tiny\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[medseg]\ntiny = medseg_tiny.plugin\n")


def resident_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def plain_loop(files: list[Path], out: Path) -> float:
    """Seconds a case of the loop that people write."""
    out.mkdir()
    model = load_model("tiny:calm")
    model.segment(load(files[0]))
    begun = time.perf_counter()
    for file in files:
        save(model.segment(load(file)).labels, out / file.name)
    return (time.perf_counter() - begun) / len(files)


def cohort(folder: Path, out: Path, total: int) -> tuple[float, list[tuple[int, float, float]]]:
    """Seconds a case from the first that is done; cases done, MB of the supervisor and of the worker."""
    command = [sys.executable, "-c", "from medseg.cli import main; main()", "segment", folder]
    command += ["-m", "tiny:calm", "-o", out]
    samples: list[tuple[int, float, float]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begun = 0.0
        for number, _ in enumerate(process.stdout, start=1):
            begun = begun or time.perf_counter()
            if number % max(1, total // 10) == 0 or number == min(100, total):
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                worker = max((resident_mb(int(child)) for child in children), default=float("nan"))
                samples.append((number, resident_mb(process.pid), worker))
        seconds = time.perf_counter() - begun
        process.wait()
    assert process.returncode == 0
    entries = [json.loads(line) for line in (out / NAME).read_text().splitlines()]
    assert sum("done" in entry for entry in entries) == total
    return seconds / (total - 1), samples


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    total = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        install(root / "site")
        sys.path.insert(0, str(root / "site"))
        os.environ["PYTHONPATH"] = str(root / "site")
        default_registry.cache_clear()
        (root / "in").mkdir()
        chance = np.random.default_rng(0)
        for number in range(total):
            values = chance.integers(0, 200, (8, 8, 8)).astype(np.int16)
            save(Volume(values, np.eye(4)), root / "in" / f"c{number:05d}.nii")
        files = sorted((root / "in").iterdir())
        loop = plain_loop(files[: min(500, total)], root / "loop")
        print(f"plain loop: {1e3 * loop:.1f} ms a case")
        each, samples = cohort(root / "in", root / "out", total)
        print(f"cohort of {total:,}: {1e3 * each:.1f} ms a case; over the loop {1e3 * (each - loop):+.1f} ms")
        print("| cases done | supervisor, MB | worker, MB |\n|---|---|---|")
        for done, supervisor, worker in samples:
            print(f"| {done:,} | {supervisor:.0f} | {worker:.0f} |")


if __name__ == "__main__":
    main()
