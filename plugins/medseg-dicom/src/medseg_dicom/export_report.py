"""A result as a measurement report: the volume of each label in mL, and metrics, for its segment.

Reference: DICOM PS3.16, TID 1500 (measurement report), TID 1411 (volumetric measurements), CID 281
(similarity measure).
"""

import math
from pathlib import Path

import highdicom.sr as hdsr
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from medseg.errors import VolumeError
from medseg.plugin import Label, MetricValues, Result
from medseg_dicom.export_seg import Encoding, refer_to_segmentation
from medseg_dicom.identity import (
    SERIES_NUMBERS,
    Identity,
    Maker,
    describe_maker,
    identify,
    long_string,
    store,
)
from medseg_dicom.origin import Origin, find_origin
from medseg_dicom.quiet import silenced
from medseg_dicom.terms import OWN_SCHEME, category_of, foreground, track, type_of

_PROCEDURES = {
    "CT": hdsr.CodedConcept("77477000", "SCT", "Computed Tomography X-Ray"),
    "MR": hdsr.CodedConcept("113091000", "SCT", "Magnetic Resonance Imaging"),
    "PT": hdsr.CodedConcept("82918005", "SCT", "Positron emission tomography"),
}
Measurements = hdsr.VolumetricROIMeasurementsAndQualitativeEvaluations
_DIGITS = 6
"""Significant digits of a value; a voxel more or less among a million still shows."""
_METRICS = {
    "dice": hdsr.CodedConcept("130920", "DCM", "Dice Similarity Coefficient"),
    "jaccard": hdsr.CodedConcept("130921", "DCM", "Jaccard Index"),
}
"""Metrics by the name they have in medseg, where the standard has a code; the others get one of our own."""
_UNITS = {
    "": hdsr.CodedConcept("1", "UCUM", "no units"),
    "mm": hdsr.CodedConcept("mm", "UCUM", "millimeter"),
    "ml": hdsr.CodedConcept("mL", "UCUM", "milliliter"),
}
_SHORT_STRING = 16  # of the representation SH, in which code values are


def write(result: Result, path: str | Path, *, encoding: Encoding = "binary") -> None:
    """Write the report; each measurement refers to its segment in the segmentation of the same result.

    That segmentation is not written here: export it too, or the references lead nowhere.

    Args:
        result: of a model that was given a DICOM series.
        path: the file.
        encoding: of the segmentation that it refers to.

    Raises:
        VolumeError: the result does not come from a DICOM series.
        ResourceError: the disk refused the file.
    """
    if not foreground(result):
        raise VolumeError(f"{result.model} has no class but the background, so there is nothing to measure")
    origin = find_origin(result)
    with silenced():
        store(_report(result, origin, encoding), path)


def _report(result: Result, origin: Origin, encoding: Encoding) -> Dataset:
    maker, identity = describe_maker(result), identify(result, origin)
    segmentation = refer_to_segmentation(identity, encoding)
    counts = np.bincount(result.labels.array.ravel())
    groups = [
        Measurements(
            tracking_identifier=hdsr.TrackingIdentifier(uid=track(identity, label), identifier=label.name),
            referenced_segment=hdsr.ReferencedSegment(
                sop_class_uid=segmentation.SOPClassUID,
                sop_instance_uid=segmentation.SOPInstanceUID,
                segment_number=number,
                source_series=hdsr.SourceSeriesForSegmentation(origin.instances[0].series_uid),
            ),
            finding_type=type_of(label),
            finding_category=category_of(label),
            algorithm_id=hdsr.AlgorithmIdentification(name=maker.model, version=maker.version),
            measurements=[
                _volume(label, counts, result.labels.voxel_ml),
                # One that is infinite or NaN is left out: not every reader takes one without a value.
                *(
                    _metric(m, label)
                    for m in result.metrics
                    if math.isfinite(m.values.get(label.value, math.nan))
                ),
            ],
        )
        for number, label in enumerate(foreground(result), start=1)
    ]
    return hdsr.ComprehensiveSR(
        evidence=_evidence(origin, segmentation),
        content=_content(groups, maker, identity, origin.instances[0].modality),
        series_instance_uid=identity.uid("SR", encoding, "series"),
        series_number=SERIES_NUMBERS["SR"],
        sop_instance_uid=identity.uid("SR", encoding),
        instance_number=1,
        manufacturer=maker.manufacturer,
        manufacturer_model_name=maker.model,
        software_versions=maker.version,
        device_serial_number=maker.serial,
        is_complete=True,
        specific_character_set=origin.study.SpecificCharacterSet,
    )


def _volume(label: Label, counts: "np.typing.NDArray[np.intp]", voxel_ml: float) -> hdsr.Measurement:
    voxels = int(counts[label.value]) if label.value < len(counts) else 0
    return hdsr.Measurement(
        name=codes.SCT.Volume,
        value=_rounded(voxels * voxel_ml),
        unit=_UNITS["ml"],
        method=codes.DCM.SumOfSegmentedVoxelMethodForVolume,
    )


def _metric(metric: MetricValues, label: Label) -> hdsr.Measurement:
    name = metric.name.rpartition(":")[2]  # without the plugin that computed it
    if metric.unit not in _UNITS:
        raise VolumeError(f"metric {metric.name} is in {metric.unit!r}; wanted 'mm', 'ml', or '' for a ratio")
    return hdsr.Measurement(
        name=_METRICS.get(name) or hdsr.CodedConcept(name[:_SHORT_STRING], OWN_SCHEME, long_string(name)),
        value=_rounded(metric.values[label.value]),
        unit=_UNITS[metric.unit],
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _content(
    groups: list[Measurements], maker: Maker, identity: Identity, modality: str
) -> hdsr.MeasurementReport:
    observer = hdsr.DeviceObserverIdentifyingAttributes(
        uid=identity.uid("device"),
        manufacturer_name=maker.manufacturer,
        model_name=maker.model,
        serial_number=maker.serial,
    )
    return hdsr.MeasurementReport(
        observation_context=hdsr.ObservationContext(
            observer_device_context=hdsr.ObserverContext(
                observer_type=codes.DCM.Device, observer_identifying_attributes=observer
            )
        ),
        procedure_reported=_PROCEDURES[modality],
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )


def _evidence(origin: Origin, segmentation: Dataset) -> list[Dataset]:
    """All that the report refers to, each with the study that the report belongs to."""
    images = []
    for instance in origin.instances:
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = instance.sop_class, instance.sop_uid
        image.SeriesInstanceUID = instance.series_uid
        images.append(image)
    for dataset in (evidence := [*images, segmentation]):
        dataset.update(origin.study)
    return evidence
