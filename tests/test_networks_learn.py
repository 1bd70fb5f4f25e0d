"""Every network learns, and with every loss of the Dice and Tversky family: the table of the docs."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_SPEC = importlib.util.spec_from_file_location("train_on_phantoms", ROOT / "benchmarks/train_on_phantoms.py")
benchmark = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(benchmark)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", benchmark.ALL, ids=lambda s: f"{s.network}-{s.loss}{s.loss_options or ''}"
)
def test_150_steps_on_phantoms_bring_dice_above_85_percent(setting):
    assert benchmark.train(setting) > 0.85


def test_one_step_is_not_enough_so_the_table_measures_learning():
    assert benchmark.train(benchmark.LOSSES[0], steps=1) < 0.5


def test_the_page_shows_every_setting_of_the_benchmark():
    page = (ROOT / "docs/reference/what-learns.md").read_text(encoding="utf-8")

    for setting in benchmark.ALL:
        options = ", ".join(f"{name}={value}" for name, value in setting.options.items())
        loss = setting.loss + "".join(f", {name}={value}" for name, value in setting.loss_options.items())
        row = re.search(re.escape(f"| {setting.network} | {options} | {loss} |") + r" (0\.\d+) \|", page)
        assert row, f"no row for {setting}"
        assert float(row[1]) > 0.85
    assert page.count("\n| ") == len(benchmark.ALL) + 1
