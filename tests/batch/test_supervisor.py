"""What becomes of cases whose workers die, hang, run out of memory, refuse or fail; and of the others."""

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from medseg.batch.journal import NAME
from medseg.errors import OptionError, ResourceError


def statuses(outcomes):
    return {name: outcome.status for name, outcome in outcomes.items()}


def entries(folder):
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def test_a_case_that_kills_its_worker_is_set_aside_and_the_others_are_done(cohort, run, tmp_path):
    outcomes, said = run(cohort("", "", "poison", "", "", ""), workers=2)
    assert statuses(outcomes) == {f"c{n:02d}": "failed" if n == 2 else "done" for n in range(6)}
    assert "the worker process died (SIGKILL: by the system for want of memory" in outcomes["c02"].reason
    assert outcomes["c02"].reason.endswith("while it was at: work. Twice")
    assert any("died (SIGKILL" in line and "c02" in line for line in said)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {NAME, *(f"c{n:02d}{s}" for n in range(6) if n != 2 for s in (".json", ".map"))}


@pytest.mark.parametrize("word", ["once", "big", "slow"])
def test_a_case_that_fails_for_want_of_memory_or_time_has_a_second_attempt_with_less(cohort, run, word):
    outcomes, said = run(cohort("", word, ""), workers=1, timeout_s=1.0)
    assert statuses(outcomes) == {"c00": "done", "c01": "done", "c02": "done"}
    assert any(line.startswith("c01: ") and "tried once more" in line for line in said)


def test_a_case_that_hangs_is_stopped_twice_and_set_aside(cohort, run):
    begun = time.monotonic()
    outcomes, _ = run(cohort("hang", "", "", ""), workers=1, timeout_s=0.5)
    assert time.monotonic() - begun < 60
    assert statuses(outcomes) == {"c00": "failed", "c01": "done", "c02": "done", "c03": "done"}
    assert outcomes["c00"].reason == (
        "it took more than 0.5 s and was stopped; --case-timeout allows more. Twice"
    )


def test_waiting_for_another_case_is_not_taken_for_time_of_its_own(cohort, run):
    outcomes, said = run(cohort(*[""] * 5), options={"seconds": 0.4}, workers=1, timeout_s=0.9)
    assert set(statuses(outcomes).values()) == {"done"}
    assert said == []


def test_refusals_faults_and_exits_are_their_case_s_alone(cohort, run, tmp_path):
    outcomes, said = run(cohort("refuse", "", "fault", "exit", ""), workers=1)
    assert [outcome.status for _, outcome in sorted(outcomes.items())] == [
        "refused",
        "done",
        "failed",
        "failed",
        "done",
    ]
    assert outcomes["c00"].reason == "c00: it says so"
    assert outcomes["c02"].reason == "ZeroDivisionError: MRN47110815"
    assert "hashing_job.py" in outcomes["c02"].traceback
    assert outcomes["c03"].reason == "SystemExit: 7"
    assert said == []
    # What an error of somebody else's code quotes may be a header: it is not kept.
    assert "MRN47110815" not in (tmp_path / "out" / NAME).read_text()
    (fault,) = [e for e in entries(tmp_path / "out") if e.get("failed") == "c02"]
    assert fault["reason"].startswith("ZeroDivisionError in hashing_job.py:")


def test_what_is_not_done_is_tried_again_by_the_same_command_and_what_is_done_is_kept(cohort, run, tmp_path):
    cases = cohort("", "refuse", "poison", "")
    run(cases, workers=1)
    cases[2].sources[0].write_text("cured")
    outcomes, _ = run(cases, workers=1)
    assert {name: (o.status, o.kept) for name, o in outcomes.items()} == {
        "c00": ("done", True),
        "c01": ("refused", False),
        "c02": ("done", False),
        "c03": ("done", True),
    }
    assert outcomes["c00"].report.result["hash"]
    done = [e["done"] for e in entries(tmp_path / "out") if "done" in e]
    assert sorted(done) == ["c00", "c02", "c03"]


def test_files_that_were_changed_or_made_of_other_data_are_neither_trusted_nor_replaced(cohort, run):
    cases = cohort("", "", "", "")
    run(cases, workers=1)
    cases[0].target.write_text("corrected by hand")
    cases[1].sources[0].write_text("another scan")
    cases[2].files[0].unlink()
    before = cases[2].target.read_bytes()
    outcomes, _ = run(cases, workers=1)
    assert outcomes["c00"].reason.startswith("c00.map is not as medseg wrote it: it was changed or damaged")
    assert outcomes["c01"].reason.startswith("c01.map was made of other data than the input now holds")
    assert cases[0].target.read_text() == "corrected by hand"
    assert (outcomes["c02"].status, outcomes["c02"].kept) == ("done", False)
    assert cases[2].target.read_bytes() == before
    assert outcomes["c03"].kept
    outcomes, _ = run(cases, workers=1, overwrite=True)
    assert {(o.status, o.kept) for o in outcomes.values()} == {("done", False)}
    assert cases[0].target.read_bytes() != b"corrected by hand"


