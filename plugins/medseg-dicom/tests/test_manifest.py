"""Every case of the collection of sound and broken series is read or refused as promised."""

import json
import re

import pytest
from medseg_dicom.listing import list_series
from medseg_dicom.reader import read

from medseg.errors import VolumeError


def test_each_case_is_read_or_refused_as_promised(case, bad):
    path = bad / case["id"]
    if case["expect"] == "refuse":
        with pytest.raises(VolumeError, match=rf"^{re.escape(case['id'])}: .*{case['message']}"):
            read(path)
    else:
        volume = read(path)
        assert re.search(case["note"], " ".join(volume.notes))
        assert bool(volume.notes) == bool(case["note"])


def test_what_is_read_is_right_in_the_world(sound_case, bad, wrong_by):
    volume = read(bad / sound_case["id"])
    if sound_case["id"] == "45_padding":
        volume = volume.with_array(_without_padding(volume, bad))
    offset = 600 if sound_case["id"] == "13_rescale_per_slice" else 0  # activity cannot be negative
    assert wrong_by(volume, offset=offset) <= 1


def _without_padding(volume, bad):
    """The padding's voxels taken from the clean series, whose others are the same."""
    clean = read(bad / "00_clean").array.copy()
    padding = volume.array == -1000
    assert padding.sum() == 32
    return (clean * padding) + volume.array * ~padding


def test_the_list_refuses_what_the_reader_refuses(series_case, bad):
    listed = list_series(bad / series_case["id"])
    if series_case["expect"] == "read":
        assert not listed[0].refusal
    elif "series; wanted one" in series_case["message"]:
        assert [entry.refusal for entry in listed] == ["", ""]
    else:
        assert re.search(series_case["message"], listed[0].refusal)


def test_every_folder_of_the_collection_has_its_case(bad):
    cases = {case["id"] for case in json.loads((bad / "MANIFEST.json").read_text())}
    assert {path.name for path in bad.iterdir()} == cases | {"MANIFEST.json"}
