import json
import os
import signal
import subprocess
import sys
import time

import pytest

from medseg.batch.job import Report
from medseg.batch.journal import NAME, open_journal, read_measured, sha256_of_files
from medseg.errors import OptionError, ResourceError

SETTINGS = {"model": "tiny:bright", "execution": {"backend": "eager"}}
REPORT = Report(result={"labels": []}, measured={"seconds": {"read": 0.5}})


def finish_one(journal, name="a"):
    journal.claim(name)
    journal.done(name, source_sha256="00", options_sha256="22", files={f"{name}.nii.gz": "11"}, report=REPORT)


def test_what_is_done_is_remembered_and_what_was_only_claimed_is_owned(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
        finish_one(journal)
        journal.claim("b")
        journal.set_aside("c", "failed", "why")
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
        done = journal.trusted("a")
        assert (done.input, done.options, done.files) == ("00", "22", {"a.nii.gz": "11"})
        assert journal.report(done) == REPORT
        assert (journal.owns("b"), journal.owns("a"), journal.failed_before("c")) == (True, False, True)
    assert read_measured(tmp_path) == {"a": {"seconds": {"read": 0.5}}}


@pytest.mark.parametrize("status", ["refused", "failed"])
def test_a_case_that_is_set_aside_is_no_longer_owned(tmp_path, status):
    """What lies there afterwards is the user's."""
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
        journal.claim("a")
        assert (journal.owns("a"), journal.begun("a")) == (True, True)
        journal.set_aside("a", status, "why")
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
        assert (journal.owns("a"), journal.begun("a")) == (False, False)


def test_a_result_that_is_to_be_made_again_is_replaced_and_not_taken_for_half_of_one(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
        finish_one(journal)
        journal.begin(SETTINGS, overwrite=True)
        assert (journal.owns("a"), journal.begun("a")) == (True, False)
        journal.claim("a")
        journal.set_aside("a", "refused", "why")
        assert journal.owns("a")


def test_other_settings_are_refused_by_name_and_with_the_remedy(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
    other = {"model": "tiny:bright", "execution": {"backend": "openvino"}}
    with (
        open_journal(tmp_path) as journal,
        pytest.raises(
            OptionError, match=r"execution\.backend: eager there, openvino now\. Write to another folder, or"
        ),
    ):
        journal.begin(other)
    with open_journal(tmp_path) as journal:
        journal.begin(other, overwrite=True)
    with open_journal(tmp_path) as journal:
        journal.begin(other)


def test_a_run_that_makes_all_again_goes_on_where_it_was_cut_off(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
        finish_one(journal)
        journal.end("finished")
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS, overwrite=True)
        assert journal.trusted("a") is None
        assert journal.owns("a")
        finish_one(journal)
        journal.end("stopped")
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS, overwrite=True)
        assert journal.trusted("a")
        journal.end("finished")
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS, overwrite=True)
        assert journal.trusted("a") is None


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_half_a_line_that_a_kill_left_counts_for_nothing(tmp_path, cut):
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
        finish_one(journal, "a")
        finish_one(journal, "b")
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
        assert journal.trusted("a")
        assert journal.trusted("b") is None
        assert journal.owns("b")
        finish_one(journal, "b")
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_line_that_is_no_journal_s_is_refused_with_its_number(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b"\0\0\0\0\n")
    with (
        pytest.raises(ResourceError, match=r"line 2, is not what a journal of medseg holds"),
        open_journal(tmp_path),
    ):
        pass


def test_a_run_that_never_began_leaves_no_journal(tmp_path):
    with open_journal(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


HOLD = """
import sys, time
from pathlib import Path
from medseg.batch.journal import open_journal
with open_journal(Path(sys.argv[1])) as journal:
    journal.begin({"model": "tiny:bright", "execution": {"backend": "eager"}})
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_is_refused_and_told_who_is_at_work(tmp_path, holder):
    with (
        pytest.raises(ResourceError, match=rf"is in use by process {holder.pid} on .*, a run that has not"),
        open_journal(tmp_path),
    ):
        pass


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)


def test_the_lock_lasts_as_long_as_a_worker_that_shares_it(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.begin(SETTINGS)
        # The run that the journal names is this process, which lives: so there is nothing to wait for.
        worker = subprocess.Popen(["sleep", "60"], pass_fds=[journal.descriptor])  # any sleep will do
    with worker:
        with pytest.raises(ResourceError, match=f"in use by process {os.getpid()}"), open_journal(tmp_path):
            pass
        worker.kill()
        worker.wait()
    start = time.monotonic()
    with open_journal(tmp_path):
        assert time.monotonic() - start < 5


def test_the_hash_of_a_folder_knows_names_and_bytes(tmp_path):
    def made(**files):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_text(content)
        return sha256_of_files([folder])

    assert made(a="1", b="2") == made(b="2", a="1")
    assert len({made(a="1", b="2"), made(a="1", b="3"), made(a="1", c="2"), made(a="12"), made()}) == 5
