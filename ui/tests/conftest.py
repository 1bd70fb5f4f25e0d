"""A running viewer and a browser to look at it with: Debian's package chromium, through Playwright."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
SAMPLES = Path(__file__).parents[2] / "sample_volumes"
# SwiftShader draws where there is no GPU, and draws the same everywhere.
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
PATIENCE_MS = 120_000  # other work may use the cores: tests wait, and assert no times


def pytest_configure(config):
    config.addinivalue_line("markers", "ui: drives a browser for minutes; run with make test-ui")


class RunningViewer:
    """A server in a process of its own, and the address that it printed."""

    def __init__(self, folder, *arguments):
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.log = folder / "server.log"
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment |= {"XDG_DATA_HOME": str(folder / "data"), "XDG_CACHE_HOME": str(folder / "cache")}
        command = [sys.executable, "-c", "from medseg_ui.launch import main; main()"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--no-browser", "--port", str(self.port), *arguments],
                stdout=log,
                stderr=log,
                env=environment,
            )
        self.url = self._wait_for_address()

    def _wait_for_address(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(r"http://\S+", self.log.read_text())
            if found and self._listens():
                return found.group()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def _listens(self):
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def work_folder(self):
        return self.folder / "cache" / "medseg" / "viewer"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = RunningViewer(tmp_path_factory.mktemp("viewer"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no browser: apt-get install -y --no-install-recommends chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, server):
    """A page of a new person, who has come in; it fails if a script or a request fails."""
    with closing(chromium.new_context(viewport={"width": 1400, "height": 900})) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on(
            "request",
            lambda r: (
                r.url.startswith(("http:", "https:"))
                and f":{server.port}/" not in r.url
                and page.faults.append(r.url)
            ),
        )
        page.goto(server.url)
        page.get_by_text("Segment an image").wait_for()
        yield page
        assert page.faults == []