def test_a_result_that_was_read_with_other_options_is_not_kept(cohort, run, tmp_path):
    cases = cohort("", "")
    cases[0] = replace(cases[0], options={"assume_orientation": "LAS"})
    run(cases, workers=1)
    outcomes, _ = run(cases, workers=1)
    assert all(outcome.kept for outcome in outcomes.values())
    assert "LAS" not in (tmp_path / "out" / NAME).read_text()
    cases[0] = replace(cases[0], options={"assume_orientation": "RAS"})
    outcomes, _ = run(cases, workers=1)
    assert outcomes["c00"].reason.startswith("c00.map was made with other options than the list now gives.")
    assert outcomes["c01"].kept


def test_a_file_that_nobody_of_us_wrote_is_not_replaced(cohort, run):
    cases = cohort("", "")
    cases[0].target.parent.mkdir()
    cases[0].files[0].write_text("settings of the scanner")
    outcomes, _ = run(cases, workers=1)
    assert outcomes["c00"].reason == f"{cases[0].files[0]} exists; use --overwrite to replace it"
    assert cases[0].files[0].read_text() == "settings of the scanner"


@pytest.mark.parametrize("word", ["refuse", "fault"])
def test_what_lies_in_the_place_of_a_case_that_was_set_aside_is_the_user_s(cohort, run, word):
    cases = cohort(word, "")
    run(cases, workers=1)
    notes, result = cases[0].files
    notes.write_text("notes by hand")  # one file alone, as half a result has
    outcomes, _ = run(cases, workers=1)
    assert outcomes["c00"].reason == f"{notes} exists; use --overwrite to replace it"
    result.write_text("drawn by hand")
    cases[0].sources[0].write_text("cured")
    outcomes, _ = run(cases, workers=1)
    assert outcomes["c00"].status == "refused"
    assert (notes.read_text(), result.read_text()) == ("notes by hand", "drawn by hand")


def test_a_case_whose_files_names_are_too_long_is_refused_and_the_others_are_done(cohort, run):
    cases = cohort("", "", "")
    long = cases[1].target.with_name("x" * 300)
    cases[1] = replace(cases[1], files=(*cases[1].files[:-1], long))
    for overwrite in (False, True):
        outcomes, _ = run(cases, workers=1, overwrite=overwrite)
        assert statuses(outcomes) == {"c00": "done", "c01": "refused", "c02": "done"}
        assert outcomes["c01"].reason.startswith(f"cannot write {long}: ")
        assert "choose a shorter name" in outcomes["c01"].reason


def test_a_fault_while_cases_are_sorted_ends_the_batch(cohort, run, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise ZeroDivisionError("of the sorting")

    monkeypatch.setattr("medseg.batch.sorting._verdict", fail)
    with pytest.raises(ZeroDivisionError, match="of the sorting"):
        run(cohort("", ""), workers=1)
    assert entries(tmp_path / "out")[-1]["ended"] == "stopped"


def test_other_settings_are_refused_before_anything_is_done(cohort, run, tmp_path):
    cases = cohort("", "")
    run(cases, workers=1)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(OptionError, match=r"results of other settings: version: 1 there, 2 now"):
        run(cases, options={"version": 2}, workers=1)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_job_that_cannot_be_made_raises_its_own_error_and_leaves_nothing(cohort, run, tmp_path):
    with pytest.raises(ResourceError, match="no such device"):
        run(cohort("", ""), options={"load": "no such device"}, workers=2)
    assert list((tmp_path / "out").iterdir()) == []


def test_workers_that_die_without_a_case_end_the_batch_with_a_sentence(cohort, run, site):
    (site / "hashing_job.py").write_text("import os\nos._exit(9)\n")
    with pytest.raises(ResourceError, match=r"5 worker processes died one after another .*exit status 9"):
        run(cohort("", ""), workers=1)


def children(process):
    return [int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def wait_until(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def gone(pids):
    # A process that has ended and that nobody asked about is still in the table.
    return all(
        not (stat := Path(f"/proc/{pid}/stat")).exists()
        or stat.read_text().rpartition(")")[2].split()[0] in "ZX"
        for pid in pids
    )


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_stop_ends_within_ten_seconds_and_leaves_whole_cases_alone(cohort, start, tmp_path, sign, status):
    cases = cohort("", "", "", "hang", "hang")
    process = start(cases, workers=2)
    wait_until(cases[2].target.exists, process)
    workers = children(process)
    begun = time.monotonic()
    process.send_signal(sign)
    process.communicate()
    assert time.monotonic() - begun < 10
    assert (process.returncode, gone(workers)) == (status, True)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {NAME, *(f"c{n:02d}{s}" for n in range(3) for s in (".json", ".map"))}
    assert entries(tmp_path / "out")[-1]["ended"] == "stopped"
    assert {e["done"] for e in entries(tmp_path / "out") if "done" in e} == {"c00", "c01", "c02"}


def test_workers_end_with_a_supervisor_that_was_killed_and_then_the_folder_is_free(cohort, start, run):
    cases = cohort("", "hang", "")
    process = start(cases, workers=1)
    wait_until(lambda: cases[0].target.exists() and children(process), process)
    workers = children(process)
    process.kill()
    process.wait()
    cases[1].sources[0].write_text("cured")
    outcomes, _ = run(cases, workers=1)
    assert gone(workers)
    assert statuses(outcomes) == {"c00": "done", "c01": "done", "c02": "done"}
