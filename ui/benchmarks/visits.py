"""How quick the viewer is: first pictures, fetches on a rerun, the server's memory, and many people at once.

python ui/benchmarks/visits.py [--users 20]; needs chromium and playwright. Software rendering; the load of
the machine stands beside the figures, because a browser drawn by the processor feels every other program.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

import medseg
from medseg import Volume

sys.path.insert(0, str(Path(__file__).parents[1]))
from make_pictures import start

SAMPLES = Path(__file__).parents[2] / "sample_volumes"
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
DRAWN = ".ms-root[data-volume]"
PATIENCE_MS = 240_000


def resident_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def make_ct(path: Path) -> Path:
    """A CT of 512 x 512 x 300: its values are chance, its size is what counts."""
    values = np.random.default_rng(0).integers(-1024, 1500, (512, 512, 300), dtype=np.int16)
    medseg.save(Volume(values, np.diag([0.7, 0.7, 1.0, 1.0])), path)
    return path


def first_picture(browser: Browser, url: str, file: Path, server: int) -> dict[str, float]:
    """Seconds from opening the page of a case that is read already to its first picture."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.wait_for_selector(".ms-drop")
    page.set_input_files("input[data-kind=files]", file)
    page.wait_for_selector(DRAWN)
    before = resident_mb(server)
    began = time.perf_counter()
    page.reload()
    page.wait_for_selector(DRAWN)
    seconds = time.perf_counter() - began
    fetched: list[str] = []
    page.on("request", lambda r: fetched.append(r.url) if "/medseg/file/" in r.url else None)
    page.get_by_text("Maps to look at").click()
    page.wait_for_timeout(3000)
    figures = {
        "seconds": seconds,
        "MB_more_in_server": resident_mb(server) - before,
        "fetches_on_rerun": float(len(fetched)),
    }
    context.close()
    return figures


def long_run(browser: Browser, url: str) -> Page:
    """A visitor whose job goes on while the others are timed."""
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.wait_for_selector(".ms-drop")
    page.set_input_files("input[data-kind=files]", SAMPLES / "colin27_t1_head.nii.gz")
    page.wait_for_selector(DRAWN)
    page.get_by_text("Maps to look at").click()
    page.get_by_text("Average over mirrored passes").click()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Run").last.click()
    page.get_by_role("button", name="Cancel").wait_for()
    return page


class Person(threading.Thread):
    """Somebody with a page of their own, over Streamlit's own protocol: 20 browsers would share two cores."""

    def __init__(self, url: str, turns: int) -> None:
        super().__init__(daemon=True)
        self._url, self._turns = url, turns
        self.seconds: list[float] = []

    def run(self) -> None:
        """Visit pages in turn and note how long each took."""
        with httpx.Client(follow_redirects=True) as client:
            client.get(self._url)
            client.get(self._url.split("?")[0] + "_stcore/health")
            cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        address = self._url.split("?")[0].replace("http", "ws", 1) + "_stcore/stream"
        with connect(
            address,
            additional_headers={"Cookie": cookies, "Origin": self._url.split("/?")[0]},
            subprotocols=[Subprotocol("streamlit")],
            max_size=None,
        ) as socket:
            self._interact(socket, "")
            for turn in range(self._turns):
                time.sleep(1.0)
                self.seconds.append(self._interact(socket, ("models", "history", "compare")[turn % 3]))

    def _interact(self, socket: ClientConnection, page: str) -> float:
        began = time.perf_counter()
        asked = BackMsg()
        asked.rerun_script.page_name = page
        socket.send(asked.SerializeToString())
        answer = ForwardMsg()
        while answer.WhichOneof("type") != "script_finished":
            answer.ParseFromString(bytes(socket.recv(60)))
        return time.perf_counter() - began


def many_people(url: str, users: int, turns: int = 15) -> dict[str, float]:
    """Seconds from an interaction to the end of what the server answers, for people side by side."""
    people = [Person(url, turns) for _ in range(users)]
    for person in people:
        person.start()
        time.sleep(0.1)
    for person in people:
        person.join()
    seconds = sorted(second for person in people for second in person.seconds)
    return {
        "interactions": float(len(seconds)),
        "median_seconds": statistics.median(seconds),
        "p95_seconds": seconds[int(0.95 * len(seconds))],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=20)
    users = parser.parse_args().users
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        ct = make_ct(folder / "ct.nii")
        server, url = start(folder)
        try:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            rows: dict[str, Any] = {}
            for title, file in (("1 mm head", SAMPLES / "s1_t1_head_defaced.nii.gz"), ("CT 512x512x300", ct)):
                load = os.getloadavg()[0]
                rows[title] = first_picture(browser, url, file, server.pid) | {"load_before": load}
            load = os.getloadavg()[0]
            busy = long_run(browser, url)
            figures = many_people(url, users)
            runs = float(busy.get_by_role("button", name="Cancel").count())
            rows[f"{users} users"] = figures | {"jobs_running_at_the_end": runs, "load_before": load}
            browser.close()
            for title, figures in rows.items():
                print(title, {key: round(value, 3) for key, value in figures.items()})
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()
