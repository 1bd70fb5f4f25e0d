"""The same on a Ray cluster: same journal, same files, whichever actor or driver is killed.

The cluster is one of this machine, started by a process of its own, so that it outlives drivers.
"""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from medseg.batch.journal import NAME
from medseg.errors import ResourceError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'medseg[ray]'"
)
CASES = 60
CLUSTER = """
import os, sys, time
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster, which knows its users by a token in the environment."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5d1f" * 16}
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process.stdout.readline().strip()
        process.communicate("", timeout=60)
    del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]


def entries(folder):
    path = folder / NAME
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]


def done(folder):
    return [entry for entry in entries(folder) if "done" in entry]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != NAME}


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out + err


def disturb(process, folder, chance, kind):
    """Kill an actor or the driver once some more cases are done."""
    before, wanted = len(done(folder)), chance.randrange(1, 6)
    while process.poll() is None and len(found := done(folder)) < before + wanted:
        time.sleep(0.005)
    if kind == "driver":
        process.kill()
        process.communicate()
    elif process.poll() is None and len(found) > before:
        os.kill(found[-1]["measured"]["process"], signal.SIGKILL)


ROUNDS = [
    pytest.param(0, ["driver", "actor"]),
    *(pytest.param(seed, ["driver"] * 4 + ["actor"], marks=pytest.mark.slow) for seed in range(1, 4)),
]


@pytest.mark.parametrize(("seed", "kinds"), ROUNDS)
def test_kills_of_actors_and_drivers_change_nothing_in_the_end(cohort, start, cluster, tmp_path, seed, kinds):
    status, said = finish(start(cohort(*[""] * CASES, out="undisturbed"), workers=1))  # without Ray
    assert status == 0, said
    cases, chance = cohort(*[""] * CASES), random.Random(seed)

    def begin():
        return start(cases, options={"seconds": 0.05}, workers=2, ray=cluster)

    for kind in kinds:
        process = begin()
        disturb(process, tmp_path / "out", chance, kind)
        if kind == "actor":
            assert finish(process)[0] in (0, 1)
    status, said = finish(begin())
    assert status == 0, said
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")
    assert {entry["done"] for entry in done(tmp_path / "out")} == {f"c{n:02d}" for n in range(CASES)}


def test_where_no_cluster_is_the_address_is_named(cohort, run):
    with pytest.raises(ResourceError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        run(cohort("", ""), workers=1, ray="127.0.0.1:1")
