"""What every DICOM export takes from the series, what it leaves there, and which results it refuses."""

import logging
import re
import shutil
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from medseg_dicom import export_report, export_rtstruct, export_seg
from pydicom.datadict import DicomDictionary

from medseg.errors import ResourceError, VolumeError
from medseg.registry import default_registry
from medseg.results import check_exports, find_exports
from medseg.volume import Volume

EXPORTS = {"dicom-seg": export_seg, "dicom-sr": export_report, "rtstruct": export_rtstruct}
# Attributes of type 1 and 2 of the patient and study, which an object of the same study must repeat.
DEMANDED = {
    "PatientName": "DOE^JANE",
    "PatientID": "MRN4711",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "StudyID": "DOE-7",
    "AccessionNumber": "MRN4711",
    "ReferringPhysicianName": "DOE^JOHN",
    "StudyDate": "20200102",
    "StudyTime": "101112",
}
PLANTED = re.compile(rb"DOE|JANE|MRN4711|19700101")
TEXTS = {
    "PN": "DOE^JANE",
    "LO": "DOE JANE",
    "SH": "MRN4711",
    "LT": "JANE",
    "ST": "DOE",
    "UT": "JANE",
    "DA": "19700101",
}


@pytest.fixture(params=EXPORTS)
def export(request, tmp_path):
    """Write a result as one of the objects, and read it again."""

    def write(result, *, read=True):
        EXPORTS[request.param].write(result, tmp_path / "object.dcm")
        return pydicom.dcmread(tmp_path / "object.dcm") if read else None

    return write


def plant(dataset, number):
    """The patient in every tag of text that there is, and in private ones."""
    for tag, (vr, *_) in DicomDictionary.items():
        if vr in TEXTS and tag >> 16 not in (0x0000, 0x0002, 0xFFFE) and tag not in dataset:
            dataset.add_new(tag, vr, TEXTS[vr])
    dataset.private_block(0x0011, "DOE JANE", create=True).add_new(1, "LO", "MRN4711")
    for keyword, value in DEMANDED.items():
        setattr(dataset, keyword, value)
    dataset.preamble = b"MZ DOE JANE".ljust(128, b"\0")


def test_only_what_the_standard_demands_of_the_patient_is_copied(export, make_series, segmented, tmp_path):
    def save(dataset, path, syntax):
        dataset.save_as(path, enforce_file_format=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = make_series(edit=plant, save=save)
    assert len(PLANTED.findall((folder / "IM000.dcm").read_bytes())) > 500
    result, _ = segmented(folder)
    written = export(result)

    assert {keyword: str(written[keyword].value) for keyword in DEMANDED} == DEMANDED
    for keyword in DEMANDED:
        del written[keyword]
    assert not PLANTED.search(str(written).encode())
    assert not any(element.tag.is_private for element in written.iterall())
    assert written.preamble == bytes(128)


def test_nothing_is_said_on_the_way_about_a_patient_least_of_all(
    export, make_series, segmented, capfd, caplog
):
    def strange(dataset, number):
        dataset.PatientName, dataset.PatientID = "DOE JANE=A=B=C=D", "MRN4711" * 20
        dataset.PatientSex = "DOE"
        dataset.add_new("PatientBirthDate", "DA", "DOE JANE")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result, _ = segmented(make_series(edit=strange))
    for name in ("pydicom", "highdicom"):
        caplog.set_level(logging.DEBUG, logger=name)
    caplog.clear()  # pydicom spoke when the phantom was made
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export(result, read=False)

    assert [*(str(warning.message) for warning in caught), caplog.text, *capfd.readouterr()] == ["", "", ""]


def test_dates_and_a_sex_that_are_not_valid_are_left_empty(
    export, make_series, segmented, errors_of, tmp_path
):
    def wrong(dataset, number):
        dataset.add_new("PatientBirthDate", "DA", "19701345")
        dataset.add_new("StudyTime", "TM", "250000")
        dataset.PatientSex = "FEMALE"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = make_series(edit=wrong)
    written = export(segmented(folder)[0])
    assert [written.PatientBirthDate, written.StudyTime, written.PatientSex] == ["", "", ""]
    assert errors_of(tmp_path / "object.dcm") == []


def test_names_in_other_scripts_come_through(export, make_series, segmented, errors_of, tmp_path):
    def russian(dataset, number):
        dataset.SpecificCharacterSet = "ISO_IR 144"
        dataset.PatientName = "Жук^Анна"

    written = export(segmented(make_series(edit=russian))[0])
    assert written.PatientName == "Жук^Анна"
    assert errors_of(tmp_path / "object.dcm") == []


@pytest.mark.parametrize("name", ["33_nonascii", "34_bad_charset", "48_phi_private"])
def test_strange_headers_give_valid_objects(name, export, bad, segmented, errors_of, tmp_path):
    written = export(segmented(bad / name)[0])
    assert errors_of(tmp_path / "object.dcm") == []
    assert written.preamble == bytes(128)


def test_they_belong_to_the_study_and_to_its_space(export, make_series, segmented):
    folder = make_series()
    written, image = export(segmented(folder)[0]), pydicom.dcmread(folder / "IM000.dcm")

    assert written.StudyInstanceUID == image.StudyInstanceUID
    assert written.SeriesInstanceUID != image.SeriesInstanceUID
    if written.Modality != "SR":
        assert written.FrameOfReferenceUID == image.FrameOfReferenceUID


def test_they_tell_which_model_and_weights_made_them(export, make_series, segmented):
    written = export(segmented(make_series())[0])
    assert (written.Manufacturer, written.ManufacturerModelName) == ("medseg", "toy:balls")
    assert written.DeviceSerialNumber == "c0ffee" + "0" * 58


def test_a_chosen_series_in_an_archive_is_found_again(export, bad, segmented, tmp_path):
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((bad / "09_two_series").iterdir()):
            file.write(path, path.name)
    first, second = (export(segmented(archive, series=number)[0]) for number in ("1", "2"))

    uids = {pydicom.dcmread(path).SeriesInstanceUID for path in (bad / "09_two_series").iterdir()}
    assert {uid for uid in uids if uid in str(first)} | {uid for uid in uids if uid in str(second)} == uids
    assert not any(uid in str(first) and uid in str(second) for uid in uids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"source": None},
            "made from a volume in memory. DICOM objects refer to the images of a DICOM series",
        ),
        ({"source": "nifti"}, r"head\.nii\.gz: it is not DICOM. DICOM objects refer to the images"),
        ({"source": "text"}, "notes: it is not DICOM"),
    ],
)
def test_a_result_that_does_not_come_from_dicom_is_refused(
    change, message, export, make_series, segmented, tmp_path
):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("a note")
    nifti = Path(__file__).parents[4] / "sample_volumes" / "itk_t1_head_2x2x3mm.nii.gz"
    shutil.copy(nifti, tmp_path / "head.nii.gz")
    places = {"nifti": tmp_path / "head.nii.gz", "text": tmp_path / "notes"}
    result, _ = segmented(make_series())
    with pytest.raises(VolumeError, match=message):
        export(replace(result, source=places.get(change["source"])))
    assert not (tmp_path / "object.dcm").exists()


