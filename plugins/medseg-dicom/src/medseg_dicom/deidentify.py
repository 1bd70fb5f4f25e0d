"""Copies of images without their patient, by the standard's basic profile.

Reference: DICOM PS3.15, annex E.
"""

from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import dcmread
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from medseg.atomic import sweep_stale_parts, whole_folder
from medseg.errors import OptionError, VolumeError
from medseg_dicom.contents import find_sources
from medseg_dicom.dataset import NotDicomError, read_content
from medseg_dicom.identity import store
from medseg_dicom.instance import CLASSIC, ENHANCED
from medseg_dicom.profile import EDITION, action_for, is_plain
from medseg_dicom.pseudonyms import Pseudonyms, is_secret
from medseg_dicom.quiet import silenced
from medseg_dicom.source import Source
from medseg_dicom.values import Elements, named

# Of files that do not state theirs, by (implicit, little-endian).
_ENCODINGS = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
_DUMMIES = {"DA": "19000101", "DT": "19000101000000", "TM": "000000", "AS": "000Y", "DS": "0", "IS": "0"}
_TEXT = "REMOVED"
_TEXTUAL = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
_NUMERIC = ("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV")


def deidentify(
    source: str | Path, target: str | Path, *, key_file: str = "", burned_in: Literal["", "keep"] = ""
) -> tuple[str, ...]:
    """Write a copy of every CT, MR and PET image of a path without its patient.

    Attributes are treated by the Basic Application Level Confidentiality Profile at every depth, without
    any of its options; private ones, curves, overlays and texts that no image needs are removed too. UIDs
    and patients get new names, the same for the same. Pixels stay as they are, and as they are encoded.

    Args:
        source: a folder with everything below it, a file, a zip archive, or a DICOMDIR.
        target: a folder that does not exist yet; files in it get generated names.
        key_file: a file of at least 16 secret bytes, so that several runs give the same names.
        burned_in: ``"keep"`` lets images pass that say that a text is drawn into them.

    Returns:
        Sentences about what was written and left out.

    A part folder that a killed run left beside the target long ago is removed.

    Raises:
        VolumeError: a file is damaged, or has text in its pixels; nothing was written.
        OptionError: the target exists, or the key is too short.
        ResourceError: the disk refused; nothing was left behind.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     notes = deidentify("sample_volumes/dicom/head_pd_raw", Path(folder, "copy"))
        >>> notes[0]
        '20 images of 1 series were written.'
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise OptionError(f"{target} exists; wanted a new folder")
    pseudonyms = Pseudonyms(_secret(Path(key_file))) if key_file else Pseudonyms()
    sweep_stale_parts(target.parent)
    try:
        with silenced(), whole_folder(target) as part:
            return _copy_all(source, part, pseudonyms, keep_burned_in=bool(burned_in))
    except VolumeError as error:
        raise VolumeError(f"{source.name}: {error}") from error


def remove_patient(dataset: Dataset, pseudonyms: Pseudonyms) -> None:
    """Apply the profile to a data set, in place, at every depth.

    Args:
        dataset: any object; its pixels are not touched.
        pseudonyms: the new names.

    Raises:
        VolumeError: a value cannot be read; its tag is named.
    """
    for tag in list(dataset.keys()):
        action = action_for(tag)
        if action == "remove":
            del dataset[tag]
            continue
        element = _element(dataset, tag)
        if action in ("keep", "descend"):
            _check_representation(element)
        if action == "keep" and not _is_plain(element):
            if dictionary_VR(tag) in ("DS", "IS"):
                raise _unreadable(tag)
            del dataset[tag]
        elif action == "empty":
            dataset[tag] = DataElement(tag, element.VR, Sequence() if element.VR == "SQ" else None)
        elif action == "replace":
            _replace(dataset, element)
        elif action == "map":
            dataset[tag] = DataElement(tag, "UI", [pseudonyms.uid(uid) for uid in _texts(element)])
        elif action == "descend":
            for item in element.value:
                remove_patient(item, pseudonyms)
    if "SpecificCharacterSet" in dataset:
        del dataset.SpecificCharacterSet  # what is left is ASCII


def _copy_all(source: Path, target: Path, pseudonyms: Pseudonyms, *, keep_burned_in: bool) -> tuple[str, ...]:
    images: Counter[str] = Counter()  # of each series, by its new UID
    left_out = 0
    for item in find_sources(source):
        if not _is_image(item):
            left_out += 1
            continue
        try:
            dataset = _copy(item, pseudonyms, keep_burned_in=keep_burned_in)
        except VolumeError as error:
            raise VolumeError(f"file {item.name}: {error}") from error
        series = dataset.SeriesInstanceUID
        images[series] += 1
        folder = target / f"S{list(images).index(series) + 1:03d}"
        folder.mkdir(exist_ok=True)
        store(dataset, folder / f"IM{images[series]:05d}.dcm")
    if not images:
        raise VolumeError("no CT, MR or PET image in DICOM is here")
    return (
        f"{images.total()} images of {len(images)} series were written.",
        *((f"{left_out} files that are no CT, MR or PET image were left out.",) if left_out else ()),
        "The pixels are unchanged: a face can be recognised in a scan of a head.",
    )


def _is_image(source: Source) -> bool:
    """Whether a file is one of the images that are copied; damaged ones are refused, not left out."""
    try:
        content = read_content(source, ("SOPClassUID",))
    except NotDicomError:
        return False
    except VolumeError as error:
        raise VolumeError(f"file {source.name}: {error}") from error
    sop_class = Elements(content.dataset).text("SOPClassUID") or content.media_class
    return sop_class in (CLASSIC | ENHANCED) - {SecondaryCaptureImageStorage}  # screenshots show names


def _copy(source: Source, pseudonyms: Pseudonyms, *, keep_burned_in: bool) -> Dataset:
    with source.open() as stream:
        try:
            dataset: Dataset = dcmread(stream, force=True)
        except Exception as error:  # pydicom raises what the damage leads it into
            raise VolumeError("it cannot be parsed; the file is damaged. Export it again") from error
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "PixelData"):
        if keyword not in dataset:
            raise VolumeError(f"{named(keyword)} is missing; the file is damaged or cut. Export it again")
    if Elements(dataset).text("BurnedInAnnotation") == "YES" and not keep_burned_in:
        raise VolumeError(
            f"{named('BurnedInAnnotation')} is YES: text is drawn into the pixels, perhaps a name. Look at "
            "the images; if they hold none, use --allow burned-in=keep"
        )
    patient = pseudonyms.patient(Elements(dataset).undecoded("PatientID"))
    syntax = _stated_or_guessed(dataset)
    remove_patient(dataset, pseudonyms)
    dataset.PatientID = dataset.PatientName = patient
    _say_so(dataset)
    dataset.preamble = bytes(128)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return dataset


def _stated_or_guessed(dataset: Dataset) -> UID:
    """The transfer syntax that a file states, or that which it was read as."""
    stated = dataset.file_meta.get("TransferSyntaxUID")
    implicit, little = dataset.original_encoding
    return UID(stated) if stated else _ENCODINGS[bool(implicit), bool(little)]


def _say_so(dataset: Dataset) -> None:
    """What the profile demands to be said of a copy."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = f"medseg-dicom {version('medseg-dicom')}, PS3.15 {EDITION} table E.1-1"
    dataset.DeidentificationMethodCodeSequence = Sequence([code])
    dataset.LongitudinalTemporalInformationModified = "REMOVED"


