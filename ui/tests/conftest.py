"""A running viewer and a browser to look at it with: Debian's package chromium, through Playwright."""

import io
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

import numpy as np
import pytest
from PIL import Image

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

    def __init__(self, folder, *arguments, port=None):
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = port or free.getsockname()[1]
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


@pytest.fixture
def run_viewer(tmp_path_factory):
    """Starts servers with further arguments."""
    running = []

    def run(*arguments, port=None):
        running.append(RunningViewer(tmp_path_factory.mktemp("viewer"), *arguments, port=port))
        return running[-1]

    yield run
    for one in running:
        one.stop()


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no browser: apt-get install -y --no-install-recommends chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """A person with a browser of their own, and what they do with it.

    ``faults`` lists what must never happen: script errors, and requests to any other host.
    """

    def __init__(self, browser, server):
        self.context = browser.new_context(viewport={"width": 1400, "height": 900})
        self.context.set_default_timeout(PATIENCE_MS)
        self.page = self.context.new_page()
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._check_host(request.url, server.port))
        self.page.goto(server.url)
        self.page.get_by_text("Segment an image").wait_for()

    def _check_host(self, url, port):
        if url.startswith(("http:", "https:")) and f":{port}/" not in url:
            self.faults.append(url)

    def upload(self, *files):
        self.page.set_input_files("input[data-kind=files]", files)

    def open(self, file):
        self.upload(file)
        self.page.wait_for_selector(".ms-root[data-volume]")

    def run_model(self):
        self.page.get_by_role("button", name="Run").last.click()

    def wait_for_labels(self):
        self.page.wait_for_selector('.ms-root[data-labels]:not([data-labels=""])')

    def ask(self, expression):
        """What the viewer's JavaScript says."""
        return self.page.evaluate(f"document.querySelector('.ms-root').viewer.{expression}")

    def pixels(self):
        """The picture that the browser shows, (rows, columns, RGB)."""
        shot = self.page.locator(".ms-stage canvas").screenshot(timeout=PATIENCE_MS)
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)

    def drag(self, *places):
        """Drag over the picture; places are fractions of its width and height."""
        box = self.page.locator(".ms-stage canvas").bounding_box()
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*point, steps=4)
        self.page.mouse.up()

    def download(self, text):
        with self.page.expect_download() as waiting:
            self.page.locator("a.ms-download", has_text=text).click()
        return waiting.value


@pytest.fixture
def new_visitor(chromium, server):
    """Makes visitors, who leave at the end of the test; nothing may have gone wrong for any."""
    visitors = []

    def arrive():
        visitors.append(Visitor(chromium, server))
        return visitors[-1]

    yield arrive
    for visitor in visitors:
        visitor.context.close()
    assert [visitor.faults for visitor in visitors] == [[] for _ in visitors]


@pytest.fixture
def visitor(new_visitor):
    return new_visitor()


@pytest.fixture(scope="session")
def samples():
    return SAMPLES
