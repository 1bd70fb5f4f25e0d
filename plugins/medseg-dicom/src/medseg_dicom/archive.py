"""Zip archives, read into memory within limits; nothing is written anywhere.

A name that could leave a folder, a link, a name twice or a size that lies refuses the whole
archive: whoever made it meant harm or made a mistake, and either way it is not what it seems.
"""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from medseg.errors import VolumeError
from medseg_dicom.source import Source

MAX_MEMBERS = 10_000
MAX_BYTES = 4 << 30
MAX_RATIO = 100
"""Inflated over packed bytes; slices of CT reach 5, and nothing below ``FREE_BYTES`` is counted."""
FREE_BYTES = 64 << 20
_ENCRYPTED = 0x1
_SUPPORTED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_archive(path: Path) -> list[Source]:
    """The members of a zip archive, each wholly in memory.

    Args:
        path: the archive.

    Raises:
        VolumeError: it is no zip, is cut, or one of its members is not what an honest archive holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # Not is_dir: it fails on the empty name of a damaged directory.
            members = [member for member in archive.infolist() if not member.filename.endswith("/")]
            _check_directory(archive.infolist(), packed=path.stat().st_size)
            return [
                Source.of_member(member.filename, number, _inflate(archive, member, number))
                for number, member in enumerate(members, start=1)
            ]
    # zlib.error, EOFError and NotImplementedError: what zipfile lets through from damaged members.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise VolumeError(
            "not a readable zip: it is cut, damaged or another kind of file. Copy or download it again"
        ) from error


def _check_directory(members: list[zipfile.ZipInfo], *, packed: int) -> None:
    if len(members) > MAX_MEMBERS:
        raise VolumeError(
            f"the archive has {len(members):,} members; at most {MAX_MEMBERS:,} are read. "
            "Unpack it yourself and give the folder"
        )
    if any(member.header_offset < 0 for member in members):
        raise VolumeError(
            "the archive's directory names a member before its beginning: it is cut or damaged. Copy or "
            "download it again"
        )
    seen: set[str] = set()
    for number, member in enumerate(members, start=1):
        _check_member(member, number)
        if member.filename in seen:
            raise VolumeError(
                f"the archive has two members of one name (the second is member {number}), so one of them "
                "would be lost. Make it again"
            )
        seen.add(member.filename)
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise VolumeError(
            f"the archive declares {total / 2**30:.1f} GiB of content; at most {MAX_BYTES / 2**30:.0f} GiB "
            "are read. Unpack it yourself and give the folder"
        )
    if total > FREE_BYTES and total > MAX_RATIO * packed:
        raise VolumeError(
            f"the archive of {packed:,} bytes declares {total:,} bytes of content, more than {MAX_RATIO} "
            "times its size, which looks like a decompression bomb. If you trust it, unpack it yourself and "
            "give the folder"
        )


def _check_member(member: zipfile.ZipInfo, number: int) -> None:
    # zipfile replaces the separators that this system knows; orig_filename is what the archive says.
    name = member.orig_filename
    path = PurePosixPath(name)
    if not path.parts:
        raise VolumeError(
            f"member {number} of the archive has no name; the archive is damaged. Make it again"
        )
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0] or "\0" in name:
        raise VolumeError(
            f"member {number} of the archive has a name that leads out of it (an absolute path, a drive, a "
            "backslash or '..'); nothing of it is read. Make the archive again with plain names"
        )
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise VolumeError(
            f"member {number} of the archive is a link or a device, not a file; nothing of it is read. "
            "Make the archive again with the files themselves"
        )
    if member.flag_bits & _ENCRYPTED:
        raise VolumeError(f"member {number} of the archive is encrypted; unpack it and give the folder")
    if member.compress_type not in _SUPPORTED:
        raise VolumeError(
            f"member {number} of the archive is packed by method {member.compress_type}; deflated and stored "
            "members are read. Unpack it and give the folder"
        )


def _inflate(archive: zipfile.ZipFile, member: zipfile.ZipInfo, number: int) -> bytes:
    """One member's content; a byte more than it declares would show that it lies."""
    with archive.open(member) as stream:
        content = stream.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise VolumeError(
            f"member {number} of the archive declares {member.file_size:,} bytes and has another number; "
            "the archive is damaged. Copy or download it again"
        )
    return content
