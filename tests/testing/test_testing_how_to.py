"""The page for plugin authors: every command on it is run, every output is what comes out."""

import doctest
import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/how-to/write-a-plugin.md"
BLOCK = re.compile(r"^```(console|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCRIPTS = {
    "medseg": "from medseg.cli import main",
    "pip": "from pip._internal.cli.main import main",
    "pytest": "from pytest import main",
}


@pytest.fixture
def environment(tmp_path):
    """A virtual environment on top of this one, in which a plugin can be installed."""
    venv.create(tmp_path / "env")
    binaries = tmp_path / "env/bin"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")}))
    (packages / "below.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for name, line in SCRIPTS.items():
        script = binaries / name
        script.write_text(f"#!{binaries / 'python'}\nimport sys\n{line}\nsys.exit(main())\n")
        script.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
        "OMP_NUM_THREADS": "1",
        # No network: what the plugin needs is in the environment below.
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
    }


def test_the_page_for_plugin_authors_does_what_it_says(tmp_path, environment):
    folder = tmp_path / "page"
    folder.mkdir()
    ran = 0
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "diff":
            subprocess.run(["git", "apply", "-"], input=text, text=True, cwd=folder, check=True)
            continue
        for command, wanted in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            done = subprocess.run(
                command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert _matches(wanted, done.stdout), f"$ {command}\n{done.stdout}{done.stderr}"
            ran += 1
    assert ran == 6


def _matches(wanted, got):
    # "..." on the page stands for what depends on the machine: times, further plugins.
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(wanted, got, options)
