"""The pages about evaluation: their commands run, and no metric is missing."""

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from medseg.builtin.metrics.descriptions import METRICS
from medseg.cli import main

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page, language):
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_page_run_one_after_the_other(cohort, tmp_path, monkeypatch):
    for name, folder in (("unet", "good"), ("vnet", "poor"), ("truth", "truth"), ("images", "images")):
        (tmp_path / name).symlink_to(cohort / folder)
    (tmp_path / "attributes.csv").symlink_to(cohort / "attributes.csv")
    monkeypatch.chdir(tmp_path)
    commands = [line for block in blocks("how-to/evaluate.md", "") for line in block.splitlines()]
    assert len(commands) == 4
    for command in commands:
        done = CliRunner().invoke(main, shlex.split(command)[1:])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "board.html").exists()


def test_the_python_of_the_page_runs(capsys):
    (code,) = blocks("how-to/evaluate.md", "python")
    exec(code, {})
    assert "0.8000" in capsys.readouterr().out


def test_every_metric_of_the_core_is_defined_in_the_reference():
    page = (DOCS / "reference/metrics.md").read_text(encoding="utf-8")
    assert [metric.name for metric in METRICS if f"`{metric.name}`" not in page] == []
