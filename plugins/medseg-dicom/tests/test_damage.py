"""Bytes of a header cut or changed: the series is refused, or nothing of it is different."""

import random
import shutil
import time

import numpy as np
import pytest
from medseg_dicom.reader import read

from medseg.errors import MedsegError

TRIES, SECONDS = 150, 20


@pytest.mark.parametrize("name", ["00_clean", "28_j2k", "61_enh_shuffled"])
@pytest.mark.parametrize("damage", ["cut", "flip", "byte"])
def test_a_damaged_header_is_refused_or_changes_nothing(bad, tmp_path, name, damage):
    folder = tmp_path / name
    shutil.copytree(bad / name, folder)
    sound = read(folder)
    path = max(folder.iterdir())  # the last slice: nothing behind it would show that it is gone
    content = path.read_bytes()
    chance = random.Random(7)
    pixels = content.rindex(b"\xe0\x7f\x10\x00")
    spared = set() if damage == "cut" else _values_without_redundancy(content, enhanced="enh" in name)
    began, outcomes = time.monotonic(), {"refused": 0, "same": 0}
    for _ in range(TRIES):
        at = chance.choice([at for at in range(1, pixels) if at not in spared])
        path.write_bytes(_damaged(content, at, damage, chance))
        try:
            volume = read(folder, threads=1)
        except MedsegError:
            outcomes["refused"] += 1
            continue
        assert np.array_equal(volume.array, sound.array), at
        assert np.abs(volume.affine - sound.affine).max() < 1e-9, at
        outcomes["same"] += 1
    assert time.monotonic() - began < SECONDS
    assert outcomes["refused"] > TRIES / 10
    assert damage == "cut" or outcomes["same"] > TRIES / 10


def _damaged(content, at, damage, chance):
    if damage == "cut":
        return content[:at]
    changed = content[at] ^ (1 << chance.randrange(8)) if damage == "flip" else chance.randrange(256)
    return content[:at] + bytes([changed]) + content[at + 1 :]


def _values_without_redundancy(content, *, enhanced):
    """Bytes of numbers that may differ from slice to slice, so that no other value contradicts them.

    ImagePositionPatient, RescaleIntercept and RescaleSlope, and in one enhanced file PixelSpacing and
    ImageOrientationPatient as well, which stand there once.
    """
    spared = set()
    tags = [b"\x20\x00\x32\x00", b"\x28\x00\x52\x10", b"\x28\x00\x53\x10"]
    tags += [b"\x28\x00\x30\x00", b"\x20\x00\x37\x00"] if enhanced else []
    for tag in tags:
        at = content.find(tag)
        while at >= 0:
            length = int.from_bytes(content[at + 6 : at + 8], "little")
            spared |= set(range(at - 12, at + 8 + length + 12))  # a length nearby may swallow the value
            at = content.find(tag, at + 1)
    return spared


@pytest.mark.parametrize(
    ("keyword", "tag"), [("SOPClassUID", b"\x08\0\x16\0"), ("SeriesInstanceUID", b"\x20\0\x0e\0")]
)
def test_a_damaged_representation_is_refused_with_the_file_and_the_tag(bad, tmp_path, keyword, tag):
    """Found by fuzz/gates.py: pydicom raises where others of its errors are expected."""
    folder = tmp_path / "series"
    shutil.copytree(bad / "00_clean", folder)
    path = min(folder.iterdir())
    content = path.read_bytes()
    at = content.index(tag + b"UI")
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    path.write_bytes(content[:at] + tag + b"U\1\0\0" + content[at + 8 + length :])
    with pytest.raises(MedsegError, match=rf"file {path.name}: {keyword} .* cannot be parsed"):
        read(folder)
