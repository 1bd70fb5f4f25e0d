"""Runs side by side: order, shared cases, time, memory and pictures; what cannot be compared."""

import json
import shutil

import pytest
from click.testing import CliRunner

from medseg import OptionError
from medseg.cli import main
from medseg.evaluation.leaderboard import board_json, rank


def evaluate(*arguments):
    done = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    assert done.exit_code in (0, 1), done.output
    return done


@pytest.fixture(scope="session")
def runs(cohort, tmp_path_factory):
    """A run of each model; the poor one has no case7, and the good one has records beside its predictions."""
    root = tmp_path_factory.mktemp("runs")
    shutil.copytree(cohort / "good", root / "good_predictions")
    shutil.copytree(cohort / "poor", root / "poor_predictions")
    (root / "poor_predictions" / "case7.nii.gz").unlink()
    for n in range(8):
        record = {"model": "m", "seconds": {"network": 1.0 + n}, "peak_memory_bytes": 10**9 + n}
        (root / "good_predictions" / f"case{n}.json").write_text(json.dumps(record))
    for name in ("good", "poor"):
        evaluate(
            root / f"{name}_predictions", cohort / "truth", "-o", root / name, "--images", cohort / "images"
        )
    return root


def test_the_better_run_comes_first_on_the_cases_that_both_have(runs):
    board = rank([runs / "poor", runs / "good"])
    assert [entry.model for entry in board.entries] == ["good", "poor"]
    assert (len(board.cases), board.left_out) == (7, ("case7",))
    dice = board.entries[0].summaries["dice"]
    assert (dice.name, dice.n, dice.n_missed, dice.n_false_alarm) == ("mean of labels", 7, 1, 1)
    (comparison,) = [c for c in board.comparisons if (c.metric, c.name) == ("dice", "mean of labels")]
    assert {comparison.first, comparison.second} == {"good", "poor"}


def test_time_memory_and_a_picture_stand_beside_accuracy(runs):
    good, poor = rank([runs / "good", runs / "poor"]).entries
    assert (good.seconds, good.peak_memory_bytes) == (4.0, 10**9 + 6)
    assert poor.peak_memory_bytes is None
    for entry in (good, poor):
        assert entry.picture.startswith(b"\x89PNG")


def test_the_command_prints_writes_and_answers(runs, tmp_path):
    page = tmp_path / "board.html"
    done = CliRunner().invoke(
        main, ["leaderboard", str(runs / "good"), str(runs / "poor"), "-o", str(page), "--json"]
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [entry["model"] for entry in document["entries"]] == ["good", "poor"]
    assert document["entries"][1]["median_seconds"] is None
    assert "1 cases are left out" in done.stderr
    assert "good against poor: dice" in done.stderr.replace("poor against good", "good against poor")
    assert page.read_text().count("data:image/png;base64,") == 2
    json.dumps(board_json(rank([runs / "good"])), allow_nan=False)


def test_models_of_one_run_are_entries_of_their_own(cohort, tmp_path):
    evaluate(cohort / "good", cohort / "poor", cohort / "truth", "-o", tmp_path / "both", "-m", "dice")
    assert [entry.model for entry in rank([tmp_path / "both"]).entries] == ["good", "poor"]


def test_other_policies_and_conventions_are_not_put_side_by_side(cohort, runs, tmp_path):
    evaluate(cohort / "poor", cohort / "truth", "-o", tmp_path / "inf", "--empty", "inf")
    with pytest.raises(OptionError, match="different policies for empty masks: inf, penalise"):
        rank([runs / "good", tmp_path / "inf"])
    evaluate(cohort / "poor", cohort / "truth", "-o", tmp_path / "area", "-m", "dice", "-m", "hd95")
    path = tmp_path / "area" / "evaluation.json"
    path.write_text(path.read_text().replace("convention=max-directed", "convention=pooled"))
    board = rank([runs / "good", tmp_path / "area"])
    assert board.metrics == ("dice",)
    assert board.notes[0].startswith("hd95 was left out: its conventions differ")
    assert board.notes[1] == "nsd was left out: not all runs have it"


def test_what_is_no_run_is_refused(tmp_path, runs):
    with pytest.raises(OptionError, match="holds no evaluation"):
        rank([tmp_path])
    (tmp_path / "evaluation.json").write_text('{"schema": "other"}')
    with pytest.raises(OptionError, match="is no document of the schema medseg-evaluation/1"):
        rank([tmp_path])
    with pytest.raises(OptionError, match="two runs are called good"):
        rank([runs / "good", runs / "good"])
