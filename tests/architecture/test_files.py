"""Files that people can read: sizes, names, and a reason beside every exception from a rule."""

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("medseg", "plugins", "tests", "ui", "benchmarks", "docs", "sample_volumes")
FILES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if ".venv" not in path.parts
)
NAMES = [str(path.relative_to(ROOT)) for path in FILES]
HOMELESS = {"utils", "util", "misc", "helpers", "helper", "common", "base"}
# An exception names its rules, and behind them, after two spaces, a comment gives the reason.
EXCEPTION = re.compile(r"#\s*(noqa|type:\s*ignore)")
EXPLAINED = re.compile(r"# (noqa: [A-Z]+\d+(, [A-Z]+\d+)*|type: ignore\[[a-z, -]+\])  # \S.{4,}")


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_has_at_most_500_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


def test_every_file_has_a_name_that_says_what_is_in_it():
    assert [str(path) for path in FILES if {path.stem, path.parent.name} & HOMELESS] == []


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_exception_from_a_rule_has_its_reason_beside_it(path):
    with path.open("rb") as file:
        comments = [t.string for t in tokenize.tokenize(file.readline) if t.type == tokenize.COMMENT]
    assert [c for c in comments if EXCEPTION.match(c) and not EXPLAINED.match(c)] == []


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_path_of_a_machine_is_in_the_source(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"/(?:home|Users|root|work)/\w+", text.replace("/home/user/", "")) == []
