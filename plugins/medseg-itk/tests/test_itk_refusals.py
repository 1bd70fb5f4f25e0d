"""Bad files: refused with a sentence, or read as the very same volume; never as another one."""

import re

import numpy as np
import pytest
import SimpleITK
from medseg_itk.reader import read_metaimage, read_nrrd

from medseg.errors import VolumeError
from medseg.formats import load

ARRAY = (np.arange(4 * 5 * 6, dtype=np.int16) % 50).reshape(6, 5, 4)
READERS = {".mha": read_metaimage, ".nrrd": read_nrrd}


@pytest.fixture
def make(tmp_path):
    """Write a good file, its header changed by a function, and return its path."""

    def write(suffix, change=None, *, compress=False):
        image = SimpleITK.GetImageFromArray(ARRAY)
        image.SetSpacing((1.5, 1.25, 3))
        path = tmp_path / f"x{suffix}"
        SimpleITK.WriteImage(image, path, useCompression=compress)
        if change:
            path.write_bytes(change(path.read_bytes()))
        return path

    return write


def without(name):
    return lambda content: re.sub(rb"(?m)^" + name.encode() + rb"( =|:) ?[^\n]*\n", b"", content, count=1)


def with_field(name, value):
    """A header in which a field holds another value."""

    def change(content):
        changed, count = re.subn(
            rb"(?m)^(" + name.encode() + rb"(?: =|:) ?)[^\n]*\n", rb"\g<1>" + value.encode() + b"\n", content
        )
        assert count == 1
        return changed

    return change


def with_line(line):
    return lambda content: content.replace(b"\n", b"\n" + line.encode() + b"\n", 1)


@pytest.mark.parametrize(
    ("suffix", "change", "says"),
    [
        (".mha", without("TransformMatrix"), "no orientation.*assume-orientation=LPS"),
        (".mha", without("Offset"), "no position.*assume-orientation=LPS"),
        (".mha", without("ElementSpacing"), "ElementSpacing is missing"),
        (".mha", without("BinaryDataByteOrderMSB"), "BinaryDataByteOrderMSB is missing"),
        (".mha", without("BinaryData"), "BinaryData is missing"),
        (".mha", without("DimSize"), "DimSize is missing"),
        (".mha", without("ElementDataFile"), "not of the form|no ElementDataFile"),
        (".mha", with_field("TransformMatrix", "1 0 0 0.1 1 0 0 0 1"), "not perpendicular"),
        (".mha", with_field("TransformMatrix", "1 0 0 0 1 0 0 0 nan"), "TransformMatrix must hold 9 numbers"),
        (".mha", with_field("Offset", "0 0 1e999"), "not finite"),
        (".mha", with_field("Offset", "0 0 1,5"), "Offset must hold 3 numbers"),
        (".mha", with_field("ElementSpacing", "1 0 1"), "greater than 0"),
        (".mha", with_field("ElementSpacing", "1 1 -3"), "greater than 0"),
        (".mha", with_field("ElementSpacing", "0.001 0.001 0.001"), "spacing=any"),
        (".mha", with_field("DimSize", "4 5 7"), "280 bytes; the file holds 240"),
        (".mha", with_field("DimSize", "4 5 5"), "200 bytes; the file holds 240"),
        (".mha", with_field("DimSize", "99999 99999 99999"), "the file holds 240"),
        (".mha", with_field("DimSize", "4 5 -6"), "whole numbers"),
        (".mha", with_field("DimSize", "4 5 0"), "at least 1"),
        (".mha", with_field("NDims", "4"), "NDims is 4; wanted 3"),
        (".mha", with_field("ElementType", "MET_SHORT_ARRAY"), "ElementType is none of"),
        (".mha", with_line("ElementNumberOfChannels = 3"), "ElementNumberOfChannels is not 1"),
        (".mha", with_line("HeaderSize = -1"), "HeaderSize is not 0"),
        (".mha", with_line("DimSize = 4 5 6"), "DimSize is stated twice"),
        (".mha", with_line("Position = 0 0 0"), "Offset is stated twice"),
        (".mha", with_line("Comment = " + "x" * 20000), "does not end within"),
        (".mha", with_line("no field"), "not MetaImage"),
        (".mha", with_field("ElementDataFile", "LIST"), "LIST of files"),
        (".mha", with_field("ElementDataFile", "../secret.raw"), "plain name"),
        (".mha", with_field("ElementDataFile", "/etc/hostname"), "plain name"),
        (".mha", with_field("ElementDataFile", "slice%03d.raw 1 6 1"), "plain name"),
        (".mha", with_field("ElementDataFile", "absent.raw"), "no such file is beside it"),
        (".mha", lambda content: b"", "empty, cut, or not MetaImage"),
        (".mha", lambda content: content[:-1], "the file holds 239"),
        (".mha", lambda content: content + b"\0", "the file holds 241"),
        (".nrrd", without("space"), "no orientation.*assume-orientation=LPS"),
        (".nrrd", with_field("space", "scanner-xyz"), "no orientation"),
        (".nrrd", without("space origin"), "no position"),
        (".nrrd", without("space directions"), "'spacings' is missing"),
        (".nrrd", without("endian"), "endian is missing"),
        (".nrrd", without("encoding"), "'encoding' is missing"),
        (".nrrd", with_field("encoding", "bzip2"), "neither raw nor gzip"),
        (".nrrd", with_field("encoding", "ascii"), "neither raw nor gzip"),
        (".nrrd", with_field("space directions", "(1,0,0) (0,1,0) none"), "three vectors"),
        (".nrrd", with_field("space directions", "(1,0,0) (0.1,1,0) (0,0,1)"), "not perpendicular"),
        (".nrrd", with_field("kinds", "domain domain vector"), "axis that is not of space"),
        (".nrrd", with_field("dimension", "4"), "dimension is 4; wanted 3"),
        (".nrrd", with_field("sizes", "4 5 7"), "the file holds 240"),
        (".nrrd", with_field("type", "block"), "type is not one of"),
        (".nrrd", with_field("endian", "middle"), "neither little nor big"),
        (".nrrd", with_line("space units: \"um\" \"um\" \"um\""), "not mm"),
        (".nrrd", with_line("byte skip: 8"), "byte skip is not 0"),
        (".nrrd", with_line("data file: LIST"), "no such file"),
        (".nrrd", with_line("data file: ../x.raw"), "plain name"),
        (".nrrd", with_line("spacings: 1 1 1"), "both stated"),
        (".nrrd", with_line("sizes: 4 5 6"), "stated twice"),
        (".nrrd", with_line("sizez: 4 5 6"), "no field of NRRD"),
        (".nrrd", lambda content: content.replace(b"NRRD0004", b"NRRD0009"), "first line"),
        (".nrrd", lambda content: content.split(b"\n\n")[0], "no end"),
    ],
)  # fmt: skip
def test_a_header_that_leaves_something_open_is_refused(make, suffix, change, says):
    path = make(suffix, change)
    with pytest.raises(VolumeError, match=says) as caught:
        READERS[suffix](path)
    assert str(caught.value).startswith("x.")


