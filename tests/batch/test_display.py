import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from medseg.batch.cases import Case
from medseg.batch.display import cases_json, progress_bar, show_case
from medseg.batch.job import Report
from medseg.batch.outcome import Outcome
from medseg.progress import Progress
from medseg.provenance import measured_in

CASE = Case(name="[bold]a", sources=(Path("a.nii"),), files=(Path("out", "a.json"), Path("out", "a.nii.gz")))
REPORT = Report(
    result={
        "labels": [{"value": 2, "name": "[red]:x:", "voxels": 500, "ml": 4.0}],
        "warnings": ["spacing: [red]"],
    },
    measured=measured_in(
        {
            "seconds": {"read": 0.25, "network": 1.0},
            "peak_memory_bytes": 2_500_000_000,
            "predicted_memory_bytes": {"peak": 2_750_000_000, "vram": 0},
            "backend_trials": "builtin:openvino: fastest that agrees",
            "device": "cpu",
        }
    ),
)


def test_a_case_is_shown_with_volumes_cost_warnings_and_files(capsys):
    show_case(Outcome(case=CASE, status="done", report=REPORT))
    shown = capsys.readouterr().out
    for expected in (
        "[bold]a",
        "[red]:x:",
        "4.0 mL",
        "500",
        "1.2 s on cpu, peak memory 2.50 GB (predicted 2.75)",
    ):
        assert expected in shown
    assert "warning: spacing: [red]" in shown
    assert "builtin:openvino: fastest that agrees" in shown
    assert "VRAM" not in shown


def test_what_a_gpu_took_is_shown_and_a_method_predicts_nothing(capsys):
    measured = REPORT.measured | {"peak_vram_bytes": 4_000_000_000, "predicted_memory_bytes": None}
    show_case(Outcome(case=CASE, status="done", report=replace(REPORT, measured=measured)))
    assert "peak memory 2.50 GB, peak VRAM 4.00 GB" in capsys.readouterr().out


def test_the_files_of_a_case_are_named(capsys):
    show_case(Outcome(case=CASE, status="done", report=REPORT))
    shown = capsys.readouterr().out
    for path in CASE.files:
        assert f"wrote {path}" in shown


def test_cases_are_done_refused_or_failed(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"model": "m"}))
    case = replace(CASE, files=(tmp_path / "a.json", tmp_path / "a.nii.gz"))
    outcomes = [
        Outcome(case=case, status="done", report=REPORT),
        Outcome(case=CASE, status="refused", reason="no"),
        Outcome(case=CASE, status="failed", reason="ValueError", traceback="Traceback"),
    ]
    done, refused, failed = cases_json(outcomes)["cases"]
    assert (done["status"], done["labels"], done["provenance"]) == (
        "done",
        REPORT.result["labels"],
        {"model": "m"},
    )
    assert refused == {"case": "[bold]a", "status": "refused", "reason": "no"}
    assert failed["status"] == "failed"


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
