"""The core finds the format by folder, suffix or content, and knows its permissions."""

import subprocess
import sys

import pytest
from medseg_dicom import plugin
from medseg_dicom.reader import read, sniff

from medseg.errors import OptionError, VolumeError
from medseg.formats import list_contents, load
from medseg.options import options_of
from medseg.registry import Registry


@pytest.fixture
def registry():
    return Registry.of(dicom=plugin)


def test_a_folder_is_recognised_by_what_is_in_it(registry, make_series):
    assert load(make_series(), registry=registry).shape == (20, 16, 8)


def test_a_file_without_suffix_is_recognised_by_its_content(registry, make_enhanced):
    path = make_enhanced("study")
    assert load(path, registry=registry).shape == (20, 16, 8)


def test_permissions_are_options_of_the_reader(registry, make_series):
    folder = make_series()
    (folder / "IM004.dcm").unlink()
    assert load(folder, registry=registry, gaps="resample", series="1", threads="1").shape == (20, 16, 8)
    with pytest.raises(OptionError, match=r"option gaps is 'guess', wanted ''\|'resample'"):
        load(folder, registry=registry, gaps="guess")
    assert list(options_of(read)) == ["series", "timepoint", "gaps", "tilt", "single", "units", "threads"]


def test_the_core_lists_the_series_of_a_path(registry, bad):
    assert [(c.number, c.refusal) for c in list_contents(bad / "09_two_series", registry=registry)] == [
        (1, ""),
        (2, ""),
    ]
    (only,) = list_contents(bad / "01_missing_middle", registry=registry)
    assert only.refusal.startswith("a gap of 6 mm")


def test_a_negative_number_of_threads_is_refused(make_series):
    with pytest.raises(OptionError, match="threads is -1"):
        read(make_series(), threads=-1)


def test_label_maps_are_not_read(make_series):
    with pytest.raises(VolumeError, match="images, not label maps"):
        read(make_series(), kind="labels")


def test_sniffing_tells_dicom_from_other_content(tmp_path, make_series):
    folder = make_series()
    (tmp_path / "notes.txt").write_text("a")
    (tmp_path / "empty").mkdir()
    assert sniff(folder)
    assert sniff(folder / "IM000.dcm")
    assert not sniff(tmp_path / "notes.txt")
    assert not sniff(tmp_path / "empty")


def test_listing_the_plugin_imports_neither_pydicom_nor_numpy():
    code = "import sys, medseg_dicom.plugin; sys.exit(bool({'pydicom', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
