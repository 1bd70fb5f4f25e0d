"""A reader in a child process: its volume, its refusals, and every way to die."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from medseg import errors, isolation
from medseg.isolation import POSSIBLE, Limits, read_isolated
from medseg.volume import Volume

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="child readers need POSIX descriptors and limits")

needs_forks = pytest.mark.skipif(not isolation.FORKS, reason="only on Linux a process is kept, and forks")

READERS = """
import os, signal, sys, time
import numpy as np
from medseg.errors import OptionError, VolumeError
from medseg.memory import empty_voxels
from medseg.plugin import Content
from medseg.volume import Volume


def read(path, *, kind, scale=1.0):
    print("DOE^JANE on standard output")
    sys.stderr.write("DOE^JANE on standard error")
    array = np.arange(24, dtype=">i2").reshape(2, 3, 4) * int(scale)
    return Volume(array, np.diag([1.0, 2.0, 3.0, 1.0]), kind, ("a note",), "CT", "HU")


def read_slices(path, *, kind):
    return Volume(np.arange(24, dtype=np.int16).reshape(4, 3, 2).T, np.eye(4), kind)


def refuse(path, *, kind):
    raise VolumeError(f"{path.name}: PixelSpacing is missing")


class Mine(VolumeError):
    pass


def raise_own(path, *, kind):
    raise Mine("mine alone")


def misuse(path, *, kind):
    raise OptionError("no such permission")


def crash(path, *, kind):
    os.kill(os.getpid(), signal.SIGSEGV)


def raise_other(path, *, kind):
    raise RuntimeError("DOE^JANE in a message")


def leave(path, *, kind):
    os._exit(7)


def sleep(path, *, kind):
    path.with_name("sleeper").write_text(str(os.getpid()))
    time.sleep(60)


def eat(path, *, kind):
    np.ones(2**33, np.uint8)


def tell(path, *, kind):
    return Volume(np.full((1, 1, 1), os.getpid()), np.eye(4), kind)


def remember(path, *, kind, text):
    global remembered
    remembered = text * 1000
    return read(path, kind=kind)


def fill(path, *, kind):
    array = empty_voxels((4, 3, 2), np.float32)
    array[:] = np.arange(24).reshape(4, 3, 2)
    return Volume(array.T, np.eye(4), kind)


def fill_a_part(path, *, kind):
    array = empty_voxels((4,), np.float32)
    array[:] = np.arange(4)
    return Volume(array[2:].reshape(1, 2, 1), np.eye(4), kind)


def contents(path):
    yield Content(number=1, summary="CT")
    yield Content(number=2, summary="MR")


def refuse_list(path):
    raise VolumeError(f"{path.name}: no list")


def huge(path, *, kind):
    return Volume(np.zeros((512, 512, 64), np.int16), np.eye(4), kind)
"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "planted_readers.py").write_text(READERS)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def call(name: str, *, limits: Limits | None = None, **options: object) -> Volume:
        return read_isolated(
            f"planted_readers:{name}", tmp_path / "scan.dcm", kind="image", options=options, limits=limits
        )

    return call


def test_the_volume_comes_back_as_it_was_read(reader):
    volume = reader("read", scale=2.0)

    assert volume.array.dtype.kind == "i"
    assert volume.array.dtype.itemsize == 2
    assert np.array_equal(volume.array, 2 * np.arange(24).reshape(2, 3, 4))
    assert np.array_equal(volume.affine, np.diag([1.0, 2.0, 3.0, 1.0]))
    assert (volume.kind, volume.notes) == ("image", ("a note",))
    assert (volume.modality, volume.unit) == ("CT", "HU")


def test_an_array_in_fortran_order_comes_back_in_it(reader):
    volume = reader("read_slices")

    assert np.array_equal(volume.array, np.arange(24).reshape(4, 3, 2).T)
    assert volume.array.flags.f_contiguous


def test_a_large_volume_comes_back_whole(reader):
    assert reader("huge").array.nbytes == 512 * 512 * 64 * 2


def test_what_the_reader_prints_goes_nowhere(reader, capfd):
    reader("read")

    assert capfd.readouterr() == ("", "")


def test_a_refusal_keeps_its_class_and_its_sentence(reader):
    with pytest.raises(errors.VolumeError, match=r"^scan\.dcm: PixelSpacing is missing$"):
        reader("refuse")
    with pytest.raises(errors.OptionError, match="no such permission"):
        reader("misuse")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("crash", r"scan\.dcm: its decoder crashed \(SIGSEGV\)"),
        ("leave", r"scan\.dcm: its reader failed \(exit status 7\)"),
        ("raise_other", r"scan\.dcm: its reader failed \(exit status 1\)"),
    ],
)
def test_a_reader_that_dies_is_a_refusal_that_quotes_nothing_of_the_file(reader, name, says):
    with pytest.raises(errors.VolumeError, match=says) as caught:
        reader(name)

    assert "DOE" not in str(caught.value)


def test_a_reader_that_takes_too_long_is_stopped(reader):
    with pytest.raises(errors.VolumeError, match=r"took more than 1 s"):
        reader("sleep", limits=Limits(seconds=1.0))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to a limit on address space")
