"""What a bundle does after its network: labels against MONAI's own transforms, or a refusal."""

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks import nets

import medseg
from medseg.errors import ContractError
from medseg.importing import import_model
from medseg.registry import default_registry
from medseg.volume import Volume

SIGMOID = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
SOFTMAX = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
ARGMAX = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
THRESHOLD = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
LARGEST = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    default_registry.cache_clear()
    yield
    default_registry.cache_clear()


@pytest.fixture
def bundle(tmp_path):
    """A bundle whose network has some output channels, with some transforms after it; and their answer."""

    def write(outputs, *after):
        network = {"channels": [4, 8], "strides": [1], "kernel_size": 1, "up_kernel_size": 1, "norm": "BATCH"}
        config = {
            "network_def": {"_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": outputs}
            | network,
            "preprocessing": {"_target_": "Compose", "transforms": []},
            "inferer": {"_target_": "SlidingWindowInferer", "roi_size": 8},
            "postprocessing": {"_target_": "Compose", "transforms": list(after)},
        }
        image = {"modality": "MR", "num_channels": 1}
        metadata = {"network_data_format": {"inputs": {"image": image}, "outputs": {"pred": {}}}}
        for folder in ("configs", "models"):
            (tmp_path / folder).mkdir()
        (tmp_path / "configs/inference.json").write_text(json.dumps(config))
        (tmp_path / "configs/metadata.json").write_text(json.dumps(metadata))
        torch.manual_seed(146)  # which gives every label some voxels
        net = nets.UNet(3, 1, outputs, **network).eval()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(1.5)
        torch.save(net.state_dict(), tmp_path / "models/model.pt")

        def answer(values):
            with torch.inference_mode():
                data = {
                    "pred": net(torch.from_numpy(values)[None, None])[0],
                    "label": torch.zeros(1, 8, 8, 8),
                }
            made = ConfigParser({"after": config["postprocessing"]}).get_parsed_content("after")
            return made(data)["pred"].numpy()

        return tmp_path, answer

    return write


@pytest.mark.parametrize(
    ("outputs", "after"),
    [
        (3, (SOFTMAX, ARGMAX)),
        (3, (SIGMOID, ARGMAX)),
        (3, (ARGMAX, LARGEST)),
        (1, (SIGMOID, THRESHOLD)),
        (1, (SIGMOID, THRESHOLD, LARGEST)),
        (3, ({**ARGMAX, "keys": ["pred", "label"], "argmax": [True, False], "to_onehot": [None, None]},)),
    ],
)
def test_labels_are_those_of_monais_transforms(bundle, outputs, after):
    folder, answer = bundle(outputs, *after)
    values = np.random.default_rng(0).normal(0, 3, (8, 8, 8)).astype(np.float32)
    expected = answer(values)[0].astype(int)
    assert len(np.unique(expected)) == max(outputs, 2)

    found = medseg.segment(Volume(values, np.eye(4)), str(folder), device="cpu").labels.array

    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("outputs", "after", "says"),
    [
        (1, (THRESHOLD,), "threshold=0.5 on scores without a sigmoid"),
        (3, (SOFTMAX, THRESHOLD), "threshold=0.5 on scores without a sigmoid"),
        (1, (SIGMOID, {**THRESHOLD, "threshold": 0.3}), "threshold=0.3 on scores after a sigmoid"),
        (3, ({**ARGMAX, "threshold": 0.5},), "takes the largest of 3 channels, and then threshold=0.5"),
        (1, (ARGMAX,), "takes the largest of 1 channels"),
        (1, (SOFTMAX,), "applies softmax to one channel"),
        (3, (SOFTMAX, LARGEST, ARGMAX), "works on scores, or on regions that overlap"),
        (3, (SIGMOID, THRESHOLD, LARGEST), "works on scores, or on regions that overlap"),
        (3, ({**SIGMOID, "keys": ["a", "b"], "sigmoid": [True, False]},), "wanted one value for pred"),
    ],
)
def test_what_gives_other_labels_than_medsegs_is_refused(bundle, outputs, after, says):
    folder, _ = bundle(outputs, *after)
    with pytest.raises(ContractError, match=says):
        import_model([folder], "bright")
