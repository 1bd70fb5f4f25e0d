"""Distributions that tests install, and the command line that meets them.

An installed wheel is its package folder and a NAME-VERSION.dist-info folder with METADATA and
entry_points.txt, side by side on the path. That is what is written here, so that medseg finds the
plugin as it finds any other, without the seconds that pip needs.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from medseg.registry import default_registry

DATA = Path(__file__).parent / "data"
# A job in the background ignores Ctrl-C, and its children inherit that.
HEED_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def install(site, distribution, entry_points, *, version="1.0", metadata=None, **modules):
    """Put a distribution into a folder: its metadata, and modules by name with their source."""
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    if metadata is None:
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(entry_points)
    for name, source in modules.items():
        (site / f"{name}.py").write_text(source)


@pytest.fixture(scope="session", name="install")
def install_fixture():
    return install


@pytest.fixture(scope="session")
def tiny_site(tmp_path_factory):
    """A folder in which the plugin ``tiny`` of tests/data is installed, with weights."""
    site = tmp_path_factory.mktemp("site-packages")
    shutil.copytree(DATA / "medseg_tiny", site / "medseg_tiny")
    install(site, "medseg-tiny", "[medseg]\ntiny = medseg_tiny.plugin\n", version="0.3")
    score = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1)
    weights = {"score.weight": score, "score.bias": torch.tensor([0.0, -100.5])}
    save_file(weights, site / "medseg_tiny" / "bright.safetensors")
    # Of two channels: the first plus ten times the second, so that their order shows.
    score = torch.tensor([[0.0, 0.0], [1.0, 10.0]]).reshape(2, 2, 1, 1, 1)
    weights = {"score.weight": score, "score.bias": torch.tensor([0.0, -100.5])}
    save_file(weights, site / "medseg_tiny" / "pair.safetensors")
    return site


@pytest.fixture
def tiny(tiny_site, monkeypatch):
    """The plugin ``tiny``, found by this process until the test ends."""
    monkeypatch.syspath_prepend(tiny_site)
    default_registry.cache_clear()
    yield tiny_site
    default_registry.cache_clear()


@pytest.fixture(scope="session")
def start_medseg():
    """``start_medseg(*arguments, site=...)``: the command in a process of its own, with pipes."""
    started = []

    def start(*arguments, site=None, **environment):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                HEED_CTRL_C + "from medseg.cli import main; main(prog_name='medseg')",
                *map(str, arguments),
            ],
            env=with_site(site, **environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()  # nothing happens to one that has ended


@pytest.fixture(scope="session")
def medseg(start_medseg):
    """The same, run to its end."""

    def run(*arguments, **settings):
        process = start_medseg(*arguments, **settings)
        try:
            stdout, stderr = process.communicate(timeout=600)  # a busy machine is slow, not wrong
        finally:
            process.kill()  # nothing happens to one that has ended
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    return run


def with_site(site, **environment):
    """This process's environment, with a folder on Python's path, and no plugin settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MEDSEG_") and k != "PYTHONPATH"}
    return clean | ({"PYTHONPATH": str(site)} if site else {}) | environment
