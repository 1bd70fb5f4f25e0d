"""What a cohort costs beside the work: time a case over a plain loop, and memory from first to last.

python benchmarks/cohort_overhead.py [--cases 10000]
python benchmarks/cohort_overhead.py --only evaluate

The cases are tiny, 8 x 8 x 8 voxels through a network of one 1 x 1 x 1 convolution, so that there is nearly
no work. The loop holds the model and, for each case, reads, segments and saves, with no record, journal,
hash or process of its own; the cohort is ``medseg segment`` on the folder, from the moment its first case
is done, so without the start of Python and torch. Then the results are evaluated against themselves: the
loop reads two volumes and calls ``medseg.evaluate``, the cohort is ``medseg evaluate``, in the same way.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from medseg.batch.journal import NAME
from medseg.evaluation.evaluate import evaluate
from medseg.formats import load, save
from medseg.predict import load_model
from medseg.registry import default_registry
from medseg.volume import Volume

Sample = tuple[int, float, float]
"""Cases done, and MB of the supervisor and of its largest worker then."""

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


def plain_loop(files: Sequence[Path], out: Path) -> float:
    """Seconds a case of the loop that people write."""
    out.mkdir()
    model = load_model("tiny:calm")
    model.segment(load(files[0]))
    begun = time.perf_counter()
    for file in files:
        save(model.segment(load(file)).labels, out / file.name)
    return (time.perf_counter() - begun) / len(files)


def plain_evaluation(predicted: Sequence[Path], truth: Path) -> float:
    """Seconds a case of the loop that people write."""

    def score(path: Path) -> None:
        evaluate(load(path, kind="labels"), load(truth / path.name, kind="labels"))

    score(predicted[0])
    begun = time.perf_counter()
    for path in predicted:
        score(path)
    return (time.perf_counter() - begun) / len(predicted)


def cohort(arguments: Sequence[str | Path], out: Path, total: int) -> tuple[float, list[Sample]]:
    """Seconds a case from the first that the journal has to the last, and memory on the way."""
    command = [sys.executable, "-c", "from medseg.cli import main; main()", *arguments, "-o", out]
    journal, samples, done = out / NAME, [], 0
    first: tuple[int, float] | None = None
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while done < total and process.poll() is None:
            time.sleep(0.1)
            now = journal.read_bytes().count(b'{"done"') if journal.exists() else 0
            first = first or ((now, time.perf_counter()) if now else None)
            tenth = max(1, total // 10)
            if now // tenth > done // tenth or done < min(100, total) <= now:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                worker = max((resident_mb(int(child)) for child in children), default=float("nan"))
                samples.append((now, resident_mb(process.pid), worker))
            done = now
        ended = time.perf_counter()
        process.wait()
    assert process.returncode == 0
    assert first
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    assert sum("done" in entry for entry in entries) == total
    return (ended - first[1]) / (total - first[0]), samples


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--only", choices=["segment", "evaluate"])
    given = parser.parse_args()
    total = given.cases
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        install(root / "site")
        sys.path.insert(0, str(root / "site"))
        os.environ["PYTHONPATH"] = str(root / "site")
        default_registry.cache_clear()
        (root / "in").mkdir()
        (root / "truth").mkdir()
        chance = np.random.default_rng(0)
        for number in range(total):
            values = chance.integers(0, 200, (8, 8, 8)).astype(np.int16)
            labels = (values > 100).astype(np.uint8)
            save(Volume(values, np.eye(4)), root / "in" / f"c{number:05d}.nii")
            save(Volume(labels, np.eye(4), kind="labels"), root / "truth" / f"c{number:05d}.nii")
        files = sorted((root / "in").iterdir())[: min(500, total)]
        if given.only != "evaluate":
            loop = plain_loop(files, root / "loop")
            command = ["segment", root / "in", "-m", "tiny:calm"]
            show("segment", loop, *cohort(command, root / "out", total))
        if given.only != "segment":
            truths = sorted((root / "truth").iterdir())[: min(500, total)]
            loop = plain_evaluation(truths, root / "truth")
            command = ["evaluate", root / "truth", root / "truth"]
            show("evaluate", loop, *cohort(command, root / "scores", total))


def show(what: str, loop: float, each: float, samples: Sequence[Sample]) -> None:
    print(
        f"{what}: plain loop {1e3 * loop:.1f} ms a case; cohort of {samples[-1][0]:,} {1e3 * each:.1f} ms; "
        f"over the loop {1e3 * (each - loop):+.1f} ms"
    )
    print("| cases done | supervisor, MB | worker, MB |\n|---|---|---|")
    for done, supervisor, worker in samples:
        print(f"| {done:,} | {supervisor:.0f} | {worker:.0f} |")


if __name__ == "__main__":
    main()
