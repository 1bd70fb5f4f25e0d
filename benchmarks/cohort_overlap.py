"""A cohort with reading, work and writing overlapped, against a loop and against a start for each case.

python benchmarks/cohort_overlap.py [--cases 12]

Heads of 256 x 256 x 256, the sample with a little noise, are segmented with its brain mask. Every way writes
the same label maps; threads as torch chooses.

"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from medseg.formats import load, save
from medseg.predict import load_model
from medseg.samples import find_sample

MODEL = "linknet:brain-mask"
MEDSEG = [sys.executable, "-c", "from medseg.cli import main; main()"]


def timed(*command: str | Path) -> float:
    begun = time.perf_counter()
    subprocess.run([*MEDSEG, *map(str, command)], check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=12)
    total = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "in").mkdir()
        head, chance = load(find_sample("s1_t1_head_defaced.nii.gz")), np.random.default_rng(0)
        for number in range(total):
            noisy = head.array + chance.integers(0, 3, head.shape).astype(head.array.dtype)
            save(head.with_array(noisy), root / "in" / f"c{number:02d}.nii.gz")
        files = sorted((root / "in").iterdir())

        starts = timed("segment", files[0], "-m", MODEL, "-o", root / "alone" / "a.nii.gz")
        one = timed("segment", files[0], files[1], "-m", MODEL, "-o", root / "two")
        every = timed("segment", root / "in", "-m", MODEL, "-o", root / "cohort")
        further = (every - one) / (total - 2)
        print(f"a command for each case: {starts:.2f} s a case")
        print(f"a cohort of {total}: {every:.2f} s; {further:.2f} s for each further case")

        (root / "loop").mkdir()
        model = load_model(MODEL)
        model.segment(load(files[0]))
        begun = time.perf_counter()
        for file in files:
            save(model.segment(load(file)).labels, root / "loop" / file.name)
        loop = (time.perf_counter() - begun) / total
        print(f"a loop in Python, model loaded: {loop:.2f} s a case; cohort over loop {further / loop:.2f}")
        for file in files:
            same = (root / "loop" / file.name).read_bytes() == (root / "cohort" / file.name).read_bytes()
            assert same, f"{file.name}: other bytes"


if __name__ == "__main__":
    main()
