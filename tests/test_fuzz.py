"""Damage at random gives a refusal, or the same volume where the bytes have a checksum; see fuzz/."""

import importlib.util
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

FUZZ = Path(__file__).parents[1] / "fuzz" / "gates.py"


@pytest.fixture(scope="module")
def gates():
    spec = importlib.util.spec_from_file_location("gates", FUZZ)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gates"] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gates"]


def test_a_few_seconds_of_damage_find_nothing(gates, tmp_path):
    targets = gates.make_targets(tmp_path)
    for target in targets:
        tries, findings = gates.hunt(target, tmp_path, seconds=1.5, chance=random.Random(target.name))
        assert findings == []
        assert tries > 10, target.name
    assert len(targets) == 6


def test_a_reader_with_a_fault_is_found_out(gates, tmp_path):
    sound = gates.make_targets(tmp_path)[1]

    def careless(path):
        try:
            return sound.read(path)
        except gates.MedsegError as error:
            raise KeyError("a fault") from error

    def guessing(path):
        try:
            return sound.read(path)
        except gates.MedsegError:
            return gates.Volume(np.zeros((7, 6, 5), np.int16), np.eye(4))

    for read in (careless, guessing):
        target = replace(sound, read=read)
        tries, findings = gates.hunt(target, tmp_path, seconds=20, chance=random.Random(1))
        assert len(findings) == 3, read
        assert tries < 1000


@pytest.mark.slow
def test_minutes_of_damage_find_nothing():
    done = subprocess.run(
        [sys.executable, FUZZ, "--seconds", "180", "--seed", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 0 findings") == 6
