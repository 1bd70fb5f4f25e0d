"""Draw the viewer's pictures for the docs: python ui/make_pictures.py; needs chromium and playwright."""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_volumes"
OUT = ROOT / "docs" / "pictures" / "viewer"
PORT = 8632
LABELLED = '.ms-root[data-labels]:not([data-labels=""])'


def start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server with data folders of its own, and its address."""
    environment = os.environ | {"XDG_DATA_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-c", "from medseg_ui.launch import main; main()", "--no-browser"]
    log = folder / "log.txt"
    with log.open("w") as file:
        command += ["--port", str(PORT)]
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment)  # noqa: S603  # our own server
    while not (found := re.search(r"http://\S+", log.read_text())):
        time.sleep(0.2)
    time.sleep(3)
    return server, found.group()


def keep(page: Page, name: str) -> None:
    """Save what the page shows, when it has come to rest."""
    page.wait_for_timeout(2500)
    page.screenshot(path=OUT / f"{name}.png", timeout=120_000)
    sys.stdout.write(f"{OUT / name}.png\n")


def tour(page: Page) -> None:
    """A first visit: open a head, run a model, look, draw, let a contour move."""
    page.get_by_role("heading", name="Sample volumes").wait_for()
    page.wait_for_selector(".ms-drop")
    page.set_input_files("input[data-kind=files]", SAMPLES / "s1_t1_head_defaced.nii.gz")
    page.wait_for_selector(".ms-root[data-volume]")
    page.get_by_text("Maps to look at").click()
    page.get_by_text("Probabilities and uncertainty").click()
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Run").last.click()
    page.get_by_text("of memory at its peak").wait_for()
    keep(page, "running")
    page.wait_for_selector(LABELLED)
    keep(page, "result")
    page.select_option("select[name=map]", label="Uncertainty")
    page.wait_for_selector('.ms-root[data-map]:not([data-map=""])')
    keep(page, "uncertainty")
    page.select_option("select[name=map]", label="None")
    page.wait_for_selector('.ms-root[data-map=""]')
    page.click("[data-name=render]")
    keep(page, "result-3d")
    page.click("[data-name=axial]")
    page.click("[data-name=edit]")
    box = page.locator(".ms-stage canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.25 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.45 * box["width"], box["y"] + 0.12 * box["height"], steps=6)
    page.mouse.up()
    keep(page, "editing")
    page.click("[data-name=save]")
    page.locator("button", has_text="brain-mask, edited").wait_for()
    page.get_by_text("Move the border with an active contour").click()
    page.get_by_role("button", name="Apply").first.click()
    page.locator("button", has_text="brain-mask, edited, tdac").wait_for()
    page.locator("input[name=course]").wait_for()
    page.locator(".ms-root").first.evaluate("picture => picture.scrollIntoView({block: 'center'})")
    keep(page, "contour")


def tour_of_other_pages(page: Page) -> None:
    """Comparison, error map and cohort, and the first page once more in light."""
    page.get_by_role("link", name="Compare").click()
    page.wait_for_function("document.querySelectorAll('.ms-root[data-labels]').length === 2")
    keep(page, "compare")
    page.get_by_text("Error map").click()
    page.locator(".ms-name", has_text="only in brain-mask, edited, tdac").wait_for()
    keep(page, "error-map")
    page.get_by_role("link", name="Cohort").click()
    page.get_by_text("Add images").click()
    page.get_by_text("Drop images here").wait_for()
    page.wait_for_timeout(1000)
    page.set_input_files(
        "input[data-kind=files]", [SAMPLES / "itk_t1_head_2x2x3mm.nii.gz", SAMPLES / "colin27_t1_head.nii.gz"]
    )
    page.get_by_role("button", name="Run on 2").click()
    page.locator("p", has_text="waiting").first.wait_for()
    keep(page, "cohort")
    page.get_by_role("link", name="Segment").click()
    page.wait_for_selector(".ms-root[data-volume]")
    page.emulate_media(color_scheme="light")
    keep(page, "light")


def main() -> None:
    """Start, tour, stop."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server, url = start(Path(folder))
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 920}, color_scheme="dark")
            page.set_default_timeout(180_000)
            page.goto(url)
            tour(page)
            tour_of_other_pages(page)
        finally:
            browser.close()
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
