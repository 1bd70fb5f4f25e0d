"""One folder may hold many series, and one series many stacks: each is listed, and one is chosen."""

import shutil

import numpy as np
import pytest
from medseg_dicom.listing import SeriesSummary, list_series
from medseg_dicom.reader import read

from medseg.errors import VolumeError


def marked(uid, shift=0, **tags):
    """Give slices an own SOPInstanceUID, other values and further tags."""

    def edit(dataset, number):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{uid}.{number + 1}"
        dataset.RescaleIntercept = -1024 + shift
        for keyword, value in tags.items():
            setattr(dataset, keyword, value(number) if callable(value) else value)

    return edit


@pytest.fixture
def together(make_series, tmp_path):
    """Several series in one folder, their file names interleaved."""

    def make(*edits, geometries=None):
        folder = tmp_path / "together"
        folder.mkdir()
        for index, edit in enumerate(edits):
            source = make_series(f"s{index}", edit=edit, **((geometries or {}).get(index, {})))
            for path in sorted(source.iterdir()):
                shutil.copy(path, folder / f"{path.stem}_{index}.dcm")
        return folder

    return make


def test_two_series_are_listed_with_what_tells_them_apart(together):
    folder = together(
        marked(1), marked(2, 300, SeriesInstanceUID="1.2.3.77", SeriesNumber=2), geometries={1: {"gap": 2.0}}
    )
    first, second = list_series(folder)
    assert (first.number, first.modality, first.images, first.spacing_mm) == (1, "CT", 8, (1.5, 1.25, 3.0))
    assert (second.number, second.uid_tail, second.spacing_mm) == (2, "1.2.3.77", (1.5, 1.25, 2.0))
    assert not first.refusal
    assert second.summary == "CT, 20 x 16, 8 images, 1.5 x 1.25 x 2 mm, UID ...1.2.3.77"


@pytest.mark.parametrize("wanted", ["2", "3.77"])
def test_a_series_is_chosen_by_number_or_by_the_end_of_its_uid(together, wrong_by, wanted):
    folder = together(marked(1), marked(2, 300, SeriesInstanceUID="1.2.3.77", SeriesNumber=2))
    volume = read(folder, series=wanted)
    assert wrong_by(volume, offset=300) <= 1
    assert "Series 2 of 2 was read, as you chose." in volume.notes


@pytest.mark.parametrize("wanted", ["3", "77.1", "1.2"])
def test_a_choice_that_fits_not_exactly_one_series_is_refused(together, wanted):
    first = marked(1, SeriesInstanceUID="1.2.3.1.2")
    folder = together(first, marked(2, SeriesInstanceUID="1.2.3.2.1.2", SeriesNumber=2))
    with pytest.raises(VolumeError, match=rf"--allow series={wanted} fits (none|2) of 2 series: 1: CT"):
        read(folder, series=wanted)


@pytest.mark.parametrize(
    ("tags", "label"),
    [
        ({"EchoTime": 20}, "echo time 20"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, "image type 2 of 2"),
        ({"DiffusionBValue": 1000.0}, "b-value 1000"),
        ({"DiffusionGradientOrientation": [0.0, 0.0, 1.0]}, "gradient direction 2 of 2"),
    ],
)
def test_images_of_one_place_are_split_by_what_differs(together, wrong_by, tags, label):
    folder = together(marked(1, EchoTime=10) if "EchoTime" in tags else marked(1), marked(2, 300, **tags))
    assert [entry.label for entry in list_series(folder)][1] == label
    with pytest.raises(VolumeError, match=f"2 series; wanted one: .*{label}"):
        read(folder)
    assert wrong_by(read(folder, series="2"), offset=300) <= 1


@pytest.mark.parametrize(
    "tags",
    [
        lambda time: {"TemporalPositionIdentifier": time},
        lambda time: {"TriggerTime": 100 * time},
        lambda time: {"FrameReferenceTime": 5000 * time},
        lambda time: {"AcquisitionNumber": time},
        lambda time: {"AcquisitionTime": f"12000{time}"},
        lambda time: {"ContentTime": f"12000{time}.5"},
    ],
    ids=["temporal", "trigger", "reference", "acquisition", "acquisition time", "content time"],
)
def test_time_points_are_counted_and_chosen(together, wrong_by, tags):
    folder = together(*(marked(time, 1000 * (time - 1), **tags(time)) for time in (1, 2, 3)))
    (entry,) = list_series(folder)
    assert (entry.images, entry.time_points) == (24, 3)
    with pytest.raises(
        VolumeError, match=r"3 time points, 24 images; wanted one.*--allow timepoint=1 \(to 3\)"
    ):
        read(folder)
    for time in (1, 2, 3):
        volume = read(folder, timepoint=time)
        assert wrong_by(volume, offset=1000 * (time - 1)) <= 1
        assert f"Time point {time} of 3." in volume.notes
    with pytest.raises(VolumeError, match=r"timepoint=4 was given, but there are 3 time points"):
        read(folder, timepoint=4)


