"""A result as DICOM Segmentation, on the images that were segmented.

Reference: DICOM PS3.3, A.51 (Segmentation IOD), A.101 (Label Map Segmentation IOD).
"""

from pathlib import Path
from typing import Literal

from highdicom.content import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from highdicom.enum import CoordinateSystemNames
from highdicom.seg import Segmentation
from pydicom.dataset import Dataset
from pydicom.uid import UID, SegmentationStorage

from medseg.errors import VolumeError
from medseg.plugin import Result
from medseg_dicom.dataset import read_content
from medseg_dicom.header import Frame
from medseg_dicom.identity import SERIES_NUMBERS, Identity, describe_maker, identify, store
from medseg_dicom.origin import Origin, find_origin
from medseg_dicom.quiet import silenced
from medseg_dicom.slices_of_labels import label_frames, probability_frames
from medseg_dicom.terms import describe_segments, foreground

LabelMapSegmentationStorage = UID("1.2.840.10008.5.1.4.1.1.66.7")  # pydicom 3.0 has no name for it
_LOSSY = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
Encoding = Literal["binary", "labelmap", "fractional"]


def write(result: Result, path: str | Path, *, encoding: Encoding = "binary") -> None:
    """Write a segmentation that refers to the images of the result's series.

    Segment n is the n-th class without the background, also where the map does not hold it. Images
    on which there is nothing are left out, as is usual, unless there is nothing on any.

    Args:
        result: of a model that was given a DICOM series.
        path: the file.
        encoding: ``binary``, which every reader knows; ``labelmap``, which is smaller and newer; or
            ``fractional``, whose pixels are the probabilities in 255ths if the result carries some, else
            0 and 255, since a label map has no fractions.

    Raises:
        VolumeError: the result does not come from a DICOM series, or its series is spread over several
            multi-frame files.
        ResourceError: the disk refused the file.
    """
    if not foreground(result):
        raise VolumeError(f"{result.model} has no class but the background, so there is nothing to write")
    origin = find_origin(result)
    with silenced():
        store(_segmentation(result, origin, encoding), path)


def refer_to_segmentation(identity: Identity, encoding: Encoding) -> Dataset:
    """The UIDs of class, series and instance that ``write`` gives to the segmentation of a result."""
    reference = Dataset()
    labelmap = encoding == "labelmap"
    reference.SOPClassUID = LabelMapSegmentationStorage if labelmap else SegmentationStorage
    reference.SeriesInstanceUID = identity.uid("SEG", encoding, "series")
    reference.SOPInstanceUID = identity.uid("SEG", encoding)
    return reference


def _segmentation(result: Result, origin: Origin, encoding: Encoding) -> Segmentation:
    maker, identity = describe_maker(result), identify(result, origin)
    reference = refer_to_segmentation(identity, encoding)
    probable = encoding == "fractional" and result.probabilities is not None
    # The array follows the order of the source images, not their positions: both are in that of the frames.
    segmentation = Segmentation(
        source_images=_source_images(origin),
        pixel_array=(probability_frames if probable else label_frames)(result, origin.frames),
        segmentation_type=encoding.upper(),
        fractional_type="PROBABILITY" if probable else "OCCUPANCY",
        segment_descriptions=describe_segments(result, identity),
        series_instance_uid=reference.SeriesInstanceUID,
        series_number=SERIES_NUMBERS["SEG"],
        sop_instance_uid=reference.SOPInstanceUID,
        instance_number=1,
        content_label="SEGMENTATION",
        manufacturer=maker.manufacturer,
        manufacturer_model_name=maker.model,
        software_versions=maker.version,
        device_serial_number=maker.serial,
    )
    _number_frames(segmentation, origin.frames)
    return segmentation


def _source_images(origin: Origin) -> list[Dataset]:
    """Headers as highdicom wants them: one for each file of one image, or one of several frames.

    They are made of what the gate has checked, so nothing else of the files can get into the object.
    """
    frames, first = origin.frames, origin.frames[0].instance
    if first.frames == 1:
        return [_source_image(origin, frame) for frame in frames]
    if len(origin.instances) > 1:
        raise VolumeError(
            f"the series is spread over {len(origin.instances)} multi-frame files, and a segmentation refers "
            "to one. Have it exported as one file, or slice by slice"
        )
    image = _source_image(origin, frames[0])
    image.NumberOfFrames = len(frames)
    shared = Dataset()
    shared.PlaneOrientationSequence = PlaneOrientationSequence(
        CoordinateSystemNames.PATIENT, image.ImageOrientationPatient
    )
    shared.PixelMeasuresSequence = PixelMeasuresSequence(image.PixelSpacing, image.SliceThickness)
    image.SharedFunctionalGroupsSequence = [shared]
    image.PerFrameFunctionalGroupsSequence = []
    for frame in frames:
        group = Dataset()
        group.PlanePositionSequence = PlanePositionSequence(CoordinateSystemNames.PATIENT, frame.position)
        image.PerFrameFunctionalGroupsSequence.append(group)
    return [image]


def _source_image(origin: Origin, frame: Frame) -> Dataset:
    instance, first = frame.instance, origin.frames[0]
    image = Dataset()
    image.update(origin.study)
    image.SOPClassUID, image.SOPInstanceUID = instance.sop_class, instance.sop_uid
    image.SeriesInstanceUID = instance.series_uid
    image.FrameOfReferenceUID = instance.frame_of_reference
    image.Modality = instance.modality
    image.Rows, image.Columns = instance.storage.rows, instance.storage.columns
    image.LossyImageCompression = "01" if instance.lossy else "00"
    if instance.lossy:  # what is derived from such an image must tell how strongly it was compressed
        image.update(read_content(instance.source, _LOSSY).dataset)
    # The object has one orientation and spacing; those of its images differ by rounding at most.
    image.ImageOrientationPatient = [*first.along_row, *first.along_column]
    image.PixelSpacing = [first.row_spacing_mm, first.column_spacing_mm]
    image.SliceThickness = origin.gap_mm  # dcmqi takes it for the distance of slices
    image.ImagePositionPatient = list(frame.position)
    return image


def _number_frames(segmentation: Dataset, frames: tuple[Frame, ...]) -> None:
    """Refer to frames of a multi-frame image by their numbers in the file, not among those used."""
    sources = {
        id(source): source  # highdicom puts one item into the groups of all segments
        for group in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in group.DerivationImageSequence
        for source in derivation.SourceImageSequence
    }
    for source in sources.values():
        if "ReferencedFrameNumber" in source:
            source.ReferencedFrameNumber = frames[source.ReferencedFrameNumber - 1].number + 1
