"""Longer visits: runs that are stopped or outlive a reload, other people, hostile files, DICOM."""

import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

pytestmark = pytest.mark.ui

HOSTILE = {
    "climbs.zip": [("../../climbed.dcm", b"x")],
    "empty.zip": [],
    "bomb.zip": [(f"{n}.dcm", bytes(30_000_000)) for n in range(20)],
}


def test_a_run_can_be_stopped_and_leaves_no_result(visitor, samples):
    visitor.open(samples / "s1_t1_head_defaced.nii.gz")
    visitor.run_model()
    visitor.page.get_by_role("button", name="Cancel").click()
    visitor.page.get_by_text("cancelled").wait_for()
    assert visitor.page.locator("a.ms-download").count() == 0


def test_a_run_outlives_a_reload_and_its_result_appears_by_itself(visitor, samples):
    visitor.open(samples / "itk_t1_head_2x2x3mm.nii.gz")
    visitor.run_model()
    visitor.page.get_by_role("button", name="Cancel").wait_for()
    visitor.page.reload()
    visitor.wait_for_labels()


def test_a_rerun_fetches_no_volume_again(visitor, samples):
    visitor.open(samples / "itk_t1_head_2x2x3mm.nii.gz")
    visitor.run_model()
    visitor.wait_for_labels()
    fetched = []
    visitor.page.on("request", lambda request: "/medseg/file/" in request.url and fetched.append(request.url))
    visitor.page.get_by_role("button", name="Make STL").click()
    visitor.page.locator("a.ms-download", has_text="STL").wait_for()
    assert fetched == []


def test_another_visitor_sees_no_image_no_job_and_no_file(new_visitor, samples):
    anna = new_visitor()
    urls = []
    anna.page.on("request", lambda request: "/medseg/file/" in request.url and urls.append(request.url))
    anna.open(samples / "itk_t1_head_2x2x3mm.nii.gz")
    anna.run_model()
    boris = new_visitor()
    boris.page.goto(anna.page.url)
    boris.page.get_by_role("heading", name="Sample volumes").wait_for()
    assert boris.page.get_by_role("button", name="Cancel").count() == 0
    assert boris.page.locator(".ms-root").count() == 0
    assert anna.context.request.get(urls[0]).status == 200
    assert boris.context.request.get(urls[0]).status == 404
    anna.wait_for_labels()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_with_a_sentence_and_the_viewer_goes_on(
    visitor, tmp_path, samples, server, name
):
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in HOSTILE[name]:
            archive.writestr(member, content)
    visitor.upload(tmp_path / name)
    visitor.page.get_by_text("Nothing was guessed").wait_for()
    assert "Traceback" not in visitor.page.content()
    assert not list(Path(server.folder).rglob("climbed*"))
    visitor.open(samples / "itk_t1_head_2x2x3mm.nii.gz")


def test_a_refused_image_is_read_with_the_permission_that_its_reader_names(visitor, tmp_path):
    voxels = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    voxels[3, 3, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "nan.nii.gz")
    visitor.upload(tmp_path / "nan.nii.gz")
    visitor.page.get_by_role("button", name="Read it with nonfinite = 0").click()
    visitor.page.wait_for_selector(".ms-root[data-volume]")


def test_a_zipped_series_becomes_a_dicom_segmentation_of_that_series(visitor, tmp_path, samples):
    files = sorted((samples / "dicom" / "head_pd_raw").glob("*.dcm"))
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for file in files:
            archive.write(file, file.name)
    visitor.open(tmp_path / "series.zip")
    visitor.run_model()
    visitor.wait_for_labels()
    visitor.page.get_by_role("button", name="Make DICOM SEG").click()
    visitor.page.locator("a.ms-download", has_text="DICOM SEG").wait_for()
    written = pydicom.dcmread(visitor.download("DICOM SEG").path())
    source = pydicom.dcmread(files[0])
    assert written.SOPClassUID == pydicom.uid.SegmentationStorage
    assert written.StudyInstanceUID == source.StudyInstanceUID
    assert np.count_nonzero(written.pixel_array) > 0


def test_two_results_are_compared_side_by_side_and_their_crosses_move_together(visitor, samples):
    page = visitor.page
    visitor.open(samples / "itk_t1_head_2x2x3mm.nii.gz")
    visitor.run_model()
    visitor.wait_for_labels()
    page.click("[data-name=axial]")
    page.click("[data-name=edit]")
    visitor.drag((0.45, 0.2), (0.55, 0.25))
    page.click("[data-name=save]")
    page.locator("button", has_text="brain-mask, edited").wait_for()
    page.get_by_role("link", name="Compare").click()
    page.wait_for_function("document.querySelectorAll('.ms-root[data-labels]').length === 2")
    page.locator(".ms-stage canvas").first.click(position={"x": 120, "y": 120})
    places = "[...document.querySelectorAll('.ms-root')].map((root) => root.viewer.scene.place.world)"
    first, second = page.evaluate(places)
    assert np.allclose(first, second, atol=1e-3)
    page.get_by_text("Error map").click()
    page.locator(".ms-name", has_text="only in brain-mask, edited").wait_for()