def test_echoes_over_time_are_split_by_both(together, wrong_by):
    folder = together(
        *(
            marked(f"{echo}.{time}", 100 * echo + 10 * time, EchoTime=echo, TemporalPositionIdentifier=time)
            for echo in (1, 2)
            for time in (1, 2)
        )
    )
    assert [(entry.label, entry.time_points) for entry in list_series(folder)] == [
        ("echo time 1", 2),
        ("echo time 2", 2),
    ]
    assert wrong_by(read(folder, series="2", timepoint=1), offset=210) <= 1


@pytest.mark.parametrize("shift", [1.5, 36.5], ids=["interleaved", "apart"])
def test_two_acquisitions_of_one_uid_are_two_entries(together, read_world, shift):
    second = marked(2, AcquisitionNumber=2)
    folder = together(marked(1), second, geometries={1: {"origin": (-15, -10, -12 + shift)}})
    assert [entry.label for entry in list_series(folder)] == ["acquisition 1", "acquisition 2"]
    assert read_world(folder, series="2").affine[2, 3] == pytest.approx(-12 + shift)


def test_one_stack_whose_acquisitions_follow_each_other_stays_one(make_series, read_world):
    volume = read_world(make_series(edit=marked(1, AcquisitionNumber=lambda number: 1 + number // 4)))
    assert volume.shape == (20, 16, 8)


def test_a_tag_that_varies_by_the_slice_splits_nothing(make_series, read_world):
    edit = marked(
        1, AcquisitionNumber=lambda n: n, ContentTime=lambda n: f"1200{n:02d}", TriggerTime=lambda n: n
    )
    assert read_world(make_series(edit=edit)).shape == (20, 16, 8)


def test_times_do_not_hide_a_missing_slice(make_series):
    folder = make_series(edit=marked(1, ContentTime=lambda n: f"12000{n // 2}"))
    (folder / "IM004.dcm").unlink()
    with pytest.raises(VolumeError, match="1 slice is missing"):
        read(folder)


def test_two_views_of_one_uid_are_two_entries(together, read_world):
    coronal = {"along_row": (1, 0, 0), "along_column": (0, 0, -1)}
    folder = together(marked(1), marked(2), geometries={1: coronal})
    assert [entry.label for entry in list_series(folder)] == ["view 1 of 2", "view 2 of 2"]
    read_world(folder, series="2")


def test_localizers_are_set_aside_and_can_be_listed(together, read_world):
    scout = marked(2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="1.2.3.99")
    folder = together(marked(1), scout, geometries={1: {"count": 2, "gap": 40.0}})
    assert "localizers or single images of another orientation (2)" in " ".join(read_world(folder).notes)
    assert {entry.label for entry in list_series(folder)} == {"", "localizer"}


def test_a_series_with_a_broken_image_is_listed_with_the_reason(make_series):
    folder = make_series(edit=marked(1, RescaleSlope=lambda n: int(n != 3)))
    (entry,) = list_series(folder)
    assert isinstance(entry, SeriesSummary)
    assert (entry.images, entry.spacing_mm) == (8, None)
    assert entry.refusal.startswith("file IM003.dcm: RescaleSlope")


def test_junk_is_set_aside_by_number_and_reason(make_series, read_world, bad):
    folder = make_series()
    (folder / "a.dcm").write_text("a note")
    (folder / "b.dcm").write_bytes(b"")
    (folder / "c.dcm").write_text("another note")
    (folder / "thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 50)
    (folder / "sub").mkdir()
    (folder / "sub" / "d.zip").write_bytes((bad / "05_nested.zip").read_bytes())
    note = next(note for note in read_world(folder).notes if note.startswith("Set aside"))
    for expected in (
        "2 files (text, not DICOM)",
        "1 file (empty)",
        "1 file (not DICOM)",
        "1 file (a zip",
    ):
        assert expected in note


def test_documents_among_the_images_are_set_aside(make_series, read_world):
    import pydicom.data as pydicom_data

    folder = make_series()
    for name in ("test-SR.dcm", "rtplan.dcm", "rtstruct.dcm"):
        shutil.copy(pydicom_data.get_testdata_file(name), folder / name)
    shutil.copy(pydicom_data.get_testdata_file("DICOMDIR"), folder / "DICOMDIR")
    note = next(note for note in read_world(folder).notes if note.startswith("Set aside"))
    assert "1 file (DICOMDIR; the files themselves are looked at)" in note
    assert "SR Storage, no image" in note
    read_world(folder / "DICOMDIR")


def test_a_dicomdir_is_not_followed_out_of_its_folder(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / "a" / "secret.dcm").write_bytes(b"")
    (folder / "DICOMDIR").write_bytes(b"../secret.dcm")
    with pytest.raises(VolumeError) as caught:
        read(folder / "DICOMDIR")
    assert "secret" not in str(caught.value)


def test_the_last_slice_missing_is_noted_by_the_number_that_should_be_there(make_series):
    folder = make_series(edit=marked(1, ImagesInAcquisition=8))
    (folder / "IM007.dcm").unlink()
    assert any("is 8, but 7 images are here" in note for note in read(folder).notes)


def test_files_in_any_order_and_under_any_number_give_the_same_volume(make_series):
    plain = read(make_series("plain"))
    shuffled = read(make_series("shuffled", edit=marked(1, InstanceNumber=lambda n: (5 * n) % 8)))
    assert np.array_equal(plain.array, shuffled.array)
    assert np.array_equal(plain.affine, shuffled.affine)
