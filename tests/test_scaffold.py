"""medseg plugin new: every kind is written, installed, listed, and passes its own tests unchanged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from medseg.cli import main
from medseg.plugin import KINDS

REPOSITORY = Path(__file__).parent.parent


def scaffold(name, kinds, folder):
    arguments = [word for kind in kinds for word in ("--kind", kind)]
    return CliRunner().invoke(main, ["plugin", "new", name, *arguments, "--out", str(folder)])


def install(distribution, site):
    """What an editable install leaves behind: metadata, and the way to the source."""
    name = distribution.name.removeprefix("medseg-")
    package = distribution.name.replace("-", "_")
    info = site / f"{package}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution.name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[medseg]\n{name} = {package}.plugin\n")
    return [str(site), str(distribution / "src")]


def python(*arguments, path, folder):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """One plugin of each kind and one of all kinds, in one folder, with the path that finds them."""
    folder = tmp_path_factory.mktemp("plugins")
    path = []
    for name, kinds in {**{f"new-{kind}": [kind] for kind in KINDS}, "new-all": list(KINDS)}.items():
        done = scaffold(name, kinds, folder)
        assert done.exit_code == 0, done.output
        path += install(folder / f"medseg-{name}", folder / "site")
    return folder, path


def test_a_new_plugin_of_each_kind_is_listed_as_ok(plugins):
    folder, path = plugins
    program = "from medseg.cli import main; main()"
    done = python("-c", program, "plugin", "list", "--json", path=path, folder=folder)
    listed = {plugin["name"]: plugin for plugin in json.loads(done.stdout)["plugins"]}

    for kind in KINDS:
        plugin = listed[f"new-{kind}"]
        assert plugin["status"] == "ok"
        assert kind in {component["kind"] for component in plugin["components"]}
    assert {component["kind"] for component in listed["new-all"]["components"]} == set(KINDS)


def test_a_new_plugin_of_each_kind_passes_its_own_tests_unchanged(plugins):
    folder, path = plugins
    options = ("-q", "-p", "no:cacheprovider", "-W", "error", "--import-mode=importlib")
    done = python("-m", "pytest", *options, path=path, folder=folder)

    assert done.returncode == 0, done.stdout
    for summary in ("skipped", "failed", "xfailed"):
        assert summary not in done.stdout


@pytest.mark.parametrize(
    ("name", "kinds", "message"),
    [
        ("My_Net", ["head"], "is not allowed"),
        ("builtin", ["head"], "taken by medseg"),
        ("mynet", ["heads"], "'heads' is not one of 'architecture', 'head'"),
    ],
)
def test_a_name_or_kind_that_cannot_be_is_refused(tmp_path, name, kinds, message):
    done = scaffold(name, kinds, tmp_path)
    assert done.exit_code == 2
    assert message in done.output
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "medseg-mynet").mkdir()
    done = scaffold("mynet", ["loss"], tmp_path)
    assert done.exit_code == 2
    assert "exists; choose another name" in done.output
    assert not list((tmp_path / "medseg-mynet").iterdir())


@pytest.mark.slow
def test_a_new_plugin_is_typed_and_tidy(plugins):
    folder, path = plugins
    code = folder / "medseg-new-all"
    settings = REPOSITORY / "pyproject.toml"
    isort = "lint.isort.known-first-party=['medseg_new_all']"
    for command in (
        ("mypy", "--strict", f"--config-file={settings}", str(code / "src")),
        ("ruff", "check", f"--config={settings}", f"--config={isort}", str(code / "src")),
        ("ruff", "format", "--check", f"--config={settings}", str(code / "src")),
    ):
        done = python("-m", *command, path=path, folder=folder)
        assert done.returncode == 0, done.stdout
