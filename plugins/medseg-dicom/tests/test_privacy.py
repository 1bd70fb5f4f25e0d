"""No text of a patient leaves the files: not in notes, messages, warnings, logs, lists or on a stream."""

import io
import logging
import re
import shutil
import warnings

import pydicom
import pytest
from medseg_dicom.listing import list_series
from medseg_dicom.quiet import silenced
from medseg_dicom.reader import read
from pydicom.datadict import DicomDictionary

from medseg.errors import VolumeError

PLANTED = re.compile(r"DOE|JANE|MRN4711|19700101")
TEXTS = {
    "PN": "DOE^JANE",
    "LO": "DOE JANE MRN4711",
    "SH": "MRN4711",
    "LT": "JANE DOE",
    "ST": "DOE",
    "UT": "JANE",
}
TEXTS |= {"DA": "19700101", "UC": "JANE", "AE": "DOE"}


def plant(dataset, number):
    """The patient in every tag of text that there is, in private ones, and where numbers should be."""
    for tag, (vr, *_) in DicomDictionary.items():
        if vr in TEXTS and tag >> 16 not in (0x0000, 0x0002, 0xFFFE) and tag not in dataset:
            dataset.add_new(tag, vr, TEXTS[vr])
    for vr, text in TEXTS.items():
        dataset.private_block(0x0011, "DOE JANE", create=True).add_new(list(TEXTS).index(vr), vr, text)
    dataset.RescaleType = "DOE JANE"
    dataset.StudyDescription = dataset.SeriesDescription = "DOE JANE MRN4711"


@pytest.fixture
def everything_said(capfd, caplog):
    """What a call says on any channel; logging is as loud as it can be."""
    caplog.set_level(logging.DEBUG)
    for name in ("pydicom", "pylibjpeg"):
        logging.getLogger(name).setLevel(logging.DEBUG)

    def call(function, *args, **options):
        said = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result = function(*args, **options)
                said += [str(result), repr(result), *getattr(result, "notes", ())]
            except VolumeError as error:
                said += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
        captured = capfd.readouterr()
        return "\n".join([*said, *(str(c.message) for c in caught), caplog.text, captured.out, captured.err])

    yield call
    for name in ("pydicom", "pylibjpeg"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def planted(make_series):
    def save(dataset, path, syntax):
        dataset.save_as(path, enforce_file_format=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_series("case", edit=plant, save=save)


def test_the_phantom_is_full_of_the_patient(planted):
    content = (planted / "IM000.dcm").read_bytes()
    assert len(PLANTED.findall(content.decode("latin-1"))) > 500


@pytest.mark.parametrize("function", [read, list_series])
def test_a_series_full_of_names_is_read_without_repeating_one(everything_said, planted, function):
    assert not PLANTED.search(everything_said(function, planted))


def test_no_note_names_a_file(make_series):
    folder = make_series("case")
    (folder / "IM000.dcm").rename(folder / "DOE_JANE.dcm")
    program = folder / "MRN4711.dcm"
    (folder / "IM001.dcm").rename(program)
    program.write_bytes(b"MZ" + program.read_bytes()[2:])
    shutil.copy(folder / "IM002.dcm", folder / "DOE_JANE copy.dcm")
    (folder / "JANE report.txt").write_text("a report")
    (folder / "JANE 19700101.dcm").write_bytes(b"")
    notes = " ".join(read(folder).notes)
    assert all(word in notes for word in ("preamble", "exact copies", "Set aside"))
    assert not PLANTED.search(notes)


@pytest.mark.parametrize(
    "keyword",
    [
        *(
            "SOPClassUID",
            "SOPInstanceUID",
            "SeriesInstanceUID",
            "FrameOfReferenceUID",
            "Modality",
            "ImageType",
        ),
        *("PhotometricInterpretation", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
        *("RescaleSlope", "RescaleIntercept", "RescaleType", "AcquisitionNumber", "SeriesNumber", "EchoTime"),
        *("AcquisitionTime", "ContentTime", "NumberOfFrames", "SpecificCharacterSet", "BurnedInAnnotation"),
        *("TriggerTime", "Units", "ImagesInAcquisition", "LossyImageCompression", "StudyInstanceUID"),
    ],
)
@pytest.mark.parametrize("function", [read, list_series])
def test_a_name_in_the_wrong_tag_is_not_repeated(everything_said, make_series, keyword, function):
    def save(dataset, path, syntax):
        buffer = io.BytesIO()
        tag = pydicom.datadict.tag_for_keyword(keyword)
        dataset.pop(tag, None)
        for element in dataset:
            if element.tag > tag:
                break
        dataset.save_as(buffer, enforce_file_format=True)
        content = buffer.getvalue()
        later = next((e.tag for e in dataset if e.tag > tag), None)
        head = later.group.to_bytes(2, "little") + later.element.to_bytes(2, "little")
        at = content.index(head, 132 + 12 + int.from_bytes(content[140:144], "little"))
        element = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
        vr = pydicom.datadict.dictionary_VR(tag).encode()
        path.write_bytes(
            content[:at] + element + vr + (16).to_bytes(2, "little") + b"DOE JANE MRN4711" + content[at:]
        )

    assert not PLANTED.search(everything_said(function, make_series("case", save=save)))


def test_pydicom_itself_would_have_repeated_the_name(make_series, everything_said):
    """Else the tests above could not fail."""

    def wrong_date(dataset, number):
        dataset.add_new(0x00100030, "DA", "DOE JANE")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = make_series("case", edit=wrong_date)

    def as_pydicom_does(folder):
        return str(pydicom.dcmread(folder / "IM000.dcm").PatientBirthDate)

    assert PLANTED.search(everything_said(as_pydicom_does, folder))


def test_silence_ends_with_the_last_reader():
    logger = logging.getLogger("pydicom")
    before = logger.level, list(warnings.filters)
    with silenced():
        with silenced():
            pass
        warnings.warn("DOE^JANE", UserWarning, stacklevel=1)  # raises where warnings are errors
        assert not logger.isEnabledFor(logging.CRITICAL)
    assert (logger.level, list(warnings.filters)) == before
