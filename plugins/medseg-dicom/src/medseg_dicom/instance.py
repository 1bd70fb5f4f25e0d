"""Read one file's header into frames, or say why it gives none."""

import re
from collections.abc import Hashable

from pydicom.uid import UID

from medseg.errors import VolumeError
from medseg_dicom.dataset import UNDEFINED_LENGTH, Content, NotDicomError, Pixels, read_content
from medseg_dicom.enhanced import FRAME_TAGS, frames_of_enhanced
from medseg_dicom.header import Broken, Frame, Instance, SetAside, Storage
from medseg_dicom.placement import place_frame
from medseg_dicom.source import Source
from medseg_dicom.syntaxes import find_syntax
from medseg_dicom.values import Elements, named

_IMAGES = "1.2.840.10008.5.1.4.1.1"
CLASSIC = {f"{_IMAGES}.2", f"{_IMAGES}.4", f"{_IMAGES}.128", f"{_IMAGES}.7"}
"""CT, MR and PET, one slice a file; secondary capture too, because some exports of CT use it."""
ENHANCED = {
    f"{_IMAGES}.2.1",
    f"{_IMAGES}.2.2",
    f"{_IMAGES}.4.1",
    f"{_IMAGES}.4.4",
    f"{_IMAGES}.130",
    f"{_IMAGES}.128.1",
}
"""Enhanced CT, MR and PET, and their legacy converted forms."""
_SECONDARY_CAPTURE = f"{_IMAGES}.7"
_DIRECTORY = "1.2.840.10008.1.3.10"
_PRIVATE_CLASS = re.compile(r"(?!1\.2\.840\.10008\.)\d+(\.\d+){3,}")
_BOMB_BYTES, _BOMB_RATIO = 256 << 20, 1000

_MARKS = {
    "time point": "TemporalPositionIdentifier",
    "reference time": "FrameReferenceTime",
    "echo time": "EchoTime",
    "b-value": "DiffusionBValue",
    "acquisition": "AcquisitionNumber",
    "trigger time": "TriggerTime",
}
_CLOCKS = {"acquisition time": "AcquisitionTime", "content time": "ContentTime"}
_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "FrameOfReferenceUID"),
    *("StudyInstanceUID", "InConcatenationTotalNumber"),
    *("Modality", "ImageType", "ImagesInAcquisition", "BurnedInAnnotation", "LossyImageCompression", "Units"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "DiffusionGradientOrientation"),
    *_MARKS.values(),
    *_CLOCKS.values(),
    *FRAME_TAGS,
)


def read_frames(source: Source) -> list[Frame] | SetAside | Broken:
    """Every frame of a file, as far as its header tells.

    Args:
        source: a file, or a member of an archive.

    Returns:
        The frames; or a file that is no image; or an image that cannot be used, with the reason.
    """
    try:
        content = read_content(source, _TAGS)
        elements = Elements(content.dataset)
        series_uid = elements.text("SeriesInstanceUID") or ""
        aside = _why_no_volume(elements, content)
    except NotDicomError as reason:
        return SetAside(name=source.name, reason=str(reason))
    except VolumeError as error:
        return Broken(name=source.name, reason=str(error))
    if aside:
        return SetAside(name=source.name, reason=aside, series_uid=series_uid if content.pixels else "")
    try:
        instance = _instance(source, content, elements)
        if instance.sop_class in ENHANCED:
            return frames_of_enhanced(instance, elements)
        return [_classic_frame(instance, elements)]
    except VolumeError as error:
        return Broken(name=source.name, reason=str(error), series_uid=series_uid)


def thickness_of(frame: Frame) -> float:
    """The thickness in mm that a single slice states.

    Raises:
        VolumeError: it states none, or not one above 0.
    """
    source, keyword = frame.instance.source, "SliceThickness"
    elements = Elements(read_content(source, (keyword, *FRAME_TAGS)).dataset)
    groups = [item for tag in FRAME_TAGS for item in elements.items(tag)]
    measures = [elements, *(found for group in groups for found in group.items("PixelMeasuresSequence"))]
    stated = [value for where in measures if (value := where.number(keyword)) is not None]
    if not stated or stated[-1] <= 0:
        found = f"{stated[-1]:g}" if stated else "missing"
        raise VolumeError(f"{named(keyword)} of the single slice {frame.name} is {found}; wanted mm above 0")
    return stated[-1]


