"""The script that made the weights files: names change, values do not."""

import importlib.util
from pathlib import Path

import pytest
import torch
from medseg_linknet.linknet import LinkNet
from safetensors.torch import save_file

SCRIPT = Path(__file__).parents[1] / "convert_deepbet.py"
# deepbet's names of its tensors, all 38.
NAMES = [
    "init.0.weight",
    *(f"down{n}.block{b}.double_conv.{c}.weight" for n in range(4) for b in (1, 2) for c in (0, 3)),
    *(f"down{n}.block1.downsample.0.weight" for n in (1, 2, 3)),
    *(f"up{n}.{part}.0.weight" for n in range(4) for part in ("conv1", "tp_conv", "conv2")),
    *(f"{part}.{kind}" for part in ("tp_conv1.0", "conv.0", "tp_conv2") for kind in ("weight", "bias")),
]


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("convert_deepbet", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_deepbets_names_become_exactly_this_networks(script):
    assert {script.rename(name) for name in NAMES} == set(LinkNet(1, 2).state_dict())
    assert len(NAMES) == 38


def test_values_are_kept_at_half_the_size(script, tmp_path):
    weights = torch.tensor([0.5, -1.25, 65504.0])
    save_file({"tp_conv2.bias": weights}, tmp_path / "source.safetensors")
    (converted,) = script.convert(tmp_path / "source.safetensors").items()
    assert converted[0] == "score.bias"
    assert converted[1].dtype == torch.float16
    assert torch.equal(converted[1].float(), weights)


def test_a_number_that_half_precision_cannot_hold_is_refused(script, tmp_path):
    save_file({"tp_conv2.bias": torch.tensor([0.1])}, tmp_path / "source.safetensors")
    with pytest.raises(ValueError, match=r"holds numbers that torch\.float16 cannot"):
        script.convert(tmp_path / "source.safetensors")
