"""The job of ``medseg segment``: the same bytes each time, also with less memory; settings that decide."""

import json
from dataclasses import replace

import numpy as np
import pytest

from medseg.batch.alone import run_alone
from medseg.batch.cases import find_cases
from medseg.batch.segmenting import SegmentCases
from medseg.errors import OptionError
from medseg.formats import save
from medseg.inference.execution import Execution
from medseg.volume import Volume

pytestmark = pytest.mark.usefixtures("tiny")
GB = 10**9


@pytest.fixture
def case(tmp_path):
    values = np.random.default_rng(0).integers(0, 200, (24, 26, 22)).astype(np.int16)
    save(Volume(values, np.diag([1.5, 1, 1, 1])), tmp_path / "a.nii.gz")
    (found,) = find_cases([tmp_path / "a.nii.gz"], tmp_path / "out")
    return found


def written(job, case, folder, *, smaller):
    folder.mkdir()
    job.write(case, job.work(case, job.read(case), smaller=smaller, progress=None), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_second_attempt_within_half_of_the_memory_gives_the_same_bytes(case, tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.batch.segmenting.free_bytes", lambda: 20 * GB)
    limits = []
    load = SegmentCases._within_half

    def noted(job):
        model = load(job)
        limits.append(model.describe()["execution"]["max_ram"])
        return model

    monkeypatch.setattr(SegmentCases, "_within_half", noted)
    job = SegmentCases(model="tiny:bright")
    first = written(job, case, tmp_path / "first", smaller=False)
    assert written(job, case, tmp_path / "second", smaller=True) == first
    assert limits == [10 * GB]
    assert "max_ram" not in json.loads(first["a.json"])["execution"]


def test_where_half_is_too_little_all_of_it_is_taken(case, tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.batch.segmenting.free_bytes", lambda: GB // 100)
    job = SegmentCases(model="tiny:bright")
    assert written(job, case, tmp_path / "second", smaller=True).keys() == {"a.json", "a.nii.gz"}


def test_a_user_s_own_limit_is_never_exceeded(case, tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.batch.segmenting.free_bytes", lambda: 100 * GB)
    job = SegmentCases(model="tiny:bright", execution={"max_ram": "3GB"})
    assert job._within_half().describe()["execution"]["max_ram"] == 3 * GB


def test_limits_on_memory_are_no_settings_and_the_backend_is():
    def settings(**execution):
        return SegmentCases(model="tiny:bright", execution=Execution(**execution)).settings

    assert settings() == settings(max_ram=3 * GB)
    assert settings() != settings(backend="channels-last")
    assert settings()["threads"] is None
    assert settings(deterministic=True)["threads"] >= 1


def test_a_single_case_s_record_says_how_long_it_took(case):
    assert run_alone(case, SegmentCases(model="tiny:bright", times=True)).status == "done"
    assert json.loads(case.files[0].read_text())["seconds"]["network"] >= 0


def test_a_permission_of_a_case_that_no_reader_has_is_refused(case):
    job = SegmentCases(model="tiny:bright")
    with pytest.raises(OptionError, match="--allow serise: no reader of these inputs has it"):
        job.read(replace(case, options={"serise": 2}))
