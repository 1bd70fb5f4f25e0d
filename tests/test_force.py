"""A file that says it is another modality than the model's: refused, or forced and recorded."""

import numpy as np
import pytest

from medseg.errors import ContractError
from medseg.predict import segment
from medseg.volume import Volume


@pytest.fixture
def ct():
    values = np.zeros((18, 20, 17), np.int16)
    values[3:7, 8:13, 10:16] = 200
    return Volume(values, np.eye(4), modality="CT", unit="HU")


@pytest.mark.usefixtures("tiny")
def test_a_ct_is_refused_by_a_model_for_mr(ct):
    with pytest.raises(ContractError, match="modality of T1w: got CT, wanted MR"):
        segment(ct, "bright", device="cpu")


@pytest.mark.usefixtures("tiny")
def test_a_forced_run_says_so_in_its_warnings_and_its_provenance(ct):
    result = segment(ct, "bright", device="cpu", force=True)

    assert (result.labels.array == (ct.array > 100)).all()
    (warning,) = result.warnings
    assert warning.startswith("forced: modality of T1w: got CT, wanted MR")
    assert result.provenance["warnings"] == [warning]