def test_a_series_that_is_gone_is_a_sentence(export, make_series, segmented):
    folder = make_series()
    result, _ = segmented(folder)
    shutil.rmtree(folder)
    with pytest.raises(ResourceError, match="series is no longer where it was read from"):
        export(result)


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_a_series_without_the_uids_that_tie_objects_together_is_refused(
    keyword, export, make_series, segmented
):
    def without(dataset, number):
        del dataset[keyword]

    result, _ = segmented(make_series(edit=without))
    with pytest.raises(VolumeError, match=f"series: {keyword} .* is missing"):
        export(result)


def test_a_label_that_is_no_class_is_refused(make_series, segmented, tmp_path):
    result, _ = segmented(make_series(), array=lambda volume: np.full(volume.shape, 9, np.uint8))
    for kind in (export_seg, export_rtstruct):
        with pytest.raises(VolumeError, match="label 9, which toy:balls does not have"):
            kind.write(result, tmp_path / "object.dcm")


def test_a_label_may_be_any_number_however_large(make_series, segmented, tmp_path):
    largest = 2**45
    result, _ = segmented(make_series())
    array = np.where(result.labels.array == 2, largest, result.labels.array.astype(np.int64))
    classes = tuple(replace(label, value=largest) if label.value == 2 else label for label in result.classes)
    large = replace(result, labels=result.labels.with_array(array, kind="labels"), classes=classes)
    for name, given in {"small": result, "large": large}.items():
        export_seg.write(given, tmp_path / f"{name}.dcm")
    small, large = (pydicom.dcmread(tmp_path / f"{name}.dcm") for name in ("small", "large"))
    assert large.PixelData == small.PixelData


def test_a_label_map_that_lies_elsewhere_is_refused(make_series, segmented, tmp_path):
    result, _ = segmented(make_series())
    affine = result.labels.affine.copy()
    affine[:3, 3] += 500
    moved = Volume(result.labels.array, affine, kind="labels")
    for kind in (export_seg, export_rtstruct):
        with pytest.raises(VolumeError, match="nothing of the label map lies on the images"):
            kind.write(replace(result, labels=moved), tmp_path / "object.dcm")


def test_an_image_of_another_format_is_refused_before_the_work(make_series):
    nifti = Path(__file__).parents[4] / "sample_volumes" / "itk_t1_head_2x2x3mm.nii.gz"
    for name in EXPORTS:
        exports = find_exports([name])
        with pytest.raises(
            VolumeError, match=rf"builtin:nifti, and dicom:{name} refers to images of dicom:dicom"
        ):
            check_exports(exports, nifti)
        check_exports(exports, make_series())


def test_the_registry_knows_them_by_name():
    offered = {r.component.name: r.component.suffix for r in default_registry().components("export")}
    assert {name: offered[name] for name in EXPORTS} == {
        "dicom-seg": ".seg.dcm",
        "dicom-sr": ".sr.dcm",
        "rtstruct": ".rtstruct.dcm",
    }
