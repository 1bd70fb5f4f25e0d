import importlib.metadata
import platform
from pathlib import Path

import pytest
import torch

from medseg.diagnosis import diagnose, show_diagnosis
from medseg.registry import PluginRecord, Registry, default_registry


def failing(reason, error):
    record = PluginRecord(name="bad", distribution="medseg-bad", version="1.0")
    record.fail("failed", reason, error)
    return Registry([*default_registry().records, record])


def test_it_states_what_is_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path))
    found = diagnose()
    assert found["problems"] == []
    assert found["python"] == platform.python_version()
    assert found["libraries"]["torch"] == importlib.metadata.version("torch")
    assert found["plugins"]["medseg"] == found["medseg"] == importlib.metadata.version("medseg")
    assert len(found["cuda"]) == torch.cuda.device_count()
    assert found["weights_folder"].startswith(str(tmp_path))


def test_a_problem_holds_what_its_author_needs():
    with pytest.raises(FileNotFoundError) as raised:
        Path("no licence").read_text()
    (problem,) = diagnose(failing("no licence", raised.value))["problems"]
    assert problem["plugin"] == "bad"
    assert problem["distribution"] == "medseg-bad 1.0"
    assert 'Path("no licence").read_text()' in problem["traceback"]


def test_nothing_in_a_diagnosis_is_taken_for_markup_or_broken_at_the_margin(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    reason = "[red]OSError: :smile: " + "no licence " * 5 + "[/] $HOME"
    show_diagnosis(diagnose(failing(reason, None)))
    shown = capsys.readouterr().out
    assert f"FAILED  bad (medseg-bad 1.0): {reason}\n" in shown
    assert shown.endswith("\n1 problem found\n")


def test_no_problem_is_said_too(capsys):
    show_diagnosis(diagnose())
    assert capsys.readouterr().out.endswith("\nno problems found\n")
