"""Full disks, folders that cannot be written to, and kills: whole results or none, and exit status 3.

A full disk is played by the system's limit on the size of a file: the same refused write, with another
number, and no need of a disk of one's own.
"""

import contextlib
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from medseg import isolation
from medseg.cli import main
from medseg.formats import save
from medseg.volume import Volume

ENVIRONMENT = 3
NOISE = np.random.default_rng(0).integers(0, 200, (24, 24, 24)).astype(np.int16)
EXPORTS = ("dicom-seg", "dicom-sr", "rtstruct", "stl", "obj", "ply", "slicer-colours", "itksnap-labels")


@pytest.fixture
def run(tiny, monkeypatch):
    """The command in this process, readers too: a child's memory falls under the limit on files as well."""
    monkeypatch.setattr(isolation, "POSSIBLE", False)

    def invoke(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def head(tmp_path):
    path = tmp_path / "head.nii"
    save(Volume(NOISE, np.eye(4)), path)
    return path


@pytest.fixture
def series(tmp_path):
    """An MR series of noise, the labels of which make files of some size whatever writes them."""
    folder = tmp_path / "series"
    folder.mkdir()
    for number in range(NOISE.shape[2]):
        dataset = pydicom.Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", f"1.2.3.4.{number + 1}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
        dataset.FrameOfReferenceUID, dataset.Modality = "1.2.3.3", "MR"
        dataset.InstanceNumber = number + 1
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [1, 1]
        dataset.Rows, dataset.Columns = NOISE.shape[1], NOISE.shape[0]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
            16,
            16,
            15,
            1,
        )
        dataset.add_new("PixelData", "OW", NOISE[..., number].T.tobytes())
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


@contextlib.contextmanager
def files_limited_to(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["copy.nii", "copy.nii.gz", "copy.mha", "copy.nrrd"])
def test_a_full_disk_leaves_no_part_of_a_converted_volume(run, head, tmp_path, name):
    (tmp_path / "out").mkdir()
    with files_limited_to(1000):
        done = run("convert", head, tmp_path / "out" / name)
    assert (done.exit_code, names(tmp_path / "out")) == (ENVIRONMENT, [])
    assert "Nothing was left behind" in done.stderr


@pytest.mark.parametrize("export", EXPORTS)
def test_a_full_disk_leaves_no_part_of_a_result_and_its_exports(run, series, tmp_path, export):
    target = tmp_path / "out" / "mask.nii.gz"
    arguments = ("segment", series, "-m", "tiny:calm", "-o", target, "--as", export)
    assert run(*arguments).exit_code == 0
    whole = {path: path.read_bytes() for path in target.parent.iterdir()}
    exported = next(path for path in whole if path.suffix not in (".json", ".gz"))
    # New UIDs and times may make the second export shorter than the first by some digits, never by a fifth.
    for limit in (10, len(whole[exported]) * 4 // 5):
        with files_limited_to(limit):
            done = run(*arguments, "--overwrite")
        # What was there before is still there, every byte of it, and nothing else.
        assert {path: path.read_bytes() for path in target.parent.iterdir()} == whole
        # The label map or the record may be larger than the export, and then stop at the same limit.
        assert done.exit_code == ENVIRONMENT, done.stderr


def test_a_full_disk_leaves_no_part_of_a_copy_without_the_patient(run, series, tmp_path):
    before = names(tmp_path)
    with files_limited_to(1000):
        done = run("deidentify", series, tmp_path / "copy")
    assert (done.exit_code, names(tmp_path)) == (ENVIRONMENT, before)


def test_a_folder_that_is_a_file_is_the_environments_fault(run, head, tmp_path):
    (tmp_path / "out").write_text("not a folder")
    done = run("segment", head, "-m", "tiny:calm", "-o", tmp_path / "out" / "mask.nii.gz")
    assert (done.exit_code, names(tmp_path)) == (ENVIRONMENT, ["head.nii", "out"])
    assert run("convert", head, tmp_path / "out" / "x.mha").exit_code == ENVIRONMENT


def test_a_folder_that_nobody_may_write_to_is_the_environments_fault(run, head, series):
    # Not a folder of one's own without the right to write: root has every right there.
    closed = Path("/sys/kernel")
    for done in (
        run("segment", head, "-m", "tiny:calm", "-o", closed / "mask.nii.gz", "--as", "stl"),
        run("convert", head, closed / "copy.nrrd"),
        run("deidentify", series, closed / "copy"),
    ):
        assert done.exit_code == ENVIRONMENT, done.stderr
        assert "Nothing was left behind" in done.stderr


@pytest.fixture(scope="module")
def start(start_medseg, tiny_site, tmp_path_factory):
    """Segment a head to a file, with a picture and a surface, in a process of its own."""
    head = tmp_path_factory.mktemp("heads") / "head.nii"
    save(Volume(NOISE, np.eye(4)), head)

    def segment(out, *more):
        arguments = ("segment", head, "-m", "tiny:calm", "-o", out, "--picture", "--as", "stl", *more)
        return start_medseg(*arguments, site=tiny_site)

    return segment


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    finish(start(out))
    # All but the records, which say how long it took.
    return {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".json"}


@pytest.mark.parametrize("moment", ["first part", "third part"])
def test_a_kill_while_writing_leaves_a_whole_result_or_none_and_the_next_run_ends_alike(
    start, undisturbed, tmp_path, moment
):
    with start(tmp_path / "out") as process:
        wait_for(tmp_path / "out", moment, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    left = {name for name in names(tmp_path / "out") if not name.startswith(".part-")}
    if "head.nii.gz" in left:
        assert {"head.json", *undisturbed} <= left  # the label map comes last
    for name in left & set(undisturbed):
        assert (tmp_path / "out" / name).read_bytes() == undisturbed[name], name
    finish(start(tmp_path / "out", "--overwrite"))
    for name, content in undisturbed.items():
        assert (tmp_path / "out" / name).read_bytes() == content, name


def finish(process):
    with process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def wait_for(folder, moment, process):
    """Look until so many parts were seen; the process must still live then."""
    seen = set()
    while process.poll() is None:
        seen.update(path.name for path in (folder.glob(".part-*") if folder.is_dir() else ()))
        if len(seen) >= {"first part": 1, "third part": 3}[moment]:
            return
        time.sleep(0.0005)
    pytest.fail(f"the command ended before its {moment}: {process.communicate()[1]}")