def anonymous_space(content):
    return without("space")(content).replace(b"dimension: 3", b"dimension: 3\nspace dimension: 3")


@pytest.mark.parametrize(
    ("suffix", "change"), [(".mha", without("TransformMatrix")), (".nrrd", anonymous_space)]
)
def test_an_orientation_that_is_not_stated_can_be_given(make, suffix, change):
    volume = READERS[suffix](make(suffix, change), assume_orientation="ras")
    assert (volume.orientation, volume.spacing_mm) == ("RAS", (1.5, 1.25, 3))
    np.testing.assert_allclose(volume.affine @ [1.5, 2, 2.5, 1], [0, 0, 0, 1], atol=1e-12)
    assert "RAS, centred on 0, was assumed" in volume.notes[0]
    np.testing.assert_array_equal(volume.array, ARRAY.T)


@pytest.mark.parametrize("suffix", READERS)
def test_4d_and_colour_as_simpleitk_writes_them_are_refused(tmp_path, suffix):
    images = {
        "4d": SimpleITK.JoinSeries([SimpleITK.GetImageFromArray(ARRAY)] * 2),
        "colour": SimpleITK.GetImageFromArray(np.zeros((6, 5, 4, 3), np.uint8), isVector=True),
    }
    for name, image in images.items():
        SimpleITK.WriteImage(image, tmp_path / f"{name}{suffix}")
        with pytest.raises(VolumeError, match=r"wanted 3|wanted one channel"):
            load(tmp_path / f"{name}{suffix}")


@pytest.mark.parametrize("suffix", READERS)
def test_a_small_file_that_inflates_to_gigabytes_is_refused_before_it_does(make, suffix):
    field = "DimSize" if suffix == ".mha" else "sizes"
    path = make(suffix, with_field(field, "2000 2000 500"), compress=True)
    with pytest.raises(VolumeError, match="compressed bytes cannot hold that"):
        READERS[suffix](path)
    path.write_bytes(path.read_bytes() + bytes(5_000_000))
    if suffix == ".mha":
        path.write_bytes(without("CompressedDataSize")(path.read_bytes()))
    with pytest.raises(VolumeError, match=r"decompression bomb.*inflate=yes"):
        READERS[suffix](path)


def test_a_data_file_may_be_no_link_to_elsewhere(tmp_path):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(ARRAY), tmp_path / "x.mhd")
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "x.raw").rename(tmp_path / "elsewhere" / "x.raw")
    (tmp_path / "x.raw").symlink_to(moved)
    with pytest.raises(VolumeError, match="no such file is beside it"):
        read_metaimage(tmp_path / "x.mhd")


@pytest.mark.parametrize("suffix", READERS)
def test_compressed_data_cut_or_flipped_anywhere_is_refused_or_the_same(make, suffix):
    path = make(suffix, compress=True)
    good = path.read_bytes()
    start = good.index(b"LOCAL\n") + 6 if suffix == ".mha" else good.index(b"\n\n") + 2
    damaged = [good[:length] for length in range(len(good))]
    damaged += [
        good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
        for at in range(start, len(good))
        for bit in range(8)
    ]
    assert refused_or_same(path, damaged) > len(good)


@pytest.mark.parametrize("suffix", READERS)
def test_a_letter_of_the_header_changed_anywhere_is_refused_or_changes_nothing(make, suffix):
    path = make(suffix)
    good = path.read_bytes()
    end = good.index(b"LOCAL\n") if suffix == ".mha" else good.index(b"\n\n")
    letters = [at for at in range(end) if not chr(good[at]).isdigit()]
    # Within a number each digit counts, and a point that becomes a digit or a sign is another number.
    numbers = {
        at for match in re.finditer(rb"[-+.\de, ()]*\d[-+.\de, ()]*", good) for at in range(*match.span())
    }
    damaged = [
        good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
        for at in letters
        if at not in numbers
        for bit in range(8)
    ]
    assert refused_or_same(path, damaged) > 100


def refused_or_same(path, contents):
    """Read each content; how many were refused. The rest must be the good volume."""
    expected = READERS[path.suffix](path)
    refused = 0
    for content in contents:
        path.write_bytes(content)
        try:
            volume = READERS[path.suffix](path)
        except VolumeError:
            refused += 1
            continue
        np.testing.assert_array_equal(volume.array, expected.array)
        np.testing.assert_array_equal(volume.affine, expected.affine)
    return refused
