import numpy as np
import pytest

from medseg.formats import save
from medseg.report import compare_with_surfaces, describe_volume
from medseg.volume import Volume


def labels(count):
    array = np.zeros((10, 10, 10), np.uint8)
    array.reshape(-1)[:count] = 2
    return array


def test_agreement_counts_the_covered_voxels_and_dice(tmp_path):
    truth = labels(100).astype(np.uint8)
    save(Volume(truth, np.eye(4), "labels"), tmp_path / "surfaces.nii")
    agreement = compare_with_surfaces(Volume(labels(80), np.eye(4), "labels"), tmp_path / "surfaces.nii")
    assert agreement.as_json() == {
        "covered": 0.8,
        "dice": pytest.approx(2 * 80 / 180),
        "reference_ml": pytest.approx(0.1),
    }
    assert "80.000%" in agreement.sentence
    assert "Dice 0.889" in agreement.sentence


def test_a_refused_volume_says_why(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"junk")
    row = describe_volume(tmp_path / "a.nii", kind="image", options={})
    assert set(row) == {"file", "refused"}
    assert row["refused"].startswith("a.nii: ")
