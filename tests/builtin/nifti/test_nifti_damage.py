"""Damage is refused or harmless: what is returned is what was written, whatever happened between."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medseg.builtin.nifti import read, write
from medseg.errors import VolumeError
from medseg.volume import Volume

NOISE = np.random.default_rng(1).integers(-1000, 1000, (9, 8, 7)).astype(np.int16)
VOLUME = Volume(NOISE, np.diag([2.0, 2.0, 3.0, 1.0]))

many = settings(max_examples=300, deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damage")


@pytest.fixture(scope="module")
def whole(folder):
    """The bytes of the sound files, by name."""
    names = ("a.nii", "a.nii.gz")
    for name in names:
        write(VOLUME, folder / name)
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def refused(folder):
    """Whether content is refused under a name; if not, it must be the volume that was written."""

    def try_reading(name, content):
        path = folder / f"damaged_{name}"
        path.write_bytes(content)
        try:
            volume = read(path)
        except VolumeError:
            return True
        assert np.array_equal(volume.array, NOISE)
        assert np.array_equal(volume.affine, VOLUME.affine)
        return False

    return try_reading


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_file_cut_anywhere_is_refused(refused, whole, name):
    content = whole[name]
    cuts = [*range(0, len(content), 5), *range(len(content) - 40, len(content))]
    assert all(refused(name, content[:cut]) for cut in cuts)


def test_a_flipped_bit_anywhere_in_the_compressed_part_is_refused(refused, whole):
    for at in range(10, len(whole["a.nii.gz"]), 7):  # the gzip header's time and system change nothing
        content = bytearray(whole["a.nii.gz"])
        content[at] ^= 1 << at % 8
        assert refused("a.nii.gz", content)


@many
@given(data=st.data())
def test_a_flipped_bit_in_a_gzip_file_is_refused_or_changes_nothing(refused, whole, data):
    content = bytearray(whole["a.nii.gz"])
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    refused("a.nii.gz", content)


@many
@given(start=st.floats(0, 1), rubbish=st.binary(min_size=1, max_size=40))
def test_overwritten_bytes_in_a_gzip_file_are_refused_or_change_nothing(refused, whole, start, rubbish):
    content = bytearray(whole["a.nii.gz"])
    at = int(start * (len(content) - len(rubbish)))
    content[at : at + len(rubbish)] = rubbish
    refused("a.nii.gz", content)


@pytest.mark.parametrize("tail", [bytes(512), bytes(70_000), gzip.compress(b"", mtime=0)])
def test_padding_and_empty_members_after_the_gzip_stream_pass(refused, whole, tail):
    assert not refused("a.nii.gz", whole["a.nii.gz"] + tail)


@pytest.mark.parametrize(
    "tail", [b"garbage", b"\x1f", bytes(70_000) + b"x", gzip.compress(b"", mtime=0)[:-1]]
)
def test_anything_else_after_the_gzip_stream_is_refused(refused, whole, tail):
    assert refused("a.nii.gz", whole["a.nii.gz"] + tail)


def test_a_stream_in_several_members_is_one_file(refused, whole):
    plain = whole["a.nii"]
    members = [gzip.compress(plain[at : at + 100]) for at in range(0, len(plain), 100)]
    assert not refused("a.nii.gz", b"".join(members))


@many
@given(
    field=st.sampled_from(["dim", "pixdim", "srow_x", "srow_y", "srow_z"]),
    index=st.integers(0, 3),
    value=st.one_of(st.integers(-32768, 32767), st.floats(width=32)),
)
def test_any_value_in_a_header_gives_a_plausible_volume_or_a_refusal(folder, whole, field, index, value):
    assume(field != "dim" or isinstance(value, int))
    header = nib.Nifti1Header(whole["a.nii"][:348], check=False)
    header[field][index] = value
    path = folder / "header.nii"
    path.write_bytes(header.binaryblock + whole["a.nii"][348:])
    try:
        volume = read(path)
    except VolumeError as error:
        assert str(error).startswith("header.nii: ")  # noqa: PT017  # most values are refused, not all
    else:
        assert volume.array.nbytes <= NOISE.nbytes
        assert 0.05 <= min(volume.spacing_mm) <= max(volume.spacing_mm) <= 20
