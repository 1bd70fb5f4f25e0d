"""The three ways to the kit say the same, and it stays out of the way of everybody else's pytest."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from medseg.cli import main
from medseg.errors import UnknownNameError
from medseg.plugin import Loss, hookimpl
from medseg.registry import Registry, default_registry
from medseg.testing import conformance, iter_checks, run_check
from medseg.testing.expectation import CannotRunError, expect
from medseg.testing.suite import Check

ROOT = Path(__file__).parents[2]
OF_PLUGINS = [path.read_text(encoding="utf-8") for path in ROOT.glob("plugins/*/tests/*.py")]
PLUGINS = [  # without those that are held to it by tests of their own
    record.name
    for record in default_registry().records
    if not any(f'conformance("{record.name}")' in text for text in OF_PLUGINS)
]


def run_pytest(*arguments, folder):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_every_plugin_keeps_its_promises(plugin):
    failed = [outcome for check in iter_checks(plugin) if (outcome := run_check(check)).status == "failed"]
    assert not failed, "\n".join(f"{outcome.check.id}: {outcome.message}" for outcome in failed)


def test_the_command_line_and_pytest_hold_the_same_checks(tmp_path):
    ids = [check.id for check in iter_checks("vnet")]

    command = CliRunner().invoke(main, ["plugin", "check", "vnet", "--json"])
    assert command.exit_code == 0
    document = json.loads(command.stdout)
    assert document["passed"] is True
    assert [check["id"] for check in document["checks"]] == ids

    done = run_pytest("--medseg-plugin", "vnet", "--collect-only", folder=tmp_path)
    assert [line.partition("[vnet:")[2].rstrip("]") for line in done.stdout.splitlines()[: len(ids)]] == ids

    (mark,) = conformance("vnet").pytestmark
    assert [parameter.id for parameter in mark.args[1]] == ids


def test_pytest_runs_the_kit_beside_the_paths_that_are_given(tmp_path):
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    done = run_pytest("--medseg-plugin", "linknet", "-rA", "test_own.py", folder=tmp_path)
    assert done.returncode == 0
    assert "PASSED test_own.py::test_own" in done.stdout
    assert "PASSED ::test_promise[linknet:plugin/loads]" in done.stdout


def test_without_the_option_pytest_is_left_alone(tmp_path):
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    assert "1 passed" in run_pytest(folder=tmp_path).stdout


def test_the_pytest_plugin_imports_nothing_heavy():
    code = (
        "import sys, pytest; before = set(sys.modules); import medseg.testing.pytest_plugin\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["medseg"]


def test_an_unknown_plugin_is_named_and_the_installed_ones_are_listed():
    done = CliRunner().invoke(main, ["plugin", "check", "nothing"])
    assert done.exit_code == 2
    assert "no plugin 'nothing' is installed. Installed: brain-tissue, builtin" in done.output


EXPECTATIONS = """
from medseg.testing import conformance
test_fails = conformance("bad", expected_failures={"loss/bad/summary-is-one-line": "to be shortened"})
test_passes = conformance("bad", expected_failures={"loss/bad/code-is-found": "it is found"})
"""
FAULTY = """
from medseg.plugin import Loss, hookimpl
MEDSEG_API = 1
@hookimpl
def medseg_losses():
    return [Loss(name="bad", factory="torch.nn:MSELoss", summary="x" * 81)]
"""


def test_an_expected_failure_that_passes_after_all_fails_the_test(tmp_path, monkeypatch):
    info = tmp_path / "bad-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[medseg]\nbad = bad_plugin\n")
    (tmp_path / "bad_plugin.py").write_text(FAULTY)
    (tmp_path / "test_expectations.py").write_text(EXPECTATIONS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = run_pytest("-rA", "-k", "summary or found", "test_expectations.py", folder=tmp_path)

    assert "XFAIL test_expectations.py::test_fails[loss/bad/summary-is-one-line]" in done.stdout
    assert "PASSED test_expectations.py::test_fails[loss/bad/code-is-found]" in done.stdout
    assert "FAILED test_expectations.py::test_passes[loss/bad/summary-is-one-line]" in done.stdout
    assert "FAILED test_expectations.py::test_passes[loss/bad/code-is-found] - [XPASS" in done.stdout
    assert "got a summary of 81 characters" in done.stdout


def test_an_expected_failure_that_is_no_check_is_refused():
    with pytest.raises(UnknownNameError, match="no such check of vnet: architecture/vnet/flies"):
        conformance("vnet", expected_failures={"architecture/vnet/flies": "it has no wings"})


def refuse():
    raise CannotRunError("it needs a machine that flies")


def leave():
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("run", "status", "message"),
    [
        (lambda: None, "passed", ""),
        (
            lambda: expect(0, got="this", wanted="that", remedy="Do so"),
            "failed",
            "got this; wanted that. Do so",
        ),
        (refuse, "not run", "it needs a machine that flies"),
        (leave, "failed", "it raised SystemExit: 3"),
        (lambda: {}["phi"], "failed", "it raised KeyError: 'phi'"),
    ],
)
def test_whatever_a_check_raises_becomes_an_outcome(run, status, message):
    outcome = run_check(Check(id="", promise="", run=run))
    assert outcome.status == status
    assert outcome.message.startswith(message)


def test_the_code_of_a_component_that_cannot_be_imported_is_reported_once():
    lost = Loss(name="lost", factory="no_such_package:loss", summary="Not there")
    registry = Registry.of(bad=SimpleNamespace(MEDSEG_API=1, medseg_losses=hookimpl(lambda: [lost])))
    outcomes = [run_check(check) for check in iter_checks("bad", registry=registry)]
    assert [o.check.id for o in outcomes if o.status == "failed"] == ["loss/lost/code-is-found"]
    assert {o.message for o in outcomes if o.check.id.endswith("descent-lowers-it")} == {
        "the component's code cannot be imported; see code-is-found"
    }