def _why_no_volume(elements: Elements, content: Content) -> str:
    """Why a sound file is no part of any volume; empty if it may be one."""
    sop_class = elements.text("SOPClassUID") or ""
    if _DIRECTORY in (sop_class, content.media_class):
        return "DICOMDIR; the files themselves are looked at"
    if sop_class == _SECONDARY_CAPTURE and not elements.text("ImagePositionPatient"):
        return "secondary capture without a position"
    if not sop_class or sop_class in CLASSIC | ENHANCED:
        return ""  # an image, or without a class: then it is damaged, and that is said later
    name = UID(sop_class).name
    if name == sop_class and not (_PRIVATE_CLASS.fullmatch(sop_class) and elements.text("SeriesInstanceUID")):
        return ""  # neither of the standard nor a maker's own: damaged too
    kind = name if name != sop_class else "a maker's own kind of object"
    return f"{kind}, not CT, MR or PET" if content.pixels else f"{kind}, no image"


def _instance(source: Source, content: Content, elements: Elements) -> Instance:
    sop_class = _required(elements, "SOPClassUID")
    pixels = content.pixels
    if pixels is None:
        raise VolumeError(
            "the file ends before its PixelData (7fe0,0010); it was cut. Copy or export it again"
        )
    storage = _storage(elements)
    frames = elements.integer("NumberOfFrames") or 1
    if frames > 1 and sop_class not in ENHANCED:
        raise VolumeError(
            f"{named('NumberOfFrames')} is {frames:,} in a class whose files hold one slice, so where the "
            "others are is not known. Export it as Enhanced CT, MR or PET, or slice by slice"
        )
    _check_extent(storage, frames, pixels, content.transfer_syntax, source)
    modality = _required(elements, "Modality")
    return Instance(
        source=source,
        sop_uid=_required(elements, "SOPInstanceUID"),
        sop_class=sop_class,
        study_uid=elements.text("StudyInstanceUID") or "",
        series_uid=_required(elements, "SeriesInstanceUID"),
        frame_of_reference=elements.text("FrameOfReferenceUID") or "",
        series_number=elements.integer("SeriesNumber") or 0,
        modality=modality,
        localizer="LOCALIZER" in (elements.text("ImageType") or "").split("\\"),
        storage=storage,
        frames=frames,
        transfer_syntax=content.transfer_syntax,
        big_endian=content.big_endian,
        offset=pixels.offset,
        length=pixels.length,
        padding=_padding(elements, signed=storage.signed),
        unit=_unit(elements, modality),
        images_in_acquisition=elements.integer("ImagesInAcquisition"),
        files_of_image=elements.integer("InConcatenationTotalNumber"),
        burned_in=elements.text("BurnedInAnnotation") == "YES",
        lossy=elements.text("LossyImageCompression") == "01",
        executable=content.executable,
    )


def _classic_frame(instance: Instance, elements: Elements) -> Frame:
    if elements.items("ModalityLUTSequence"):
        raise VolumeError(
            f"{named('ModalityLUTSequence')} is present: values go through a table that is not applied here. "
            "Have the series exported with RescaleSlope and RescaleIntercept"
        )
    marks: dict[str, Hashable] = {}
    for mark, keyword in _MARKS.items():
        marks[mark] = elements.number(keyword)
    for mark, keyword in _CLOCKS.items():
        marks[mark] = elements.text(keyword)
    marks["gradient direction"] = elements.numbers("DiffusionGradientOrientation", 3)
    marks["image type"] = (elements.text("ImageType") or "").split("\\", 2)[-1]
    return place_frame(
        instance,
        0,
        position=elements,
        orientation=elements,
        measures=elements,
        rescale=elements,
        marks={mark: value for mark, value in marks.items() if value is not None},
    )