def _element(dataset: Dataset, tag: BaseTag) -> DataElement:
    try:
        return dataset[tag]  # converted from its bytes only now
    except Exception:  # noqa: BLE001  # pydicom raises what the value leads it into, and quotes it
        raise _unreadable(tag) from None


def _check_representation(element: DataElement) -> None:
    """What stays, or is entered, is judged by what its tag holds: a file that says otherwise hides a text."""
    wanted = dictionary_VR(element.tag)
    fitting = {wanted, *wanted.split(" or ")}
    if "OW" in fitting:
        fitting.add("UN")  # as of pixels that went through a system which did not know their tag
    if element.VR not in fitting:
        raise VolumeError(
            f"({element.tag.group:04x},{element.tag.element:04x}) has the representation {element.VR}; "
            f"wanted {wanted}; the file is damaged. Export it again"
        )


def _unreadable(tag: BaseTag) -> VolumeError:
    return VolumeError(
        f"({tag.group:04x},{tag.element:04x}) is not what its representation says; the file is damaged. "
        "Export it again"
    )


def _replace(dataset: Dataset, element: DataElement) -> None:
    """A dummy in the representation of the element; none for what has no harmless one."""
    dummy = _DUMMIES.get(element.VR, _TEXT if element.VR in _TEXTUAL else 0)
    if element.VR in (*_TEXTUAL, *_NUMERIC, *_DUMMIES):
        dataset[element.tag] = DataElement(element.tag, element.VR, dummy)
    else:
        del dataset[element.tag]


def _is_plain(element: DataElement) -> bool:
    # Not the element's own: pydicom takes another where the bytes do not fit.
    representation = dictionary_VR(element.tag)
    textual = representation in (*_TEXTUAL, "UI", "DS", "IS")
    return not textual or all(is_plain(representation, text) for text in _texts(element))


def _texts(element: DataElement) -> list[str]:
    """The values of an element of text; none of an empty one."""
    if element.is_empty:
        return []
    return [str(value) for value in (element.value if element.VM > 1 else [element.value])]


def _secret(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise OptionError(f"the key file {path} cannot be read: {error.strerror or error}") from error
    if not is_secret(key):
        raise OptionError(
            f"the key file {path} holds {len(key)} bytes; wanted at least 16 that nobody can guess, as from "
            "head -c 32 /dev/urandom"
        )
    return key
