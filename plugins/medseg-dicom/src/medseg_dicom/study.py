"""The patient and study of an image, as an object derived from it must repeat them, and nothing more.

Reference: DICOM PS3.3, C.7.1.1 (patient), C.7.2.1 (general study): the attributes of type 1 and 2.
"""

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM

from medseg.errors import VolumeError
from medseg_dicom.dataset import read_content
from medseg_dicom.source import Source
from medseg_dicom.values import named

_NAMES = ("PatientName", "ReferringPhysicianName")
_TEXTS = ("PatientID", "StudyID", "AccessionNumber")
_TIMES: dict[str, type[DA | TM]] = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
_SEXES = ("M", "F", "O")
_TAGS = ("StudyInstanceUID", *_NAMES, *_TEXTS, *_TIMES, "PatientSex")


def read_study(source: Source) -> Dataset:
    """Read the patient and study of an image file.

    Dates, times and a sex that are not valid are left empty, as type 2 allows; texts are kept as they
    are, in UTF-8.

    Args:
        source: an image that has passed the gate.

    Raises:
        VolumeError: it has no StudyInstanceUID.
    """
    found = read_content(source, _TAGS, texts=True).dataset
    study = Dataset()
    study.SpecificCharacterSet = "ISO_IR 192"
    study.StudyInstanceUID = found.get("StudyInstanceUID")
    if not study.StudyInstanceUID:
        raise VolumeError(
            f"{named('StudyInstanceUID')} is missing in {source.name}; an object of the same study cannot be "
            "made. Export the series again"
        )
    for keyword in (*_NAMES, *_TEXTS):
        setattr(study, keyword, found.get(keyword) or "")
    for keyword, kind in _TIMES.items():
        setattr(study, keyword, _valid(found.get(keyword), kind))
    sex = found.get("PatientSex")
    study.PatientSex = sex if sex in _SEXES else ""
    return study


def _valid(value: object, kind: type[DA | TM]) -> str:
    if not value:
        return ""
    try:
        return str(kind(str(value)))
    except ValueError:
        return ""