def test_a_reader_that_wants_too_much_memory_is_refused(reader):
    with pytest.raises(errors.VolumeError, match=r"more than 2 GiB of memory"):
        reader("eat", limits=Limits(memory_bytes=2 * 2**30))


@pytest.fixture
def started(monkeypatch):
    """The processes that are started."""
    isolation._stop_all()
    children = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            children.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return children


def has_ended(pid):
    """Whether a process is gone or, at the least, reads nothing any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@needs_forks
def test_the_process_that_waits_is_kept_and_each_file_has_one_of_its_own(reader, started):
    pids = {int(reader("tell").array[0, 0, 0]) for _ in range(3)}

    assert len(started) == 1
    assert len(pids) == 3
    assert started[0].pid not in pids
    assert all(eventually(lambda pid=pid: has_ended(pid)) for pid in pids)


@needs_forks
def test_nothing_of_a_file_stays_in_the_process_that_is_kept(reader, started, tmp_path):
    reader("read")
    reader("remember", text="DOE^JANE of one file")

    memory = Path(f"/proc/{started[0].pid}/mem")
    for line in Path(f"/proc/{started[0].pid}/maps").read_text().splitlines():
        start, end = (int(bound, 16) for bound in line.split()[0].split("-"))
        if line.split()[1].startswith("rw"):
            with memory.open("rb") as file:
                file.seek(start)
                held = file.read(end - start)
            assert b"of one file" not in held
            assert b"scan.dcm" not in held  # not even its name


@needs_forks
def test_the_process_that_is_kept_has_one_thread(reader, started):
    reader("read")

    status = Path(f"/proc/{started[0].pid}/status").read_text()
    assert "Threads:\t1\n" in status


@needs_forks
@pytest.mark.parametrize("fault", ["crash", "leave", "raise_other"])
def test_after_a_death_nothing_is_kept_and_the_next_file_is_read(reader, started, fault):
    reader("read")
    with pytest.raises(errors.VolumeError):
        reader(fault)
    reader("read")

    assert [child.returncode for child in started] == [-signal.SIGKILL, None]


@needs_forks
def test_a_death_after_the_answer_is_met_by_the_next_call(reader, started):
    reader("read")
    started[0].kill()
    started[0].wait()
    assert reader("read").array.size == 24
    assert len(started) == 2


def test_what_takes_too_long_is_stopped_with_all_that_it_started(reader, started, tmp_path):
    with pytest.raises(errors.VolumeError, match=r"took more than 1\.5 s"):
        reader("sleep", limits=Limits(seconds=1.5))

    assert started[0].returncode == -signal.SIGKILL
    assert eventually(lambda: has_ended((tmp_path / "sleeper").read_text()))


def eventually(condition):
    """Whether it comes true within seconds: the system cleans up when it likes to."""
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.05)
    return False


@needs_forks
def test_not_more_than_two_processes_wait(reader, started):
    with ThreadPoolExecutor(4) as pool:
        pids = list(pool.map(lambda _: int(reader("tell").array[0, 0, 0]), range(8)))

    assert len(set(pids)) == 8
    assert sum(child.returncode is None for child in started) <= 2
    isolation._stop_all()
    assert all(child.returncode is not None for child in started)


def test_where_a_process_cannot_fork_each_file_has_one_from_the_start(reader, started, monkeypatch):
    monkeypatch.setattr(isolation, "FORKS", False)

    assert int(reader("tell").array[0, 0, 0]) == started[0].pid
    with pytest.raises(errors.VolumeError, match=r"its decoder crashed \(SIGSEGV\)"):
        reader("crash")
    with pytest.raises(errors.VolumeError, match=r"its reader failed \(exit status 7\)"):
        reader("leave")
    assert len(started) == 3
    assert all(child.returncode is not None for child in started)


@needs_forks
def test_a_process_that_was_prepared_is_the_one_that_is_used(reader, started):
    isolation.prepare("planted_readers:read")
    isolation.prepare("planted_readers:read")
    reader("read")

    assert len(started) == 1


@needs_forks
def test_a_fork_of_the_program_leaves_its_processes_alone(reader, started):
    reader("read")
    if (pid := os.fork()) == 0:
        os._exit(0 if not isolation._idle else 1)
    assert os.waitpid(pid, 0)[1] == 0
    reader("read")
    assert len(started) == 1


def test_memory_that_is_shared_is_read_without_a_copy_and_is_what_was_written(reader):
    volume = reader("fill")

    assert np.array_equal(volume.array, np.arange(24, dtype=np.float32).reshape(4, 3, 2).T)
    assert not volume.array.flags.writeable
    assert reader("fill_a_part").array.tolist() == [[[2.0], [3.0]]]


def test_an_empty_list_and_a_list_come_back(tmp_path, reader):
    found = isolation.list_isolated("planted_readers:contents", tmp_path / "two")
    assert [(content.number, content.summary) for content in found] == [(1, "CT"), (2, "MR")]
    with pytest.raises(errors.VolumeError, match=r"scan\.dcm: no list"):
        isolation.list_isolated("planted_readers:refuse_list", tmp_path / "scan.dcm")


def test_an_error_class_of_the_readers_own_comes_back_as_the_nearest_of_medseg(reader):
    with pytest.raises(errors.VolumeError, match="mine alone"):
        reader("raise_own")
