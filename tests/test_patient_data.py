"""Nothing that says who a patient is leaves an input: planted everywhere, looked for in all that comes out.

What comes out is standard output, standard error, every file of every command, the temporary folder,
the caches and the home folder.
"""

import json
import re
import shutil
import zlib

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from nibabel.nifti1 import Nifti1Extension, Nifti1Pair
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

WORDS = ("PLANTEDNAME", "MRN47110815", "19700131", "MÜLLERIN")
PLANTED = re.compile(
    b"|".join(
        re.escape(word.encode(code))
        for word in WORDS
        for code in ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
    )
)
NAME = "PLANTEDNAME^MÜLLERIN"
TEXTS = {
    "PN": NAME, "LO": "PLANTEDNAME MRN47110815", "SH": "MRN47110815", "LT": NAME, "ST": NAME, "UT": NAME,
    "UC": NAME, "AE": "PLANTEDNAME", "DA": "19700131", "DT": "19700131120000", "UR": "PLANTEDNAME",
}  # fmt: skip

STUDY = {
    "PatientName", "PatientID", "PatientBirthDate",  # module Patient, type 2
    "StudyDate", "StudyID", "AccessionNumber", "ReferringPhysicianName",  # module General Study, type 2
    "PositionReferenceIndicator",  # module Frame of Reference, type 2
}  # fmt: skip
"""What the standard wants of an object of the same study, empty or not; no more of it is repeated."""

DICOM_EXPORTS = ("dicom-seg", "dicom-sr", "rtstruct")
OTHER_EXPORTS = ("stl", "obj", "ply", "slicer-colours", "itksnap-labels")
ARRAY = np.where(np.indices((12, 14, 10)).sum(0) > 20, 200, 0).astype(np.int16)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folders of volumes, of a series, and of broken forms of both, with a name in each of their fields."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("volumes", "series", "broken", "broken_series"):
        (folder / name).mkdir()
    write_nifti(folder / "volumes" / "a.nii.gz")
    write_itk(folder / "volumes" / "b.mha")
    write_itk(folder / "volumes" / "c.nrrd")
    write_series(folder / "series")
    # A file may be named for its patient, too: one more of the images, and what is none.
    shutil.copy(folder / "series" / "0.dcm", folder / "series" / "PLANTEDNAME 19700131.dcm")
    (folder / "series" / "MRN47110815.txt").write_text(NAME)
    for path in (folder / "volumes").iterdir():
        content = path.read_bytes()
        (folder / "broken" / f"cut_{path.name}").write_bytes(content[: len(content) * 9 // 10])
        field = {".mha": (b"NDims = 3", b"PLANTEDNAME = 3"), ".nrrd": (b"kinds: ", b"PLANTEDNAME: ")}.get(
            path.suffix
        )
        if field:
            (folder / "broken" / f"field_{path.name}").write_bytes(content.replace(*field))
    write_series(folder / "broken_series")
    path = folder / "broken_series" / "3.dcm"
    path.write_bytes(path.read_bytes().replace(b"DS\x10\x001.000000\\1.00000", b"DS\x10\x00PLANTEDNAME     "))
    assert all(PLANTED.search(content_of(path)) for path in folder.rglob("*.*"))
    return folder


def write_nifti(path):
    image = nibabel.Nifti1Image(ARRAY, np.eye(4))
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = b"MRN47110815"
    image.header.extensions.append(Nifti1Extension("comment", NAME.encode()))
    assert isinstance(image, Nifti1Pair)
    nibabel.save(image, path)


def write_itk(path):
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(ARRAY.T))
    for key in ("0010|0010", "0010|0020", "Comment", "Name"):
        image.SetMetaData(key, "PLANTEDNAME MRN47110815")
    SimpleITK.WriteImage(image, path, useCompression=True)


def write_series(folder):
    """Eight slices with a text in every attribute of text that there is, in items and private ones too."""
    for number in range(ARRAY.shape[2]):
        dataset = Dataset()
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", f"1.2.3.4.{number + 1}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
        dataset.FrameOfReferenceUID = "1.2.3.3"
        dataset.Modality, dataset.ImageType = "MR", ["ORIGINAL", "PRIMARY", "OTHER"]
        dataset.InstanceNumber, dataset.SeriesNumber = number + 1, 1
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = ["1.000000", "1.00000"]
        dataset.Rows, dataset.Columns = ARRAY.shape[1], ARRAY.shape[0]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
            16,
            16,
            15,
            1,
        )
        dataset.PatientSex, dataset.BurnedInAnnotation = "F", "NO"
        dataset.add_new("PixelData", "OW", np.ascontiguousarray(ARRAY[..., number].T).tobytes())
        plant(dataset)
        item = Dataset()
        plant(item)
        dataset.RequestAttributesSequence = Sequence([item])
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        dataset.file_meta.SourceApplicationEntityTitle = "PLANTEDNAME"
        dataset.preamble = b"PLANTEDNAME".ljust(128, b"\0")
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def plant(dataset):
    for tag, (vr, *_) in DicomDictionary.items():
        if vr in TEXTS and tag >> 16 not in (0, 2, 0xFFFE) and tag not in dataset:
            dataset.add_new(tag, vr, TEXTS[vr])
    for number, (vr, text) in enumerate(TEXTS.items()):
        dataset.private_block(0x0011, "PLANTEDNAME", create=True).add_new(number, vr, text)


