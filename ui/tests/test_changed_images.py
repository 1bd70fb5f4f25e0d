"""A file that is replaced after it was opened: what is made of it would not fit what is shown."""

import shutil

import numpy as np
import pydicom
import pytest
from medseg_ui import tasks

import medseg
from medseg import CancelToken, Volume, VolumeError

MODEL = "classics:otsu"
CHANGED = "is another than when it was opened.*open it again"


def image(bright, spacing=2.0):
    """Noise with a bright cube that begins at a plane."""
    array = np.random.default_rng(0).normal(0, 3, (16, 16, 16)).astype(np.float32)
    array[bright : bright + 5, 4:9, 4:9] += 100
    return Volume(array, np.diag([spacing, 2.0, 3.0, 1.0]))


@pytest.fixture
def opened(tmp_path):
    """The channel of a task, of an image that was read once."""
    source = tmp_path / "image.nii.gz"
    medseg.save(image(1), source)
    return open_image(tmp_path, source)


def open_image(folder, source):
    (folder / "case").mkdir(exist_ok=True)
    facts = tasks.read(folder / "case", source=str(source), options={})["facts"]
    return {"source": str(source), "options": {}, "fingerprint": facts["fingerprint"]}


def segment(folder, channel):
    (folder / "result").mkdir()
    return tasks.segment(
        folder / "result",
        channels=[channel],
        volume=str(folder / "case" / "volume.nii"),
        model=MODEL,
        options={},
        execution={},
        force=True,
        progress=lambda event: None,
        cancel=CancelToken(),
    )


def test_an_image_that_is_as_it_was_is_segmented(opened, tmp_path):
    medseg.save(image(1), opened["source"])  # written anew, but the same
    (entry,) = segment(tmp_path, opened)["entries"]
    assert entry["mean"] > 50


@pytest.mark.parametrize("other", [image(10), image(1, spacing=3.0)])
def test_another_image_under_the_name_is_not_segmented_nor_checked(opened, tmp_path, other):
    medseg.save(other, opened["source"])
    with pytest.raises(VolumeError, match=CHANGED):
        segment(tmp_path, opened)
    assert list((tmp_path / "result").iterdir()) == []
    with pytest.raises(VolumeError, match=CHANGED):
        tasks.check_channels(tmp_path, channels=[opened], model=MODEL)


def test_a_series_that_changed_gets_no_object_that_refers_to_it(samples, tmp_path):
    series = tmp_path / "series"
    shutil.copytree(samples / "dicom" / "head_pd_raw", series)
    opened = open_image(tmp_path, series)
    shown = medseg.load(tmp_path / "case" / "volume.nii")
    labels = shown.with_array((shown.array > 100).astype(np.uint8), kind="labels")
    medseg.save(labels, tmp_path / "labels.nii.gz")

    def export():
        return tasks.export(
            tmp_path,
            name="dicom:dicom-seg",
            file="result.dcm",
            labels=str(tmp_path / "labels.nii.gz"),
            source=opened["source"],
            read_options={},
            fingerprint=opened["fingerprint"],
            model="toy:threshold",
            classes=[{"value": 1, "name": "head", "colour": "#ff0000"}],
            provenance={"weights_sha256": "0" * 64},
        )

    export()
    assert (tmp_path / "result.dcm").exists()
    (tmp_path / "result.dcm").unlink()
    path = min(series.iterdir())
    dataset = pydicom.dcmread(path)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(path)
    with pytest.raises(VolumeError, match=CHANGED):
        export()
    assert not (tmp_path / "result.dcm").exists()
