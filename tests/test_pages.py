"""The README and the first pages work when pasted, on the real sample volumes."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path):
    """A folder that looks like the root of a clone, in which pages may write."""
    for name in ("sample_volumes", "README.md", "docs", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def run(command, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/start/first-volume.md", "docs/how-to/segment-dicom.md"])
def test_the_commands_of_a_page_run_one_after_the_other(page, checkout):
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("medseg ")]
    assert len(commands) >= 2

    for command in commands:
        run(shlex.split(command), checkout)

    assert list(checkout.glob("results/*.nii.gz"))


@pytest.mark.parametrize("page", ["README.md", "docs/reference/python.md"])
def test_the_python_of_a_page_runs(page, checkout):
    (code,) = [block for block in blocks(page, "python") if "import medseg\n" in block]

    printed = run([sys.executable, "-c", code], checkout)

    assert re.search(r"^(brain )?15\d\d(\.\d+)? ", printed, flags=re.MULTILINE), printed
    assert (checkout / "brain.nii.gz").exists()


def test_every_link_of_a_page_leads_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
