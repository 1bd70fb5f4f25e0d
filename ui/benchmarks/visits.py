"""How quick the viewer is: first pictures, fetches on a rerun, the server's memory, and many people at once.

python ui/benchmarks/visits.py [--users 20]; needs chromium and playwright. First pictures are those of a
headless Chromium that draws with the processor. The many people are sessions of Streamlit's protocol without
a browser (people.py), each with a pause of a second between interactions: their figure is from an
interaction to the end of the server's answer. Then once more with one real browser among them, timed from a
click to the page that it opens. The load of the machine stands beside the figures: everything here, the
browser included, shares the server's processors.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, sync_playwright

import medseg
from medseg import Volume

sys.path.insert(0, str(Path(__file__).parents[1]))
from make_pictures import start
from people import Caller, Person

SAMPLES = Path(__file__).parents[2] / "sample_volumes"
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
DRAWN = ".ms-root[data-volume]"
PATIENCE_MS = 240_000
TURNS, PAUSE_SECONDS = 4, 1.0
JOBS = 4
WATCHED_SECONDS = 75.0  # longer than the others take


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


def start_long_run(url: str) -> Person:
    """Somebody whose jobs go on, one after the other, while the others are timed."""
    person = Person(url)
    person.go("")
    person.open_sample("Head MRI, T1, averaged")
    person.tick("Average over mirrored passes", on=True)
    for _ in range(JOBS):
        person.press("Run")
    person.wait_until(lambda: person.has("button", "Cancel"))
    return person


def open_pages(browser: Browser, url: str, turns: int) -> list[float]:
    """Seconds from clicks in a real browser to the pages that they open."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.wait_for_selector(".ms-drop")
    seconds = []
    for turn in range(turns):
        name = ("Models", "History", "Cohort", "Compare")[turn % 4]
        page.wait_for_timeout(1000)
        began = time.perf_counter()
        page.get_by_role("link", name=name).click()
        page.get_by_role("heading", name=name, exact=True).wait_for()
        seconds.append(time.perf_counter() - began)
    context.close()
    return seconds


def many_people(browser: Browser, url: str, users: int) -> dict[str, dict[str, float]]:
    """Seconds of interactions, of each kind and of all, for people side by side while a job runs."""
    people = []
    for _ in range(users):
        person = Person(url)
        person.go("")
        person.open_sample("Head MRI, T1, small")
        person.draw()
        people.append(person)
    runner = start_long_run(url)
    watching = threading.Thread(target=runner.look, args=(WATCHED_SECONDS,), daemon=True)
    watching.start()
    seconds = _time_visits(people)
    every = [second for kind in seconds.values() for second in kind]
    figures = {kind: _summarize(timed) for kind, timed in seconds.items()} | {"all": _summarize(every)}
    clicks: list[float] = []
    beside = _time_visits(people, meanwhile=lambda: clicks.extend(open_pages(browser, url, turns=16)))
    watching.join()
    if not runner.has("button", "Cancel"):
        raise RuntimeError("the jobs ended before the others had done; queue more")
    return figures | {
        "all, beside a real browser": _summarize([second for kind in beside.values() for second in kind]),
        "that browser, click to page": _summarize(clicks),
    }


def _time_visits(
    people: list[Person], *, meanwhile: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    callers = [Caller(person, turns=TURNS, pause=PAUSE_SECONDS) for person in people]
    for caller in callers:
        caller.start()
        time.sleep(PAUSE_SECONDS / len(callers))
    meanwhile()
    for caller in callers:
        caller.join()
    seconds: dict[str, list[float]] = {}
    for kind, second in (timed for caller in callers for timed in caller.seconds):
        seconds.setdefault(kind, []).append(second)
    return seconds


def _summarize(seconds: list[float]) -> dict[str, float]:
    return {
        "interactions": float(len(seconds)),
        "median_seconds": statistics.median(seconds),
        "p95_seconds": sorted(seconds)[int(0.95 * len(seconds))],
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
            for title, figures in many_people(browser, url, users).items():
                rows[f"{users} users: {title}"] = figures | {"load_before": load}
            browser.close()
            for title, figures in rows.items():
                print(title, {key: round(value, 3) for key, value in figures.items()})
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()
