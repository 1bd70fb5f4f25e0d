"""ONNX and TorchScript files with a contract beside them: imported, run, and refused."""

import io
import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import medseg
from medseg.errors import ContractError, MedsegError, OptionError, ResourceError, WeightsError
from medseg.importing import import_model
from medseg.predict import load_model
from medseg.registry import default_registry
from medseg.volume import Volume

CONTRACT = {
    "summary": "What is bright",
    "input": {
        "channels": [{"name": "T1w", "modality": "MR", "unit": "arbitrary"}],
        "spacing_mm": [1, 1, 1],
        "orientation": "RAS",
        "patch": {"kind": "Windows", "size": [8, 8, 8]},
    },
    "labels": [
        {"value": 0, "name": "background", "colour": "#000000"},
        {"value": 1, "name": "bright", "colour": "#ff0000"},
    ],
    "intended_use": "tests",
    "training_data": "none",
    "licence": "MIT",
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    default_registry.cache_clear()
    yield
    default_registry.cache_clear()


class Bright(nn.Module):
    """Label 1 where a voxel is above 0.5."""

    def __init__(self, classes=2, stride=1):
        super().__init__()
        self.point = nn.Conv3d(1, classes, 1, stride=stride)
        with torch.no_grad():
            self.point.weight.zero_()[1].fill_(1)
            self.point.bias.zero_()[1] = -0.5

    def forward(self, x):
        return self.point(x)


def script(module):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(module, torch.zeros(1, 1, 8, 8, 8)), file)
    return file.getvalue()


def onnx(module):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(module, (torch.zeros(1, 1, 8, 8, 8),), file, dynamo=False)
    return file.getvalue()


WRITERS = {".onnx": onnx, ".ts": script, ".torchscript": script}


def written(folder, suffix, module=None, contract=CONTRACT):
    path = folder / f"bright{suffix}"
    path.write_bytes(WRITERS[suffix](module or Bright()))
    path.with_suffix(".json").write_text(json.dumps(contract))
    return path


def image():
    values = np.random.default_rng(0).random((11, 9, 8)).astype(np.float32)
    return Volume(values, np.eye(4))


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_network_file_is_imported_listed_and_run(tmp_path, suffix):
    model, _ = import_model([written(tmp_path, suffix)], "bright")
    assert model.weights.licence == "MIT"
    default_registry.cache_clear()
    assert "local:bright" in medseg.models()
    found = medseg.segment(image(), "local:bright", device="cpu").labels.array
    np.testing.assert_array_equal(found, image().array > 0.5)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_network_file_runs_directly_by_its_path(tmp_path, suffix):
    path = written(tmp_path, suffix)
    found = medseg.segment(image(), str(path), device="cpu")
    assert found.provenance["model"] == "local:bright" + suffix.replace(".", "-")
    assert set(np.unique(found.labels.array)) == {0, 1}


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_network_file_runs_after_its_backends_were_compared(tmp_path, suffix):
    import_model([written(tmp_path, suffix)], "bright")
    default_registry.cache_clear()
    loaded = load_model("local:bright", device="cpu")
    assert loaded.compare_backends(image())[0].backend == "builtin:eager"
    for _ in range(2):  # the first counts what a window takes, and remembers it
        found = loaded.segment(image()).labels.array
        np.testing.assert_array_equal(found, image().array > 0.5)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_without_a_contract_is_refused(tmp_path, suffix):
    path = written(tmp_path, suffix)
    path.with_suffix(".json").unlink()
    with pytest.raises(ContractError, match="its contract must lie beside it"):
        import_model([path], "bright")


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    ("content", "says"),
    [(b"PK\x03\x04nothing", "bright"), (b"", "bright"), (b"\x80\x02cos\nsystem\n.", "bright")],
)
def test_what_is_no_network_is_refused(tmp_path, suffix, content, says):
    path = written(tmp_path, suffix)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=says):
        import_model([path], "bright")
    assert not (tmp_path / "home" / "models").exists()


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_network_that_answers_otherwise_than_its_contract_says_is_refused(tmp_path, suffix):
    with pytest.raises(WeightsError, match="its contract says 2 channels"):
        import_model([written(tmp_path, suffix, Bright(classes=3))], "bright")
    with pytest.raises(WeightsError, match="as many voxels out as in"):
        import_model([written(tmp_path, suffix, Bright(stride=2))], "bright")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"architecture": "unets:unet3d"}, "architecture is what the file itself says"),
        ({"weights": {}}, "weights is what the file itself says"),
        ({"sharpness": 3}, "unknown fields sharpness"),
    ],
)
def test_a_contract_says_what_a_file_cannot_and_no_more(tmp_path, change, says):
    with pytest.raises(ContractError, match=says):
        import_model([written(tmp_path, ".onnx", contract=CONTRACT | change)], "bright")


def test_orientation_has_no_default(tmp_path):
    lacking = {**CONTRACT, "input": {k: v for k, v in CONTRACT["input"].items() if k != "orientation"}}
    with pytest.raises(ContractError, match="missing fields orientation"):
        import_model([written(tmp_path, ".onnx", contract=lacking)], "bright")


def test_an_option_that_the_importer_has_not_is_refused(tmp_path):
    with pytest.raises(OptionError, match="has no option 'orientation'"):
        import_model([written(tmp_path, ".onnx")], "bright", options={"orientation": "RAS"})


@pytest.mark.parametrize("suffix", [".onnx", ".ts"])
def test_a_file_is_not_traced_into_another_engine(tmp_path, suffix):
    """A trace of what leaves torch holds one window's answer, for all windows."""
    image = Volume(np.random.default_rng(0).random((16, 16, 16), np.float32), np.eye(4))
    path = str(written(tmp_path, suffix))
    for backend in ("openvino", "onnxruntime"):
        with pytest.raises(ResourceError, match="a network that is a file runs in its own engine alone"):
            medseg.segment(image, path, device="cpu", execution=medseg.Execution(backend=backend))
    found = medseg.segment(image, path, device="cpu", execution=medseg.Execution(backend="auto"))
    np.testing.assert_array_equal(found.labels.array, image.array > 0.5)
    assert "openvino left out (ResourceError: a network that is a file" in found.provenance["backend_trials"]


@pytest.mark.parametrize("suffix", [".onnx", ".ts"])
def test_a_contract_that_changed_beside_its_network_is_read_again(tmp_path, suffix):
    image = Volume(np.arange(512, dtype=np.float32).reshape(8, 8, 8), np.eye(4))
    path = written(tmp_path, suffix)
    assert medseg.segment(image, str(path), device="cpu").classes[1].name == "bright"
    labels = [CONTRACT["labels"][0], {**CONTRACT["labels"][1], "name": "liver"}]
    path.with_suffix(".json").write_text(json.dumps({**CONTRACT, "labels": labels}))
    default_registry.cache_clear()
    assert medseg.segment(image, str(path), device="cpu").classes[1].name == "liver"
    path.with_suffix(".json").unlink()
    with pytest.raises(MedsegError, match=r"bright\.json"):
        medseg.segment(image, str(path), device="cpu")
