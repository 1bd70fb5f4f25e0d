"""Zip archives are read in memory and within limits; nothing of a hostile one is used or written."""

import io
import stat
import zipfile

import pytest
from medseg_dicom.reader import read

from medseg.errors import VolumeError


@pytest.fixture
def zipped(tmp_path):
    """Pack members by name into an archive."""

    def make(members, name="study.zip", method=zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / name, "w", method) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return tmp_path / name

    return make


def members_of(folder):
    return {f"study/CT/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_zipped_series_is_right_in_the_world_and_leaves_nothing_behind(
    make_series, zipped, read_world, tmp_path
):
    archive = zipped(members_of(make_series()))
    before = sorted(tmp_path.rglob("*"))
    assert read_world(archive).shape == (20, 16, 8)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["../evil.dcm", "a/../../evil.dcm", "/etc/evil.dcm", "C:/evil.dcm", "a\\evil.dcm"]
)
def test_a_name_that_leads_out_refuses_the_whole_archive(make_series, zipped, name):
    archive = zipped(members_of(make_series()) | {name: b"x"})
    with pytest.raises(VolumeError, match=r"^study\.zip: member 9 of the archive has a name that leads out"):
        read(archive)


def test_a_link_is_refused(zipped):
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(VolumeError, match="member 1 of the archive is a link"):
        read(zipped({link: "/etc/passwd"}))


def test_two_members_of_one_name_are_refused(zipped):
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(zipped({"a.dcm": b"1"}), "a") as archive,
    ):
        archive.writestr("a.dcm", b"2")
    with pytest.raises(VolumeError, match="two members of one name"):
        read(archive.filename)


def test_a_bomb_is_refused_from_its_directory(zipped, monkeypatch):
    archive = zipped({"bomb.dcm": bytes(200 << 20)})
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # nothing may be inflated
    with pytest.raises(VolumeError, match=r"declares 209,715,200 bytes of content.*decompression bomb"):
        read(archive)


def test_a_size_that_lies_is_found_while_inflating(zipped):
    archive = zipped({"a.dcm": bytes(100_000)})
    content = archive.read_bytes().replace((100_000).to_bytes(4, "little"), (50_000).to_bytes(4, "little"))
    archive.write_bytes(content)
    with pytest.raises(VolumeError, match=r"not a readable zip|declares 50,000 bytes"):
        read(archive)


def test_too_many_members_are_refused(zipped):
    with pytest.raises(VolumeError, match=r"has 10,001 members; at most 10,000"):
        read(zipped({f"{number}": b"" for number in range(10_001)}))


def test_an_archive_within_an_archive_is_not_opened(make_series, zipped):
    inner = zipped(members_of(make_series()), "inner.zip").read_bytes()
    with pytest.raises(VolumeError, match=r"inner\.zip \(a zip within, which is not opened\)"):
        read(zipped({"inner.zip": inner}))


def test_an_encrypted_member_is_refused(zipped):
    archive = zipped({"a.dcm": b"secret"})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(VolumeError, match="member 1 of the archive is encrypted"):
        read(archive)


def test_a_method_that_is_not_read_is_named(zipped):
    with pytest.raises(VolumeError, match="packed by method 14"):
        read(zipped({"a.dcm": b"x" * 100}, method=zipfile.ZIP_LZMA))


@pytest.mark.parametrize("kept", [30, 400, -30])
def test_a_cut_archive_is_refused(make_series, zipped, kept):
    archive = zipped(members_of(make_series()))
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(VolumeError, match="not a readable zip"):
        read(archive)


def test_a_damaged_member_is_refused(make_series, zipped):
    archive = zipped(members_of(make_series()))
    content = bytearray(archive.read_bytes())
    content[300:340] = bytes(40)
    archive.write_bytes(content)
    with pytest.raises(VolumeError, match="not a readable zip"):
        read(archive)


@pytest.mark.parametrize(
    "name", ["CON\u202ecod.dcm", "x" * 250 + ".dcm", "DOE^JANE.dcm", "a\nb.dcm", "\x1b[31m.dcm"]
)
def test_names_that_would_disturb_are_not_repeated(make_series, zipped, name):
    members = members_of(make_series())
    first = members.pop("study/CT/IM000.dcm")
    with pytest.raises(VolumeError) as caught:
        read(zipped({name: first[:300], **members}))
    assert str(caught.value).startswith("study.zip: file member 1: ")


def test_a_deflated_data_set_that_explodes_is_refused(make_series):
    import zlib

    from pydicom.uid import DeflatedExplicitVRLittleEndian

    path = make_series(syntax=DeflatedExplicitVRLittleEndian) / "IM000.dcm"
    content = path.read_bytes()
    start = 132 + 12 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = io.BytesIO()
    for _ in range(70):
        bomb.write(packer.compress(bytes(1 << 20)))
    path.write_bytes(content[:start] + bomb.getvalue() + packer.flush())
    with pytest.raises(VolumeError, match=r"IM000\.dcm: its .* bytes inflate to more than 67,108,864"):
        read(path.parent)


def test_a_damaged_directory_is_refused(zipped):
    """Found by fuzz/gates.py: a member without a name, and one before the beginning."""
    path = zipped({"a.dcm": b"x" * 100})
    content = path.read_bytes()
    entry = content.index(b"PK\1\2")
    path.write_bytes(content[: entry + 46] + b"\0" + content[entry + 47 :])
    with pytest.raises(VolumeError, match=r"has no name|a name that leads out"):
        read(path)
    directory = content.index(b"PK\5\6") + 16
    path.write_bytes(content[:directory] + b"\xff\xff" + content[directory + 2 :])
    with pytest.raises(VolumeError, match=r"before its beginning|not a readable zip"):
        read(path)
