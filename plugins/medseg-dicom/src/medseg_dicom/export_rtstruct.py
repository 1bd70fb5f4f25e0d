"""A result as RT Structure Set: closed planar contours on the images that were segmented.

Reference: DICOM PS3.3, A.19.3 (RT Structure Set IOD), C.8.8.5 (structure set), C.8.8.6 (contours),
C.8.8.8 (observations).
"""

import datetime as dt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from medseg.errors import VolumeError
from medseg.plugin import Label, Result
from medseg_dicom.contours import outline
from medseg_dicom.header import Frame
from medseg_dicom.identity import (
    SERIES_NUMBERS,
    Identity,
    describe_maker,
    identify,
    long_string,
    store,
)
from medseg_dicom.origin import Origin, find_origin
from medseg_dicom.quiet import silenced
from medseg_dicom.slices_of_labels import Numbers, label_frames
from medseg_dicom.terms import foreground, rgb_of, type_of

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, retired; what the standard has a structure set name its study by."""


def write(result: Result, path: str | Path) -> None:
    """Write a region of interest for each class, with contours on every image that shows it.

    Contours follow the borders of the pixels, so that the pixels whose centres they enclose are those
    of the label map. A region with a hole is two contours side by side.

    Args:
        result: of a model that was given a DICOM series.
        path: the file.

    Raises:
        VolumeError: the result does not come from a DICOM series.
        ResourceError: the disk refused the file.
    """
    if not foreground(result):
        raise VolumeError(f"{result.model} has no class but the background, so there is nothing to outline")
    origin = find_origin(result)
    with silenced():
        store(_structure_set(result, origin), path)


def _structure_set(result: Result, origin: Origin) -> Dataset:
    dataset, identity, now = Dataset(), identify(result, origin), dt.datetime.now().astimezone()
    dataset.update(origin.study)
    _describe_series(dataset, result, identity)
    dataset.FrameOfReferenceUID = origin.frames[0].instance.frame_of_reference
    dataset.PositionReferenceIndicator = None
    dataset.StructureSetLabel = "SEGMENTATION"
    dataset.StructureSetDate, dataset.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.ReferencedFrameOfReferenceSequence = [_referenced_images(origin)]
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    dataset.RTROIObservationsSequence = []
    slices = label_frames(result, origin.frames)
    for number, label in enumerate(foreground(result), start=1):
        dataset.StructureSetROISequence.append(_region(label, number, dataset.FrameOfReferenceUID))
        dataset.ROIContourSequence.append(_contours(label, number, slices, origin.frames))
        dataset.RTROIObservationsSequence.append(_observation(label, number))
    return dataset


def _describe_series(dataset: Dataset, result: Result, identity: Identity) -> None:
    maker = describe_maker(result)
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, identity.uid("RTSTRUCT")
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = identity.uid("RTSTRUCT", "series")
    dataset.SeriesNumber, dataset.InstanceNumber = SERIES_NUMBERS["RTSTRUCT"], 1
    dataset.OperatorsName = None
    dataset.Manufacturer, dataset.ManufacturerModelName = maker.manufacturer, maker.model
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = maker.version, maker.serial
    dataset.file_meta = FileMetaDataset()
    # With explicit representations a text ends at 64 KiB, which the contour of a large organ exceeds.
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def _referenced_images(origin: Origin) -> Dataset:
    series, study, reference = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = origin.instances[0].series_uid
    series.ContourImageSequence = [_image(frame) for frame in origin.frames]
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = origin.study.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    reference.FrameOfReferenceUID = origin.frames[0].instance.frame_of_reference
    reference.RTReferencedStudySequence = [study]
    return reference


def _image(frame: Frame) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID = frame.instance.sop_class
    image.ReferencedSOPInstanceUID = frame.instance.sop_uid
    if frame.instance.frames > 1:
        image.ReferencedFrameNumber = frame.number + 1
    return image


def _region(label: Label, number: int, frame_of_reference: str) -> Dataset:
    region = Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = frame_of_reference
    region.ROIName = long_string(label.name)
    region.ROIGenerationAlgorithm = "AUTOMATIC"
    return region


def _contours(label: Label, number: int, slices: Numbers, frames: tuple[Frame, ...]) -> Dataset:
    region = Dataset()
    region.ReferencedROINumber = number
    region.ROIDisplayColor = list(rgb_of(label))
    contours = [
        _contour(corners, frame)
        for frame, pixels in zip(frames, slices, strict=True)
        for corners in outline(pixels == number)
    ]
    if contours:  # the sequence may be absent, not empty
        region.ContourSequence = contours
    return region


def _contour(corners: NDArray[np.float64], frame: Frame) -> Dataset:
    axes = np.array([frame.along_column, frame.along_row])
    spacing = np.array([frame.row_spacing_mm, frame.column_spacing_mm])
    points = frame.position + (corners * spacing) @ axes
    contour = Dataset()
    contour.ContourImageSequence = [_image(frame)]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{value:.4f}" for value in points.flat]  # a decimal string holds 16 characters
    return contour


def _observation(label: Label, number: int) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.RTROIIdentificationCodeSequence = [type_of(label)]
    observation.RTROIInterpretedType = None
    observation.ROIInterpreter = None
    return observation
