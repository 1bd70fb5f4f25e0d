"""Cohorts of small files, a job that is quick to start, and processes that run it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medseg.batch.cases import Case
from medseg.batch.job import Recipe
from medseg.batch.run import run_batch

DATA = Path(__file__).parents[1] / "data" / "cohort_job"
RUN = """
import json, signal, sys
from pathlib import Path
from medseg.batch.cases import Case
from medseg.batch.job import Recipe
from medseg.batch.run import run_batch
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
cases, options, out, settings = json.loads(sys.argv[1])
cases = [Case.from_json(case) for case in cases]
recipe = Recipe(factory="hashing_job:HashingJob", options=options)
for outcome in run_batch(cases, recipe, Path(out), **settings):
    print(outcome.case.name, outcome.status, outcome.kept, flush=True)
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the path that holds the job."""
    folder = tmp_path / "site"
    shutil.copytree(DATA, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def cohort(site, tmp_path):
    """``cohort("poison", "", ...)``: cases whose files hold these words, to be written to ``out``."""

    def make(*words, out="out"):
        (tmp_path / "in").mkdir(exist_ok=True)
        cases = []
        for number, word in enumerate(words):
            source = tmp_path / "in" / f"c{number:02d}"
            source.write_text(f"{word} {number}")
            files = tuple(tmp_path / out / f"c{number:02d}{suffix}" for suffix in (".json", ".map"))
            cases.append(Case(name=source.name, sources=(source,), files=files))
        return cases

    return make


@pytest.fixture
def run(tmp_path):
    """Run a cohort in this process with workers; outcomes by name, and what was said."""

    def run_here(cases, *, options=None, **settings):
        recipe = Recipe(factory="hashing_job:HashingJob", options=options or {})
        said = []
        found = run_batch(cases, recipe, cases[0].target.parent, say=said.append, **settings)
        return {outcome.case.name: outcome for outcome in found}, said

    return run_here


@pytest.fixture
def start(site):
    """Run a cohort in a process of its own."""
    started = []

    def start_there(cases, *, options=None, **settings):
        arguments = [[case.as_json() for case in cases], options or {}, str(cases[0].target.parent), settings]
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(arguments)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_there
    for process in started:
        with process:
            process.kill()  # nothing happens to one that has ended
