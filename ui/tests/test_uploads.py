"""What was dropped, as cases."""

import pytest
from medseg_ui.storage import Storage
from medseg_ui.uploads import Uploads


@pytest.fixture
def uploads(tmp_path):
    return Uploads(Storage(tmp_path / "work"), suffixes=(".nii.gz", ".nii", ".zip"))


def drop(uploads, *names):
    upload = uploads.open("anna", "batch")
    for number, name in enumerate(names):
        path = upload.place(number, name)
        path.write_bytes(b"x")
        upload.add(path, name, 1)
    return uploads.take("anna", "batch")


def test_each_volume_in_a_file_is_a_case(uploads):
    arrivals = drop(uploads, "a.nii", "folder/b.NII.GZ", "c.zip")
    assert [(arrival.title, "".join(arrival.path.suffixes)) for arrival in arrivals] == [
        ("a", ".nii"),
        ("b.NII.GZ", ".nii.gz"),
        ("c", ".zip"),
    ]


def test_the_slices_of_each_folder_are_a_case(uploads):
    arrivals = drop(uploads, "study/t1/1.dcm", "study/t1/2.dcm", "study/t2/IM0")
    assert [(arrival.title, len(list(arrival.path.iterdir()))) for arrival in arrivals] == [
        ("t1", 2),
        ("t2", 1),
    ]


def test_an_upload_is_taken_once_and_by_its_owner(uploads):
    assert len(drop(uploads, "a.nii")) == 1
    assert uploads.take("anna", "batch") == []
    uploads.open("anna", "other")
    assert uploads.take("boris", "other") == []
