"""Jobs: stopped when asked to, explained when they fail, seen by their owner alone."""

import json
import subprocess
import sys
import threading

import pytest
from medseg_ui import jobs
from medseg_ui.jobs import Job, JobManager

# Children that behave badly in different ways; each gets the job's folder as its argument.
CHILDREN = {
    "quick": """
import pathlib, sys
pathlib.Path(sys.argv[1], "outcome.json").write_text('{"state": "done", "answer": 7}')
""",
    "stubborn": """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"stage": "network", "done": 1, "total": 2}', flush=True)
time.sleep(60)
""",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "crashing": "import sys; sys.exit(3)",
}


@pytest.fixture
def manager(monkeypatch):
    def start(folder):
        kind = json.loads((folder / "task.json").read_text())["kind"]
        program = CHILDREN.get(kind, CHILDREN["stubborn"])
        return subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, start_new_session=True
        )

    monkeypatch.setattr(jobs, "_start", start)
    monkeypatch.setattr(jobs, "_GRACE_SECONDS", 0.3)
    made = JobManager(others_at_once=1)
    yield made
    made.close()


def submit(manager, folder, kind, owner="anna"):
    ended = threading.Event()
    folder.mkdir()
    job = Job(owner=owner, task={"kind": kind}, folder=folder, title=kind, on_end=lambda _: ended.set())
    return manager.submit(job), ended


def test_a_job_ends_with_what_its_child_left(manager, tmp_path):
    job, ended = submit(manager, tmp_path / "a", "quick")
    assert ended.wait(60)
    assert (job.state, job.outcome["answer"], job.fraction) == ("done", 7, 1.0)


def test_a_child_that_ignores_the_request_to_stop_is_killed(manager, tmp_path):
    job, ended = submit(manager, tmp_path / "a", "stubborn")
    while job.stage != "network":
        assert not ended.wait(0.05)
    manager.cancel(job)
    assert ended.wait(60)
    assert job.state == "cancelled"


def test_a_job_that_waits_knows_its_place_and_can_be_cancelled(manager, tmp_path):
    first, _ = submit(manager, tmp_path / "a", "stubborn")
    second, ended = submit(manager, tmp_path / "b", "quick")
    assert manager.ahead(second) == 1
    manager.cancel(second)
    assert ended.is_set()
    assert second.state == "cancelled"
    assert not (tmp_path / "b" / "outcome.json").exists()
    manager.cancel(first)


@pytest.mark.parametrize(("kind", "reason"), [("killed", "memory ran out"), ("crashing", "status 3")])
def test_a_child_that_dies_is_a_failure_with_a_reason(manager, tmp_path, kind, reason):
    job, ended = submit(manager, tmp_path / "a", kind)
    assert ended.wait(60)
    assert job.state == "failed"
    assert reason in job.message


def test_reading_does_not_wait_for_a_segmentation(manager, tmp_path):
    segmentation, _ = submit(manager, tmp_path / "a", "segment")
    _, ended = submit(manager, tmp_path / "b", "quick")
    assert ended.wait(60)
    assert segmentation.state in ("waiting", "running")


def test_jobs_are_listed_for_their_owner_alone(manager, tmp_path):
    mine, _ = submit(manager, tmp_path / "a", "quick", owner="anna")
    submit(manager, tmp_path / "b", "quick", owner="boris")
    assert manager.of("anna") == [mine]
