"""Labels against those that nnU-Net 2.8 itself gave, recorded by record.py with the models."""

from pathlib import Path

import pytest
from medseg_nnunet.plans import labels_of as labels_in

import medseg
from medseg.errors import ContractError
from medseg.inference.execution import Execution
from medseg.registry import default_registry

DATA = Path(__file__).parent / "data"
# nnU-Net adds windows up in float16; medseg, and nnU-Net's code with that one change, in float32.
LAST_BITS = 5  # of 90,895 voxels: other processors add in another order

CASES = {
    "plain": ("head", False),
    "mirrored": ("head", True),
    "thick_plans": ("head", False),
    "thick_file": ("thick", False),
    "transposed": ("head", True),
    "ct": ("ct", False),
    "masked": ("head", False),
    "regions": ("head", False),
    "residual": ("head", False),
    "old": ("head", False),
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    default_registry.cache_clear()
    yield
    default_registry.cache_clear()


def volume(name, kind="image"):
    return medseg.load(DATA / f"{name}.nii.gz", kind=kind)


def labels_of(folder, image, *, mirror=False):
    loaded = medseg.load_model(str(folder), device="cpu", execution=Execution(mirror=mirror))
    return loaded.segment(image, force=True).labels


@pytest.mark.parametrize("case", CASES)
def test_labels_are_those_of_nnunet(case):
    name, mirror = CASES[case]
    found = labels_of(DATA / case, volume(name), mirror=mirror)
    exact, shipped = (volume(f"{case}/{form}", kind="labels") for form in ("labels_float32", "labels"))
    assert found.grid.matches(shipped.grid)
    assert (found.array != exact.array).sum() <= LAST_BITS
    # What is left to nnU-Net as it is shipped is what its float16 does.
    rounding = (exact.array != shipped.array).sum()
    assert abs((found.array != shipped.array).sum() - rounding) <= LAST_BITS
    assert rounding < 0.0015 * found.array.size
    assert (shipped.array > 0).sum() > 1000  # there is something to agree on


@pytest.mark.parametrize("order", [[1, 2, 2], [0, 1, 2]])
def test_regions_that_are_painted_with_one_number_or_as_background_are_refused(order):
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3}
    with pytest.raises(ContractError, match="medseg reproduces numbers above 0, each once"):
        labels_in({"labels": labels, "regions_class_order": order})
