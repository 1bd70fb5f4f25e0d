"""Files, and folders of files, that appear whole or not at all.

The content goes to a hidden file in the same folder, is forced to the disk, read back, and only
then given its name. A kill at any moment leaves either the old file or the new one under the
name, and at worst a ``.part-*`` file or folder, which ``sweep_stale_parts`` removes later.
"""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from medseg.errors import ResourceError

_PREFIX = ".part-"
_REMEDIES = {
    errno.ENOSPC: "free some space there or choose another disk",
    errno.EDQUOT: "your quota there is used up: free some space or choose another disk",
    errno.EFBIG: "the system limits the size of files: raise the limit (ulimit -f) or choose another disk",
    errno.EROFS: "the disk is read-only: choose another folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.ENOENT: "the folder does not exist: make it first",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another folder",
    errno.EISDIR: "a folder has this name: choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_whole(
    path: str | Path, write: Callable[[Path], None], *, verify: Callable[[Path], None] | None = None
) -> None:
    """Write a file so that it appears under its name complete, or not at all.

    Args:
        path: the name it shall have; an existing file is replaced in one step.
        write: called with the path of an empty file of the same suffixes, which it fills.
        verify: called with that path afterwards; it raises if what it reads is not what was meant.

    Raises:
        ResourceError: the system refused (no space, read-only, no such folder).

    Whatever else ``write`` or ``verify`` raises goes through. In every case of failure, Ctrl-C
    included, nothing is left behind and an older file under the name stays as it was.

    Example:
        >>> import tempfile
        >>> from medseg.atomic import write_whole
        >>> def write(part: Path) -> None:
        ...     _ = part.write_text("48.4 ml")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_whole(Path(folder, "tumour.txt"), write)
        ...     [file.name for file in Path(folder).iterdir()]
        ['tumour.txt']
    """
    path = Path(path)
    part = _part_of(path, "".join(path.suffixes))
    try:
        # 0o666 less the umask, as for any new file; tempfile's 0o600 would hide results from colleagues.
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        write(part)
        _force_to_disk(part)
        if verify is not None:
            verify(part)
        part.replace(path)
        _force_names_to_disk(path.parent, path)
    except OSError as error:
        _remove(part)
        raise explain(path, error) from error
    except BaseException:
        _remove(part)
        raise


def write_bytes_whole(path: str | Path, content: bytes) -> None:
    """Write bytes so that the file appears complete, or not at all, and read them back.

    Raises:
        ResourceError: the disk refused them, or gave other bytes back.
    """

    def write(part: Path) -> None:
        part.write_bytes(content)

    def verify(part: Path) -> None:
        if part.read_bytes() != content:
            raise ResourceError(f"{path}: the disk gave back other bytes than were written; check the disk")

    write_whole(path, write, verify=verify)


def write_together(files: Sequence[tuple[Path, Callable[[Path], None]]]) -> None:
    """Write several files that belong together: their names appear when all are on the disk.

    They appear in the given order, so the one whose presence means "done" goes last.

    Args:
        files: pairs of a path and what fills the file, as in ``write_whole``.

    Raises:
        ResourceError: the system refused. Nothing is left behind, and older files stay as they were.
    """
    if not files:
        return
    for path, _ in files:
        # A folder refuses a file only when that is to get its name: earlier files would have theirs by then.
        if path.is_dir() and not path.is_symlink():
            raise explain(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    (path, write), *earlier = reversed(files)
    # The files before this one are its verification: if one of them fails, this one never appears.
    write_whole(path, write, verify=lambda _: write_together(earlier[::-1]))


def publish(folder: Path, files: Sequence[Path]) -> None:
    """Move files that lie complete in a folder of the same disk to their places, the last one last.

    While they are moved there is no file under the last name: if that one is there, all are.

    Args:
        folder: where they lie, under the names that they shall have.
        files: their places, all in one folder.

    Raises:
        ResourceError: the system refused.
    """
    last = files[-1]
    try:
        for path in files:
            _force_to_disk(folder / path.name)
        last.unlink(missing_ok=True)
        for path in files:
            (folder / path.name).replace(path)
        _force_names_to_disk(last.parent, last)
    except OSError as error:
        raise explain(last, error) from error


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A new folder that appears under its name when the block ends well, or not at all.

    Args:
        path: the name it shall have; there is nothing of this name yet.

    Yields:
        The folder under a hidden name, to be filled with files that are each forced to the disk.

    Raises:
        ResourceError: the system refused. Whatever else the block raises goes through. In every case of
            failure, Ctrl-C included, nothing is left behind.
    """
    path = Path(path)
    part = _part_of(path)
    try:
        part.mkdir()
        yield part
        for folder in (part, *(inside for inside in part.rglob("*") if inside.is_dir())):
            _force_names_to_disk(folder, path)
        part.rename(path)
        _force_names_to_disk(path.parent, path)
    except OSError as error:
        raise explain(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)  # gone already where all went well


def sweep_stale_parts(folder: str | Path, *, older_than_hours: float = 24.0) -> list[Path]:
    """Remove what killed writers left in a folder, and say which files and folders those were.

    A writer that is still alive keeps changing its file, or adds files to its folder, so only those that
    have not changed for some hours are taken.

    Args:
        folder: looked at without its subfolders.
        older_than_hours: hours since the last change.
    """
    limit = time.time() - older_than_hours * 3600
    swept = []
    for part in sorted(Path(folder).glob(_PREFIX + "*")):
        try:
            if part.is_symlink() or _last_change(part) >= limit:
                continue
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()
            swept.append(part)
        except FileNotFoundError:
            continue  # another process swept it first
    return swept


def _part_of(path: Path, suffixes: str = "") -> Path:
    return path.with_name(_PREFIX + secrets.token_hex(6) + suffixes)


def _last_change(part: Path) -> float:
    """Of a file, or of anything in a folder."""
    inside = list(part.rglob("*")) if part.is_dir() else []
    return max(float(found.lstat().st_mtime) for found in (part, *inside))


def _remove(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except NotADirectoryError:
        return  # the folder was never one, so the file was never made


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _force_names_to_disk(folder: Path, path: Path) -> None:
    if os.name == "nt":
        return  # Windows offers no handle to a folder; its rename is journalled
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems have no such call for folders; the file itself is safe by then.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise ResourceError(
                f"{path} was written, but the disk did not confirm its name: {error.strerror}; check it"
            ) from error
    finally:
        os.close(descriptor)


def explain(path: Path, error: OSError) -> ResourceError:
    """The system's refusal to write a file, as a sentence with a remedy."""
    reason = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno or 0, "choose another folder or disk")
    return ResourceError(f"cannot write {path}: {reason}; {remedy}. Nothing was left behind")
