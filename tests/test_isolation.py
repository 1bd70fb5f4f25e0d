"""A reader in a child process: its volume, its refusals, and every way to die."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medseg import errors
from medseg.isolation import POSSIBLE, Limits, read_isolated
from medseg.volume import Volume

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="child readers need POSIX descriptors and limits")

READERS = """
import os, signal, sys, time
import numpy as np
from medseg.errors import OptionError, VolumeError
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
    time.sleep(60)


def eat(path, *, kind):
    np.ones(2**33, np.uint8)


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


def test_no_child_is_left(reader, monkeypatch):
    children = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            children.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    reader("read")
    with pytest.raises(errors.VolumeError):
        reader("sleep", limits=Limits(seconds=0.5))

    assert [child.returncode for child in children] == [0, -signal.SIGKILL]


def test_an_error_class_of_the_readers_own_comes_back_as_the_nearest_of_medseg(reader):
    with pytest.raises(errors.VolumeError, match="mine alone"):
        reader("raise_own")
