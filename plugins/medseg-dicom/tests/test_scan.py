"""The quick way to read a header gives what pydicom gives, or leaves the header to it."""

import io
import random
import sys

import pytest
from medseg_dicom import scan as scan_module
from medseg_dicom.dataset import _HEAD, _read_any, _read_ordinary, _tags
from medseg_dicom.instance import _TAGS
from medseg_dicom.quiet import silenced
from medseg_dicom.scan import UnusualError
from medseg_dicom.source import Source
from pydicom.filereader import EXPLICIT_VR_LENGTH_32
from pydicom.valuerep import VR

from medseg.errors import VolumeError

WANTED = _tags(_TAGS)


def both_ways(content):
    """What the quick way finds, and pydicom; the first is None where it leaves the header to the second."""
    source = Source.of_member("slice.dcm", 1, content)
    try:
        quick = _read_ordinary(content[: scan_module.ENOUGH], _HEAD, WANTED, source)
    except UnusualError:
        quick = None
    stream = io.BytesIO(content)
    stream.seek(_HEAD)
    try:
        with silenced():
            thorough = _read_any(stream, WANTED, source)
    except Exception as error:  # noqa: BLE001  # pydicom raises what the damage leads it into
        thorough = error
    return quick, thorough


def comparable(content):
    # pydicom keeps the character set without being asked, for texts that are not wanted here.
    elements = {tag: element for tag, element in content.dataset._dict.items() if tag in WANTED}
    values = {
        tag: (e.VR, e.length, e.value or b"", e.value_tell, e.is_implicit_VR, e.is_little_endian)
        for tag, e in elements.items()
    }
    return values, content.transfer_syntax, content.media_class, content.big_endian, content.pixels


def assert_same(content):
    quick, thorough = both_ways(content)
    if quick is not None:
        assert comparable(quick) == comparable(thorough)
    return quick is not None


def test_the_representations_are_those_of_pydicom():
    assert {vr.decode() for vr in scan_module._LONG} == {str(vr) for vr in EXPLICIT_VR_LENGTH_32}
    every = {str(vr) for vr in VR if len(vr) == 2}
    assert {vr.decode() for vr in scan_module._LONG | scan_module._SHORT} == every


def test_ordinary_files_are_read_the_quick_way_and_alike(make_series, samples, bad):
    assert all(assert_same(path.read_bytes()) for path in make_series().iterdir())
    files = [path for folder in (samples, bad) for path in folder.rglob("*") if path.is_file()]
    dicom = [content for path in files if (content := path.read_bytes())[128:132] == b"DICM"]
    assert sum(map(assert_same, dicom)) > len(dicom) // 2


@pytest.mark.parametrize("undefined", [False, True])
def test_sequences_before_the_pixels_are_passed_over(make_series, undefined):
    from pydicom import dcmread
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    dataset = dcmread(next(make_series().iterdir()))
    inner, outer = Dataset(), Dataset()
    inner.CodeValue, inner.CodeMeaning = "1", "inner"
    outer.PurposeOfReferenceCodeSequence = Sequence([inner, inner])
    outer.PatientName = "outer"
    dataset.SourceImageSequence = Sequence([outer, outer])
    for place in (dataset, outer):
        for element in place:
            if element.VR == "SQ":
                element.is_undefined_length = undefined
                for item in element.value:
                    item.is_undefined_length_sequence_item = undefined
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    assert assert_same(stream.getvalue())


def test_no_damage_makes_the_two_ways_differ(make_series):
    chance = random.Random(4)
    whole = next(make_series().iterdir()).read_bytes()
    header = whole.index(b"\xe0\x7f\x10\x00") + 12
    quick = 0
    for _ in range(4000):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 4))):
            content[chance.randrange(_HEAD, header)] = chance.choice((0, 1, 8, 0xFF, chance.randrange(256)))
        if chance.random() < 0.2:
            del content[chance.randrange(_HEAD, len(content)) :]
        quick += assert_same(bytes(content))
    assert quick > 1000  # most of the damage is in values, which are not looked at here


@pytest.fixture
def usual_recursion():
    """Python's own limit, which libraries of other tests raise in the same process."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("usual_recursion")
@pytest.mark.parametrize("depth", [10, 200, 5000])
def test_sequences_of_any_depth_are_read_or_refused(make_series, read_world, depth):
    folder = make_series()
    content = (folder / "IM003.dcm").read_bytes()
    where = content.index(b"\x18\x00\x50\x00DS")  # SliceThickness
    begin = bytes.fromhex("09001010 5351 0000 FFFFFFFF FEFF00E0 FFFFFFFF")
    end = bytes.fromhex("FEFF0DE0 00000000 FEFFDDE0 00000000")
    (folder / "IM003.dcm").write_bytes(content[:where] + begin * depth + end * depth + content[where:])
    if depth == 10:
        read_world(folder)
    else:
        with pytest.raises(VolumeError, match=r"IM003\.dcm: the header cannot be parsed"):
            read_world(folder)


@pytest.mark.parametrize("name", ["24_big_endian", "25_deflated"])
def test_what_is_not_ordinary_is_left_to_pydicom(bad, name):
    file = next(path for path in sorted((bad / name).iterdir()) if path.is_file())
    quick, thorough = both_ways(file.read_bytes())
    assert quick is None
    assert thorough.pixels