def _storage(elements: Elements) -> Storage:
    photometric = _required(elements, "PhotometricInterpretation")
    storage = Storage(
        rows=_whole(elements, "Rows"),
        columns=_whole(elements, "Columns"),
        samples=_whole(elements, "SamplesPerPixel"),
        photometric=photometric,
        bits_allocated=_whole(elements, "BitsAllocated"),
        bits_stored=_whole(elements, "BitsStored"),
        high_bit=_whole(elements, "HighBit"),
        signed=_whole(elements, "PixelRepresentation") == 1,
    )
    if not storage.rows or not storage.columns:
        raise VolumeError(f"the image has {storage.rows} rows and {storage.columns} columns; wanted some")
    bits = storage.bits_allocated, storage.bits_stored, storage.high_bit
    if bits[0] not in (8, 16) or not 1 <= bits[1] <= bits[0] or bits[2] != bits[1] - 1:
        raise VolumeError(
            f"BitsAllocated, BitsStored, HighBit (0028,0100-0102) are {', '.join(map(str, bits))}; wanted 8 "
            "or 16 allocated, at most as many stored, and the high bit one less than those. Export it again"
        )
    return storage


def _check_extent(storage: Storage, frames: int, pixels: Pixels, syntax: str, source: Source) -> None:
    """Compare what the header declares with what the file holds, before anything is allocated."""
    if pixels.type != "integer":
        raise VolumeError(f"the pixels are {pixels.type} numbers; wanted integers in PixelData (7fe0,0010)")
    declared = storage.frame_bytes * frames
    compressed = bool(find_syntax(syntax).package)
    if compressed != (pixels.length == UNDEFINED_LENGTH):
        raise VolumeError(
            f"PixelData (7fe0,0010) is {'not ' if compressed else ''}encapsulated, but the transfer syntax "
            f"is {find_syntax(syntax).name}; the file is damaged. Export it again"
        )
    if compressed:
        if declared > _BOMB_BYTES and declared > _BOMB_RATIO * source.size:
            raise VolumeError(
                f"the header declares {_bytes(declared)} of pixels, the file has {_bytes(source.size)}; its "
                "Rows, Columns or NumberOfFrames (0028,0008-0011) are wrong. Copy or export it again"
            )
        return
    size = f"{storage.columns} x {storage.rows}" + (f", {frames:,} frames" if frames > 1 else "")
    held = min(pixels.length, pixels.available)
    if held < declared:
        raise VolumeError(
            f"PixelData (7fe0,0010) has {held:,} of {declared:,} bytes: the header declares {size} "
            f"({_bytes(declared)}), the file has {_bytes(source.size)}. Copy or export it again"
        )
    if pixels.length > declared + declared % 2:
        raise VolumeError(
            f"PixelData (7fe0,0010) has {pixels.length:,} bytes, more than the {declared:,} of {size}: the "
            "header does not describe all that the file holds. Export it again"
        )


def _padding(elements: Elements, *, signed: bool) -> tuple[int, int] | None:
    value = elements.stored_number("PixelPaddingValue", signed=signed)
    if value is None:
        return None
    limit = elements.stored_number("PixelPaddingRangeLimit", signed=signed)
    limit = value if limit is None else limit
    return min(value, limit), max(value, limit)


def _unit(elements: Elements, modality: str) -> str:
    if modality == "PT":
        return elements.text("Units") or ""
    return elements.text("RescaleType") or ("HU" if modality == "CT" else "")


def _required(elements: Elements, keyword: str) -> str:
    text = elements.text(keyword)
    if not text:
        raise VolumeError(f"{named(keyword)} is missing; the file is damaged or not a complete image")
    return text


def _whole(elements: Elements, keyword: str) -> int:
    value = elements.integer(keyword)
    if value is None:
        raise VolumeError(f"{named(keyword)} is missing; the file is damaged or not a complete image")
    return value


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
