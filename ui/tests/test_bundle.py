"""The built viewer is what its sources make, and says whose code it holds."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

UI = Path(__file__).parents[1]
STATIC = UI / "src" / "medseg_ui" / "static"


def test_every_library_in_the_bundle_has_its_notice():
    notices = (STATIC / "THIRD_PARTY_LICENSES.txt").read_text(encoding="utf-8")
    packages = json.loads((UI / "js" / "package-lock.json").read_text())["packages"]
    stubbed = ("zarrita", "numcodecs", "@zarrita", "unzipit", "uzip-module", "reference-spec-reader")
    shipped = [
        (path.removeprefix("node_modules/"), package["version"])
        for path, package in packages.items()
        if path and not package.get("dev") and not package.get("optional")
    ]
    missing = [f"{name} {version}" for name, version in shipped if f"{name} {version} (" not in notices]
    assert [entry for entry in missing if not entry.startswith(stubbed)] == []


def test_the_bundle_asks_no_other_host_for_anything():
    text = (STATIC / "viewer.js").read_text(encoding="utf-8") + (STATIC / "drop.js").read_text(
        encoding="utf-8"
    )
    assert "cdn." not in text
    assert "import(" not in text.replace("import.meta", "")


def test_the_lock_file_names_no_host():
    packages = json.loads((UI / "js" / "package-lock.json").read_text())["packages"]
    assert [path for path, package in packages.items() if "resolved" in package] == []


@pytest.mark.ui
def test_the_committed_bundle_is_what_its_sources_make(tmp_path):
    if shutil.which("node") is None:
        pytest.skip("no node: apt-get install nodejs npm")
    assert (UI / "js" / "node_modules").is_dir(), "run make test-ui, or: npm ci, in ui/js"
    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=UI / "js", check=True)
    for name in ("viewer.js", "drop.js"):
        assert (tmp_path / name).read_bytes() == (STATIC / name).read_bytes()
