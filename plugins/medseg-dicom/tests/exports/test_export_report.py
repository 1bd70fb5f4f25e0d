"""Measurement reports: valid, the right mL, for the segments of the segmentation of the same result."""

import json
from dataclasses import replace

import highdicom as hd
import numpy as np
import pydicom
import pytest
from highdicom.sr import CodedConcept
from medseg_dicom import export_seg
from medseg_dicom.export_report import write

from medseg.errors import VolumeError
from medseg.plugin import Label, MetricValues


@pytest.fixture
def path(tmp_path):
    return tmp_path / "case.sr.dcm"


def groups_of(path):
    return hd.sr.srread(path).content.get_volumetric_roi_measurement_groups()


def ml_of(group):
    (volume,) = group.get_measurements(name=CodedConcept("118565006", "SCT", "Volume"))
    assert volume.unit == CodedConcept("mL", "UCUM", "milliliter")
    return volume.value


def test_it_is_valid(make_series, make_enhanced, segmented, errors_of, path):
    for source in (make_series(), make_enhanced()):
        write(segmented(source)[0], path)
        assert errors_of(path) == []


def test_volumes_are_those_of_the_label_map_in_ml(make_series, segmented, path):
    result, _ = segmented(make_series())
    write(result, path)

    assert [group.finding_type.meaning for group in groups_of(path)] == ["Brain", "Lesion"]
    for number, group in enumerate(groups_of(path), start=1):
        voxels = (result.labels.array == number).sum()
        assert ml_of(group) == pytest.approx(voxels * 1.5 * 1.25 * 3.0 / 1000, rel=1e-5)


def test_dcmqi_reads_the_same_volumes(make_series, segmented, dcmqi, tmp_path, path):
    result, _ = segmented(make_series())
    write(result, path)
    dcmqi("tid1500reader", "--inputDICOM", path, "--outputMetadata", tmp_path / "report.json")

    measurements = json.loads((tmp_path / "report.json").read_text())["Measurements"]
    assert [m["ReferencedSegment"] for m in measurements] == [1, 2]
    assert [m["TrackingIdentifier"] for m in measurements] == ["brain", "lesion"]
    for measurement, group in zip(measurements, groups_of(path), strict=True):
        (item,) = measurement["measurementItems"]
        assert float(item["value"]) == ml_of(group)
        assert item["units"]["CodeValue"] == "mL"


@pytest.mark.parametrize("encoding", ["binary", "labelmap", "fractional"])
def test_it_refers_to_the_segments_of_the_segmentation_of_the_same_result(
    encoding, make_series, segmented, tmp_path, path
):
    result, _ = segmented(make_series())
    write(result, path, encoding=encoding)
    export_seg.write(result, tmp_path / "case.seg.dcm", encoding=encoding)
    segmentation = hd.seg.segread(tmp_path / "case.seg.dcm")

    for number, group in enumerate(groups_of(path), start=1):
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == segmentation.SOPInstanceUID
        assert reference.referenced_sop_class_uid == segmentation.SOPClassUID
        assert reference.referenced_segment_numbers == [number]
        description = segmentation.get_segment_description(number)
        assert (group.tracking_uid, group.tracking_identifier) == (
            description.tracking_uid,
            description.tracking_id,
        )
    evidence = {
        (series.SeriesInstanceUID, instance.ReferencedSOPInstanceUID)
        for study in pydicom.dcmread(path).CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert (segmentation.SeriesInstanceUID, segmentation.SOPInstanceUID) in evidence


def test_another_result_on_the_same_series_has_other_segments(make_series, segmented, tmp_path):
    result, _ = segmented(make_series())
    other = replace(result, labels=result.labels.with_array(2 * (result.labels.array > 0)))

    def referenced(result, name):
        write(result, tmp_path / name)
        return groups_of(tmp_path / name)[0].referenced_segment.referenced_sop_instance_uid

    assert referenced(result, "a.dcm") != referenced(other, "b.dcm")


def test_an_absent_label_measures_0_ml(make_series, segmented, errors_of, path):
    result, _ = segmented(make_series(), array=lambda volume: np.zeros(volume.shape, np.uint8))
    write(result, path)

    assert [ml_of(group) for group in groups_of(path)] == [0, 0]
    assert errors_of(path) == []


def test_names_and_terms_of_any_length_and_script_are_valid(make_series, segmented, errors_of, path):
    name = "Ångström\\Жук\n" + "x" * 80
    classes = (
        Label(value=0, name="background", colour="#000000"),
        Label(value=1, name=name, colour="#ffffff"),
    )
    result, _ = segmented(make_series(), classes=classes, array=lambda v: np.ones(v.shape, np.uint8))
    write(result, path)

    assert errors_of(path) == []
    (group,) = groups_of(path)
    assert group.finding_type.meaning.startswith("Ångström/Жук x")


METRICS = (
    MetricValues(name="dice", values={0: 0.99, 1: 0.912345678, 2: float("nan")}),
    MetricValues(name="builtin:jaccard", values={1: 0.83}),
    MetricValues(name="hausdorff-95-percentile", values={1: 2.5, 2: float("inf")}, unit="mm"),
)


def test_metrics_stand_beside_the_volumes_with_the_standards_codes(
    make_series, segmented, errors_of, dcmqi, tmp_path, path
):
    result, _ = segmented(make_series())
    write(replace(result, metrics=METRICS), path)

    assert errors_of(path) == []
    brain, lesion = ({m.name.meaning: m for m in group.get_measurements()} for group in groups_of(path))
    dice = brain["Dice Similarity Coefficient"]
    assert (dice.name.value, dice.name.scheme_designator) == ("130920", "DCM")
    assert dice.value == 0.912346
    assert brain["Jaccard Index"].value == 0.83
    distance = brain["hausdorff-95-percentile"]
    assert (distance.value, distance.unit.value) == (2.5, "mm")
    assert distance.name == CodedConcept("hausdorff-95-per", "99MEDSEG", "hausdorff-95-percentile")
    assert list(lesion) == ["Volume"]  # its Dice is not defined, its distance is infinite

    dcmqi("tid1500reader", "--inputDICOM", path, "--outputMetadata", tmp_path / "report.json")
    first = json.loads((tmp_path / "report.json").read_text())["Measurements"][0]
    assert [item["quantity"]["CodeMeaning"] for item in first["measurementItems"]] == list(brain)


def test_a_metric_in_an_unknown_unit_is_refused(make_series, segmented, path):
    result, _ = segmented(make_series())
    with pytest.raises(VolumeError, match="metric length is in 'furlong'; wanted 'mm', 'ml', or ''"):
        write(replace(result, metrics=(MetricValues(name="length", values={1: 2.0}, unit="furlong"),)), path)


def test_it_is_not_signed_by_anybody(make_series, segmented, path):
    write(segmented(make_series())[0], path)
    report = pydicom.dcmread(path)
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")


def test_a_model_without_classes_is_refused(make_series, segmented, path):
    result, _ = segmented(make_series())
    with pytest.raises(VolumeError, match="nothing to measure"):
        write(replace(result, classes=result.classes[:1]), path)
