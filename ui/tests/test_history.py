"""What is remembered of runs, and that it can be forgotten."""

import stat

import pytest
from medseg_ui.history import History, Run


@pytest.fixture
def history(tmp_path):
    made = History(tmp_path / "history.sqlite")
    yield made
    made.close()


def run(owner, started=1.0):
    return Run(
        owner=owner, started=started, model="tiny:one", state="done", seconds=2.0, labels={"brain": 3.5}
    )


def test_an_owner_sees_their_own_runs_the_newest_first(history):
    for one in (run("anna", 1.0), run("boris", 2.0), run("anna", 3.0)):
        history.add(one)
    assert history.of("anna") == [run("anna", 3.0), run("anna", 1.0)]


def test_what_is_erased_is_no_longer_in_the_file(history, tmp_path):
    history.add(run("anna-has-a-long-name"))
    history.add(run("boris"))
    history.erase("anna-has-a-long-name")
    assert history.of("anna-has-a-long-name") == []
    assert history.of("boris") == [run("boris")]
    assert b"anna-has-a-long-name" not in (tmp_path / "history.sqlite").read_bytes()


def test_other_accounts_cannot_read_it(history, tmp_path):
    assert stat.S_IMODE((tmp_path / "history.sqlite").stat().st_mode) == 0o600
