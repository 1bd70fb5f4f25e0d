import io
from pathlib import Path

import numpy as np
import pytest

from medseg.batch import Case, Outcome
from medseg.formats import save
from medseg.plugin import Label
from medseg.predict import Segmentation
from medseg.progress import Progress
from medseg.report import cases_json, compare_with_surfaces, describe_volume, progress_bar, show_case
from medseg.volume import Volume

CLASSES = (
    Label(value=0, name="background", colour="#000000"),
    Label(value=2, name="[red]:x:", colour="#ff0000"),
)
CASE = Case(name="[bold]a", source=Path("a.nii"), target=Path("out", "a.nii.gz"))


def segmented(array, spacing=1.0):
    return Segmentation(
        labels=Volume(array, np.diag([spacing, spacing, spacing, 1.0]), "labels"),
        classes=CLASSES,
        provenance={
            "seconds": {"read": 0.25, "network": 1.0},
            "peak_memory_bytes": 2_500_000_000,
            "device": "cpu",
        },
        warnings=("spacing: [red]",),
    )


def labels(count):
    array = np.zeros((10, 10, 10), np.uint8)
    array.reshape(-1)[:count] = 2
    return array


def test_a_case_is_shown_with_volumes_cost_warnings_and_files(capsys):
    show_case(Outcome(case=CASE, segmentation=segmented(labels(500), spacing=2.0), written=(CASE.target,)))
    shown = capsys.readouterr().out
    for expected in ("[bold]a", "[red]:x:", "4.0 mL", "500", "1.2 s on cpu, peak memory 2.50 GB"):
        assert expected in shown
    assert "warning: spacing: [red]" in shown
    assert f"wrote {CASE.target}" in shown


def test_cases_are_done_refused_or_failed():
    outcomes = [
        Outcome(case=CASE, segmentation=segmented(labels(3))),
        Outcome(case=CASE, refusal="no"),
        Outcome(case=CASE, refusal="ValueError", traceback="Traceback"),
    ]
    cases = cases_json(outcomes)["cases"]
    assert [case["status"] for case in cases] == ["done", "refused", "failed"]
    assert cases[0]["labels"] == [{"value": 2, "name": "[red]:x:", "voxels": 3, "ml": 0.003}]


def test_agreement_counts_the_covered_voxels_and_dice(tmp_path):
    truth = labels(100).astype(np.uint8)
    save(Volume(truth, np.eye(4), "labels"), tmp_path / "surfaces.nii")
    agreement = compare_with_surfaces(segmented(labels(80)), tmp_path / "surfaces.nii")
    assert agreement.as_json() == {
        "covered": 0.8,
        "dice": pytest.approx(2 * 80 / 180),
        "reference_ml": pytest.approx(0.1),
    }
    assert "80.000%" in agreement.sentence
    assert "Dice 0.889" in agreement.sentence


def test_a_refused_volume_says_why(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"junk")
    row = describe_volume(tmp_path / "a.nii", kind="image", options={})
    assert set(row) == {"file", "refused"}
    assert row["refused"].startswith("a.nii: ")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("name", ["head", "[red]head", "[/]", ":smile:", "{task.total}", "\u2603"])
def test_a_progress_bar_shows_any_name(monkeypatch, name):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar(name) as progress:
        progress(Progress(stage="network", done=1, total=2))
        progress(Progress(stage="finish", done=1, total=1))
    assert f"{name}: finish" in terminal.getvalue()


def test_where_nobody_watches_there_is_no_bar(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with progress_bar("head") as progress:
        assert progress is None
