"""medseg evaluate: exit statuses, what is printed where, and what is written."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import medseg
from medseg import Volume
from medseg.cli import main


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


@pytest.fixture
def folders(tmp_path):
    """Two cases; the second truth has no prediction, if asked for."""
    truth = np.zeros((12, 12, 12), np.uint8)
    truth[3:8, 3:8, 3:8] = 1
    for folder, shift in (("truth", 0), ("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        for name in ("one", "two"):
            array = np.roll(truth, shift, axis=0)
            medseg.save(Volume(array, np.eye(4), kind="labels"), tmp_path / folder / f"{name}.nii.gz")
    return tmp_path


def test_two_files(run, folders):
    done = run(folders / "a" / "one.nii.gz", folders / "truth" / "one.nii.gz", "-m", "dice", "-m", "hd95")
    assert done.exit_code == 0
    assert "0.8000" in done.stdout
    assert "hd95 in mm: convention=max-directed" in done.stdout
    assert "empty masks: penalise" in done.stdout


def test_folders_of_two_models_with_all_files(run, folders):
    done = run(folders / "a", folders / "b", folders / "truth", "-o", folders / "out", "--lesions")
    assert done.exit_code == 0, done.output
    assert {path.name for path in (folders / "out").iterdir()} == {
        "comparisons.csv",
        "evaluation.json",
        "lesions.csv",
        "medseg-journal.jsonl",
        "report.html",
        "scores.csv",
        "scores.parquet",
        "summary.csv",
        "typical.png",
        "typical1.png",
    }
    assert "Models on the same cases" in done.stdout
    again = run(folders / "a", folders / "truth", "-o", folders / "out")
    assert again.exit_code == 2
    assert "holds an evaluation; use --overwrite" in again.stderr
    assert run(folders / "a", folders / "truth", "-o", folders / "out", "--overwrite").exit_code == 0


def test_json_is_one_document_and_all_else_goes_to_standard_error(run, folders):
    done = run(folders / "a", folders / "truth", "--json", "--empty", "inf", "--labels", "1=organ")
    document = json.loads(done.stdout)
    assert document["schema"] == "medseg-evaluation/1"
    assert document["settings"]["empty"] == "inf"
    assert {row["name"] for row in document["scores"]} == {"organ"}
    assert "organ" in done.stderr


def test_what_is_unmatched_or_refused_has_a_line_and_status_1(run, folders):
    (folders / "a" / "two.nii.gz").rename(folders / "a" / "three.nii.gz")
    done = run(folders / "a", folders / "truth")
    assert done.exit_code == 1
    assert "UNMATCHED three: there is no truth\n" in done.stderr
    assert "UNMATCHED two: there is no prediction\n" in done.stderr
    (folders / "a" / "three.nii.gz").rename(folders / "a" / "two.nii.gz")
    small = Volume(np.ones((4, 4, 4), np.uint8), np.eye(4), kind="labels")
    medseg.save(small, folders / "a" / "two.nii.gz")
    done = run(folders / "a", folders / "truth")
    assert done.exit_code == 1
    assert done.stderr.startswith("REFUSED two: two.nii.gz: the grids differ")
    assert "0.8000" in done.stdout
    assert run(folders / "a", folders / "truth", "--resample").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "dise"], "dise"),
        (["-m", "hd95 convention=median"], "convention is 'median', wanted 'max-directed'|'pooled'"),
        (["--labels", "liver"], "no such file"),
        (["--predicted-labels", "1=a"], "--predicted-labels needs --labels"),
        (["--name", "x", "--name", "y"], "2 names for 1 models"),
        (["--empty", "ignore"], "'ignore' is not one of"),
    ],
)
def test_wrong_usage_has_status_2(run, folders, arguments, message):
    done = run(folders / "a", folders / "truth", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not done.stdout
