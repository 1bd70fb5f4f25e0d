import json
import re

import nibabel
import numpy as np
import pytest

from medseg.formats import load
from medseg.predict import load_model
from medseg.provenance import Stopwatch, describe_input, volume_sha256
from medseg.volume import Volume

VALUES = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
HEAD = Volume(VALUES, np.diag([2.0, 2.0, 3.0, 1.0]))


@pytest.mark.usefixtures("tiny")
def test_no_text_of_the_file_and_no_path_is_in_the_provenance(tmp_path):
    image = nibabel.Nifti1Image(VALUES, HEAD.affine)
    image.header["descrip"] = b"SECRET description"
    image.header["aux_file"] = b"SECRET aux"
    image.header["intent_name"] = b"SECRET intent"
    image.header["db_name"] = b"SECRET db"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"SECRET comment"))
    folder = tmp_path / "SECRET^PATIENT"
    folder.mkdir()
    # .nii that is gzipped, and bytes behind the voxels: the reader has something to note.
    nibabel.save(image, folder / "SECRET_1970.nii.gz")
    (folder / "SECRET_1970.nii.gz").rename(folder / "SECRET_1970.nii")
    result = load_model("tiny:bright").segment(folder / "SECRET_1970.nii")
    text = json.dumps(dict(result.provenance))
    assert result.provenance["input"][0]["notes"] != []
    assert "SECRET" not in text
    assert str(tmp_path) not in text
    assert not re.search(r"[\"' ](/|~|[A-Z]:\\)\w", text), "a path of some other kind"


@pytest.mark.usefixtures("tiny")
def test_it_says_enough_to_make_the_result_again():
    model = load_model("tiny:bright")
    record = model.segment(HEAD).provenance
    assert record["model"] == "tiny:bright"
    assert record["weights_sha256"] == model.description.weights.sha256
    assert record["plugins"]["medseg-tiny"] == "0.3"
    assert record["input"] == [describe_input(HEAD)]
    assert record["settings"]["input"]["spacing_mm"] == [1, 1, 1]
    assert {"medseg", "torch", "python", "device", "threads", "seconds", "intended_use"} <= set(record)
    assert json.loads(json.dumps(dict(record))) == dict(record)


def test_the_hash_is_of_the_voxels_in_space_whatever_the_memory_or_file(tmp_path):
    nibabel.save(nibabel.Nifti1Image(VALUES, HEAD.affine), tmp_path / "a.nii.gz")
    same = [
        load(tmp_path / "a.nii.gz"),
        Volume(np.asfortranarray(VALUES), HEAD.affine),
        Volume(VALUES.astype(">i2"), HEAD.affine),
    ]
    assert {volume_sha256(volume) for volume in same} == {volume_sha256(HEAD)}


@pytest.mark.parametrize(
    "other",
    [
        Volume(VALUES + np.int16(1), HEAD.affine),
        Volume(VALUES.astype(np.int32), HEAD.affine),
        Volume(VALUES.reshape(4, 3, 5), HEAD.affine),
        Volume(VALUES, np.diag([2.0, 2.0, 3.001, 1.0])),
    ],
)
def test_another_volume_has_another_hash(other):
    assert volume_sha256(other) != volume_sha256(HEAD)


def test_a_stopwatch_adds_up_the_times_of_a_stage(monkeypatch):
    ticks = iter([0.0, 1.0, 5.0, 7.0, 8.0, 12.0])
    monkeypatch.setattr("medseg.provenance.time.perf_counter", lambda: next(ticks))
    watch = Stopwatch()
    for stage in ("read", "network", "read"):
        with watch.stage(stage):
            pass
    assert watch.seconds == {"read": 5.0, "network": 2.0}
