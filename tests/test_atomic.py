import errno
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from medseg.atomic import sweep_stale_parts, whole_folder, write_together, write_whole
from medseg.errors import ResourceError, VolumeError


def writes(text):
    def write(part):
        part.write_text(text)

    return write


def test_the_file_appears_with_its_content_and_nothing_beside_it(tmp_path):
    write_whole(tmp_path / "a.csv", writes("new"))
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.csv", "new")]


def test_the_writer_sees_a_hidden_name_in_the_same_folder_with_the_suffixes(tmp_path):
    seen = []
    write_whole(tmp_path / "a.nii.gz", seen.append)
    assert seen[0].parent == tmp_path
    assert seen[0].name.startswith(".part-")
    assert seen[0].name.endswith(".nii.gz")


def test_the_mode_is_that_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", writes("x"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "error", [VolumeError("bad"), KeyboardInterrupt(), SystemExit(3), OSError(28, "full")]
)
@pytest.mark.parametrize("where", ["write", "verify"])
def test_after_any_failure_the_old_file_stays_and_nothing_is_left(tmp_path, error, where):
    (tmp_path / "a").write_text("old")

    def fail(part):
        part.write_text("half")
        raise error

    wanted = ResourceError if isinstance(error, OSError) else type(error)
    steps = {"write": fail} if where == "write" else {"write": writes("new"), "verify": fail}
    with pytest.raises(wanted):
        write_whole(tmp_path / "a", **steps)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_verify_reads_what_was_written_before_the_name_exists(tmp_path):
    seen = []
    write_whole(
        tmp_path / "a",
        writes("new"),
        verify=lambda part: seen.append((part.read_text(), (tmp_path / "a").exists())),
    )
    assert seen == [("new", False)]


def test_a_missing_folder_is_named_with_the_remedy(tmp_path):
    with pytest.raises(ResourceError, match=r"cannot write .*nowhere/a: No such file.*make it first"):
        write_whole(tmp_path / "nowhere" / "a", writes("x"))


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="Not a directory; a part of the path is a file"):
        write_whole(tmp_path / "file" / "a", writes("x"))


def test_a_folder_of_that_name_is_refused_and_kept(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ResourceError, match="choose another name"):
        write_whole(tmp_path / "a", writes("x"))
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("place", range(3))
def test_of_files_that_belong_together_none_appears_where_a_folder_has_the_name_of_one(tmp_path, place):
    files = [tmp_path / name for name in "abc"]
    for path in files:
        path.write_text("old")
    files[place].unlink()
    files[place].mkdir()
    with pytest.raises(ResourceError, match=rf"{files[place]}: .*choose another name\. Nothing was left"):
        write_together([(path, writes("new")) for path in files])
    assert [path.read_text() for path in files if path.is_file()] == ["old", "old"]
    assert sorted(tmp_path.iterdir()) == files


def run(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE)


SHORT_WRITE = """
import resource, signal, sys
from pathlib import Path
from medseg.atomic import whole_folder, write_whole
from medseg.errors import ResourceError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_whole(sys.argv[1], lambda part: part.write_bytes(bytes(5000)))
except ResourceError as error:
    print(error)
"""


def test_a_write_that_the_system_cuts_short_leaves_nothing(tmp_path):
    child = run(SHORT_WRITE, tmp_path / "a")
    message = child.communicate(timeout=60)[0].decode()
    assert "File too large" in message
    assert "ulimit" in message
    assert not list(tmp_path.iterdir())


SLOW_WRITE = """
import sys, time
from medseg.atomic import whole_folder, write_whole
def write(part):
    with part.open("wb") as file:
        while True:
            file.write(bytes(1000)); file.flush(); print("wrote", flush=True); time.sleep(0.01)
write_whole(sys.argv[1], write)
"""


def test_a_writer_killed_in_the_middle_leaves_the_old_file_whole_and_a_part_to_sweep(tmp_path):
    (tmp_path / "a").write_text("old")
    child = run(SLOW_WRITE, tmp_path / "a")
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    assert (tmp_path / "a").read_text() == "old"
    parts = [p for p in tmp_path.iterdir() if p.name != "a"]
    assert len(parts) == 1
    assert sweep_stale_parts(tmp_path) == []  # it could still be at work
    long_ago = time.time() - 25 * 3600
    os.utime(parts[0], (long_ago, long_ago))
    assert sweep_stale_parts(tmp_path) == parts
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_appears_when_all_is_in_it_or_not_at_all(tmp_path):
    with whole_folder(tmp_path / "copy") as part:
        (part / "S001").mkdir()
        (part / "S001" / "a").write_text("x")
        assert not (tmp_path / "copy").exists()
    assert (tmp_path / "copy" / "S001" / "a").read_text() == "x"

    def interrupt(part):
        (part / "a").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "other") as part:
        interrupt(part)
    missing = pytest.raises(ResourceError, match="No such file or directory; the folder does not exist")
    with missing, whole_folder(tmp_path / "nowhere" / "copy"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


SLOW_FOLDER = """
import sys, time
from medseg.atomic import whole_folder, whole_folder
with whole_folder(sys.argv[1]) as part:
    (part / "S001").mkdir()
    (part / "S001" / "a").write_text("x"); print("wrote", flush=True); time.sleep(60)
"""


def test_a_folder_whose_writer_was_killed_is_swept_when_nothing_in_it_has_changed_for_long(tmp_path):
    child = run(SLOW_FOLDER, tmp_path / "copy")
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    (part,) = tmp_path.iterdir()
    for old in (part / "S001", part):
        os.utime(old, (0, 0))
    assert sweep_stale_parts(tmp_path) == []  # the file in it is new: it could still be at work
    os.utime(part / "S001" / "a", (0, 0))
    assert sweep_stale_parts(tmp_path) == [part]
    assert list(tmp_path.iterdir()) == []


def test_only_parts_are_swept_however_old(tmp_path):
    for name in ("a", ".hidden", ".part-1.nii"):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (0, 0))
    assert [p.name for p in sweep_stale_parts(tmp_path, older_than_hours=1)] == [".part-1.nii"]


def test_a_disk_that_does_not_confirm_the_name_is_reported(tmp_path, monkeypatch):
    fsync = os.fsync

    def fail_for_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    with pytest.raises(ResourceError, match=r"was written, but the disk did not confirm its name"):
        write_whole(tmp_path / "a", writes("x"))
    assert (tmp_path / "a").read_text() == "x"