def content_of(path):
    """The bytes of a file, and what they inflate to."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        return content + zlib.decompressobj(31).decompress(content)
    return content


@pytest.fixture
def run(start_medseg, tiny_site, tmp_path):
    """A command in a process of its own, with all its folders below tmp_path, whose streams are searched."""
    places = {}
    for variable in ("HOME", "TMPDIR", "MEDSEG_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        places[variable] = str(tmp_path / variable)
        (tmp_path / variable).mkdir()

    def invoke(*arguments, status=0):
        with start_medseg(*arguments, site=tiny_site, **places) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == status, err
        assert PLANTED.search((out + err).encode()) is None, out + err
        return out

    return invoke


def search(folder, *, besides=()):
    """No file below a folder holds what was planted, nor does a name; returns how many were searched."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(besides)]
    for path in files:
        assert PLANTED.search(content_of(path)) is None, path
        assert PLANTED.search(str(path.relative_to(folder)).encode()) is None
    return len(files)


def test_volumes_shown_converted_and_segmented(run, inputs, tmp_path):
    run("info", inputs / "volumes", "--json")
    exports = [argument for name in OTHER_EXPORTS for argument in ("--as", name)]
    volumes = sorted((inputs / "volumes").iterdir())
    run("segment", *volumes, "-m", "tiny:calm", "-o", tmp_path / "out", "--picture", "--json", *exports)
    for path, suffix in zip(volumes, (".mha", ".nrrd", ".nii"), strict=True):
        run("convert", path, tmp_path / "out" / f"copy{suffix}")
    assert search(tmp_path) >= 3 * (3 + len(OTHER_EXPORTS)) + 3


def test_a_series_shown_converted_and_segmented(run, inputs, tmp_path):
    run("info", inputs / "series")
    exports = [argument for name in (*OTHER_EXPORTS, *DICOM_EXPORTS) for argument in ("--as", name)]
    target = tmp_path / "out" / "mask.nii.gz"
    run("segment", inputs / "series", "-m", "tiny:calm", "-o", target, "--picture", *exports)
    run("convert", inputs / "series", tmp_path / "out" / "copy.nii.gz")
    assert search(tmp_path, besides=".dcm") >= 3 + 1 + len(OTHER_EXPORTS)
    objects = sorted((tmp_path / "out").glob("*.dcm"))
    assert len(objects) == len(DICOM_EXPORTS)
    for path in objects:
        assert planted_attributes(pydicom.dcmread(path)) <= STUDY, path
        assert path.read_bytes()[:128] == bytes(128)


def planted_attributes(dataset):
    """Keywords of the attributes, at any depth, that hold what was planted."""
    found = set()
    for element in dataset.iterall():
        if element.VR != "SQ" and PLANTED.search(str(element.value).encode()):
            found.add(element.keyword or str(element.tag))
    return found


def test_copies_without_the_patient(run, inputs, tmp_path):
    from medseg_dicom.profile import TECHNICAL

    run("deidentify", inputs / "series", tmp_path / "copy", "--json")
    assert search(tmp_path, besides=".dcm") == 0
    for path in (tmp_path / "copy").rglob("*.dcm"):
        # A machine's texts stay: what is drawn into them cannot be told from what it is.
        assert planted_attributes(pydicom.dcmread(path)) <= set(TECHNICAL)
    run("deidentify", inputs / "broken_series", tmp_path / "none", status=1)
    assert not (tmp_path / "none").exists()


def test_refusals(run, inputs, tmp_path):
    broken = [*sorted((inputs / "broken").iterdir()), inputs / "broken_series"]
    report = run("segment", *broken, "-m", "tiny:calm", "-o", tmp_path / "out", "--json", status=1)
    assert {case["status"] for case in json.loads(report)["cases"]} == {"refused"}
    run("info", inputs / "broken", status=1)
    run("info", inputs / "broken_series", "--json", status=1)
    run("doctor")
    assert search(tmp_path) == sum(1 for path in tmp_path.rglob("*") if path.is_file())
