"""docs/reference/losses.md says what the code does."""

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

from medseg.builtin.losses.descriptions import LOSSES

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "reference" / "losses.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `([a-z-]+)`\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_the_page_names_every_loss_with_its_options_its_extras_and_its_source(loss, options_of_loss):
    section = " ".join(SECTIONS[loss.name].split())
    options = ", ".join(f"`{o.name}={o.default!r}`" for o in options_of_loss(loss.name).values())
    assert f"* **Options:** {options}" in section
    assert f"* **Source:** {loss.reference}" in section
    for extra in loss.needs:
        assert f"**Needs** the extra `{extra}`" in section


def test_the_page_names_no_loss_that_does_not_exist():
    assert list(SECTIONS) == [loss.name for loss in LOSSES]


@pytest.mark.parametrize("name", SECTIONS)
def test_every_loss_has_a_picture_of_its_own_or_names_the_section_that_holds_it(name):
    elsewhere = re.search(r"^Picture: under `([a-z-]+)`", SECTIONS[name], flags=re.MULTILINE)
    (picture,) = re.findall(r"!\[.+\]\((.+)\)", SECTIONS[elsewhere[1] if elsewhere else name])
    size = (DOCS / "reference" / picture).stat().st_size
    assert 1_000 < size < 150_000


def test_the_example_runs():
    finder = doctest.DocTestParser().get_doctest(PAGE, {}, "losses.md", "losses.md", 0)
    assert finder.examples
    assert doctest.DocTestRunner().run(finder).failed == 0


def test_the_numbers_on_the_page_are_those_that_the_script_prints(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("make_loss_pictures", DOCS / "make_loss_pictures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.PICTURES = tmp_path
    script.main()
    printed = set(re.findall(r"-?\d+\.\d+|\d+(?= %)", capsys.readouterr().out))
    quoted = set(
        re.findall(
            r"(?<![\w/.(=:])-?\d+\.\d{3,5}(?![\d`])|\d+\.\d(?= mm)|(?<=mm )\d\.\d\d",
            "".join(SECTIONS.values()),
        )
    )
    assert len(quoted) > 15
    assert quoted <= printed
    assert {path.name for path in tmp_path.iterdir()} == {
        p.name for p in (DOCS / "pictures/losses").iterdir()
    }
