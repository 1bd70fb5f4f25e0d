"""What a user insists on: another modality, other options than the weights were made for."""

import numpy as np
import pytest

from medseg.errors import ContractError, OptionError
from medseg.predict import load_model, segment
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


@pytest.mark.usefixtures("tiny")
def test_weights_that_do_not_fit_a_users_options_blame_the_options():
    with pytest.raises(OptionError, match=r"the weights of linknet:brain-mask were not made for width=8"):
        load_model("linknet:brain-mask", device="cpu", options={"width": "8"})
