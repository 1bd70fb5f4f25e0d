"""Kills at random moments over a cohort of 60: after resume, the same bytes as without, nothing twice.

The short form runs a job that begins at once, so that many kills fit in seconds; the long one runs
``medseg segment`` with a network.
"""

import json
import os
import random
import resource
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from medseg.batch.journal import NAME
from medseg.formats import save
from medseg.volume import Volume

CASES = 60


def children(process):
    try:
        return [int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def results(folder):
    """Every file of a folder but the journal, which says when and how long."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != NAME
    }


def lines(folder):
    path = folder / NAME
    return path.read_bytes().count(b"\n") if path.exists() else 0


def disturb(process, folder, chance, kind):
    """Wait until the work goes on and then for a random moment; kill, and wait for the end of it all."""
    begun, stop = lines(folder), chance.randrange(1, 30)
    while process.poll() is None and lines(folder) < begun + stop:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.02))
    if kind == "supervisor":
        process.kill()
    elif kind == "terminate":
        process.terminate()
    else:
        for worker in chance.sample(children(process), k=min(1, len(children(process)))):
            os.kill(worker, signal.SIGKILL)
    if kind == "worker":
        return
    process.communicate()


def check(folder, undisturbed):
    assert results(folder) == undisturbed
    assert not [path for path in folder.rglob("*") if path.is_dir()]
    entries = [json.loads(line) for line in (folder / NAME).read_text().splitlines()]
    assert Counter(e["done"] for e in entries if "done" in e) == Counter(
        {f"c{n:02d}": 1 for n in range(CASES)}
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out + err


def survive(start, folder, undisturbed, kinds, seed):
    chance = random.Random(seed)
    for kind in kinds:
        process = start()
        disturb(process, folder, chance, kind)
        if kind == "worker":
            # A case that was with two workers that were killed is set aside; the next run does it.
            assert finish(process)[0] in (0, 1)
    for _ in range(2):
        status, said = finish(start())
    assert status == 0, said
    check(folder, undisturbed)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))])
def test_kills_at_random_moments_change_nothing_in_the_end(cohort, start, tmp_path, seed):
    options = {"seconds": 0.004}
    undisturbed = cohort(*[""] * CASES, out="undisturbed")
    status, said = finish(start(undisturbed, options=options, workers=2))
    assert status == 0, said
    cases = cohort(*[""] * CASES)
    survive(
        lambda: start(cases, options=options, workers=2),
        tmp_path / "out",
        results(tmp_path / "undisturbed"),
        ["supervisor", "worker", "terminate", "supervisor", "supervisor", "worker", "terminate"],
        seed,
    )


@pytest.mark.parametrize("limit", [300, 5000])
def test_a_disk_that_is_full_ends_the_run_and_the_next_one_ends_alike(cohort, start, tmp_path, limit):
    # The limit on the size of a file refuses a write as a full disk does: a case's, or the journal's.
    options = {"size": 2000}
    finish(start(cohort(*[""] * CASES, out="undisturbed"), options=options, workers=1))
    cases = cohort(*[""] * CASES)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        process = start(cases, options=options, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    status, said = finish(process)
    assert status == 1, said
    assert "ResourceError: cannot write" in said
    whole = results(tmp_path / "undisturbed")
    assert results(tmp_path / "out").items() <= whole.items()
    status, said = finish(start(cases, options=options, workers=1))
    assert status == 0, said
    check(tmp_path / "out", whole)


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    chance = np.random.default_rng(0)
    for number in range(CASES):
        values = chance.integers(0, 200, (24, 26, 22)).astype(np.int16)
        save(Volume(values, np.diag([1.5, 1, 1, 1])), folder / f"c{number:02d}.nii.gz")
    return folder


@pytest.fixture
def segment(start_medseg, tiny_site, heads):
    def started(out, *more):
        arguments = ("segment", heads, "-m", "tiny:calm", "-o", out, "--picture", "--as", "stl", *more)
        return start_medseg(*arguments, site=tiny_site, OMP_NUM_THREADS="1")

    return started


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_kills_of_the_command_change_nothing_in_the_end(segment, tmp_path, seed):
    status, said = finish(segment(tmp_path / "undisturbed"))
    assert status == 0, said
    kinds = ["supervisor", "worker", "terminate"] * 4
    random.Random(seed).shuffle(kinds)
    survive(
        lambda: segment(tmp_path / "out", "--workers", "2"),
        tmp_path / "out",
        results(tmp_path / "undisturbed"),
        kinds,
        seed,
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", ["60k", "5m", "40m"])
def test_a_full_disk_under_the_command_changes_nothing_in_the_end(segment, tmp_path, size):
    """On a disk of memory, which only root may make."""
    status, said = finish(segment(tmp_path / "undisturbed"))
    assert status == 0, said
    out = tmp_path / "out"
    out.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(out)],
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"mount: {made.stderr}")
    try:
        status, said = finish(segment(out))
        assert status == 3, said
        assert "No space left on device" in said
        assert results(out).items() <= results(tmp_path / "undisturbed").items()
        subprocess.run(["mount", "-o", "remount,size=600m", str(out)], check=True)
        status, said = finish(segment(out))
        assert status == 0, said
        check(out, results(tmp_path / "undisturbed"))
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)
