"""Bundles: labels against MONAI's own pipeline, run from the same configuration; and what is refused."""

import copy
import json
import pickle
import warnings

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks import nets
from safetensors.torch import save_file

import medseg
from medseg.errors import ContractError, OptionError, WeightsError
from medseg.importing import import_model
from medseg.registry import default_registry

NETWORK = {"channels": [4, 8], "strides": [2], "num_res_units": 1}
METADATA = {
    "task": "Bright things on CT",
    "data_source": "random numbers",
    "intended_use": "tests",
    "references": ["A. Nobody, 2026"],
    "network_data_format": {
        "inputs": {
            "image": {
                "format": "hounsfield",
                "modality": "CT",
                "num_channels": 1,
                "channel_def": {"0": "image"},
            }
        },
        "outputs": {"pred": {"num_channels": 3, "channel_def": {"0": "background", "1": "a", "2": "b"}}},
    },
}
CONFIG = {
    "imports": ["$import glob"],
    "image_key": "image",
    "output_dir": "$@bundle_root + '/eval'",
    "device": "cpu",
    "spacing": [1.5, 2.0, 2.5],
    "roi": [16, 16, 16],
    "network_def": {
        "_target_": "UNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 3,
        **NETWORK,
    },
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "@image_key"},
            {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
            {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "@image_key", "pixdim": "@spacing", "mode": "bilinear"},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "@image_key",
                "a_min": -57,
                "a_max": 164,
                "b_min": 0,
                "b_max": 1,
                "clip": True,
            },
            {"_target_": "EnsureTyped", "keys": "@image_key"},
        ],
    },
    "inferer": {
        "_target_": "SlidingWindowInferer",
        "roi_size": "@roi",
        "sw_batch_size": 2,
        "overlap": 0.5,
        "mode": "gaussian",
    },
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "@image_key",
                "nearest_interp": False,
                "to_tensor": True,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        ],
    },
}
NORMALISE = {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True}
PERCENTILES = {
    "_target_": "ScaleIntensityRangePercentilesd",
    "keys": "image",
    "lower": 5,
    "upper": 95,
    "b_min": -1,
    "b_max": 1,
    "clip": True,
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    default_registry.cache_clear()
    yield
    default_registry.cache_clear()


def network(config=CONFIG, seed=0):
    torch.manual_seed(seed)
    arguments = {key: value for key, value in config["network_def"].items() if key != "_target_"}
    net = getattr(nets, config["network_def"]["_target_"])(**arguments).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)  # so that the channels differ
    return net


def bundle(tmp_path, config=CONFIG, metadata=METADATA, net=None):
    folder = tmp_path / "bright_things"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    (folder / "configs/inference.json").write_text(json.dumps(config))
    torch.save((net or network(config)).state_dict(), folder / "models/model.pt")
    return folder


def image(tmp_path, spacing=(1.5, 2.0, 2.5), rounds=1):
    """A file whose array runs to the left, the back and up."""
    smooth = 200 * torch.randn(1, 34, 31, 26, generator=torch.Generator().manual_seed(1))
    for _ in range(rounds):
        smooth = torch.nn.functional.avg_pool3d(smooth, 5, 1, 2)
    smooth = smooth[0] / smooth.std() * 18
    path = tmp_path / "image.nii.gz"
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    values = (5 * smooth).numpy()
    values[:4] = 0
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), affine), path)
    return path


def answer_of_monai(folder, path, config):
    """What MONAI's own classes, made from the bundle's configuration, say of a file: (1 or K,I,J,K)."""
    parser = ConfigParser(copy.deepcopy(config))
    parser["bundle_root"] = str(folder)
    net = parser.get_parsed_content("network_def").eval()
    net.load_state_dict(torch.load(folder / "models/model.pt", weights_only=True))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's, of missing decoders and of its own defaults
        data = parser.get_parsed_content("preprocessing")({"image": str(path)})
        data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], net)[0]
        return parser.get_parsed_content("postprocessing")(data)["pred"].numpy()


def changed(**sections):
    return {**copy.deepcopy(CONFIG), **sections}


def with_intensity(transform):
    config = copy.deepcopy(CONFIG)
    config["preprocessing"]["transforms"][4] = transform
    return config


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        changed(inferer={"_target_": "SlidingWindowInferer", "roi_size": 16}),
        with_intensity(NORMALISE),
        with_intensity(PERCENTILES),
        changed(network_def={**CONFIG["network_def"], "_target_": "monai.networks.nets.UNet", "act": "RELU"}),
    ],
    ids=["gaussian", "defaults", "nonzero", "percentiles", "full-name"],
)
def test_labels_are_those_of_monai(tmp_path, config):
    short = copy.deepcopy(config)
    short["network_def"]["_target_"] = "UNet"
    folder, path = bundle(tmp_path, config, net=network(short)), image(tmp_path)
    expected = answer_of_monai(folder, path, config)[0]
    found = medseg.segment(path, str(folder), device="cpu", force=True).labels.array
    assert (found == expected).mean() >= 0.9999
    assert min(np.bincount(expected.astype(int).ravel(), minlength=3)) > 100  # there is something to agree on


def test_a_resampled_image_is_near_to_monais_and_a_note_says_so(tmp_path):
    """A network that looks at single voxels, so that what differs is the resampling, there and back."""
    config = copy.deepcopy(CONFIG)
    config["network_def"] |= {"kernel_size": 1, "up_kernel_size": 1, "strides": [1], "norm": "BATCH"}
    folder, path = bundle(tmp_path, config), image(tmp_path, spacing=(1.2, 1.7, 2.2), rounds=3)
    expected = answer_of_monai(folder, path, config)[0]
    _, notes = import_model([folder], "bright")
    default_registry.cache_clear()
    found = medseg.segment(path, "local:bright", device="cpu", force=True).labels.array
    assert found.shape == expected.shape
    assert (found == expected).mean() > 0.9
    assert any("up to a voxel apart" in note for note in notes)


def test_a_bundle_is_imported_with_what_its_metadata_says(tmp_path):
    model, _ = import_model([bundle(tmp_path)], "bright", options={"licence": "MIT"})
    assert [(label.value, label.name) for label in model.labels] == [(0, "background"), (1, "a"), (2, "b")]
    assert (model.input.channels[0].modality, model.input.channels[0].unit) == ("CT", "HU")
    assert (model.input.orientation, model.input.spacing_mm) == ("RAS", (1.5, 2.0, 2.5))
    assert (model.summary, model.training_data, model.intended_use, model.weights.licence) == (
        "Bright things on CT",
        "random numbers",
        "tests",
        "MIT",
    )


def test_safetensors_are_read_too(tmp_path):
    folder = bundle(tmp_path)
    (folder / "models/model.pt").unlink()
    save_file(network().state_dict(), folder / "models/model.safetensors")
    assert import_model([folder], "bright")[0].weights.size > 1000


def test_regions_are_painted_in_the_order_that_the_user_gives(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["postprocessing"]["transforms"] = [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
    ]
    folder, path = bundle(tmp_path, config), image(tmp_path)
    with pytest.raises(OptionError, match=r"-o paint=1,0,2"):
        import_model([folder], "bright")
    model, _ = import_model([folder], "bright", options={"paint": "2,0,1"})
    default_registry.cache_clear()
    masks = answer_of_monai(folder, path, config).astype(bool)
    expected = np.zeros(masks.shape[1:], int)
    for number, channel in enumerate((2, 0, 1), start=1):
        expected[masks[channel]] = number
    found = medseg.segment(path, "local:bright", device="cpu", force=True).labels
    turned = found.array[::-1, ::-1]  # MONAI's stay in RAS, for nothing inverts them here
    assert [label.name for label in model.labels[1:]] == ["b", "background", "a"]
    assert (turned == expected).mean() >= 0.9999


def before(transform):
    config = copy.deepcopy(CONFIG)
    config["preprocessing"]["transforms"].append(transform)
    return config


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (changed(spacing="$[1, 1, 1]"), r"spacing is '\$\[1, 1, 1\]', an expression of Python"),
        (changed(roi="%other.json::roi"), "an expression of Python or a macro"),
        (changed(roi="@nothing"), "refers to '@nothing', and there is no such thing"),
        (changed(roi="@roi"), "refers to itself"),
        (changed(network_def="$print(1)"), "network_def is .* an expression"),
        (changed(network_def={"_target_": "scripts.own.Net"}), "scripts.own.Net, which is no class of MONAI"),
        (changed(network_def={"_target_": "os.system", "command": "x"}), "no class of MONAI"),
        (changed(network_def={"_target_": "DiNTS"}), "not among the networks that medseg makes"),
        (
            changed(network_def={**CONFIG["network_def"], "act": {"_target_": "torch.nn.ReLU"}}),
            "an object of torch.nn.ReLU; wanted a value",
        ),
        (changed(inferer={"_target_": "SimpleInferer"}), "the inferer is SimpleInferer"),
        (
            changed(inferer={**CONFIG["inferer"], "padding_mode": "reflect"}),
            "padding_mode='reflect'; medseg reproduces 'constant'",
        ),
        (before({"_target_": "CropForegroundd", "keys": "image"}), "CropForegroundd, is not among"),
        (before({"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"}), "comes after the spacing"),
        (
            before({"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": [1, 2], "divisor": 3}),
            "subtracts",
        ),
        (
            before({"_target_": "ScaleIntensityd", "keys": "image", "strange": 1}),
            "strange=1, which medseg does not reproduce",
        ),
    ],
)
def test_what_would_have_to_be_run_or_is_not_reproduced_is_refused_by_name(tmp_path, config, says):
    with pytest.raises(ContractError, match=says):
        import_model([bundle(tmp_path, config, net=network())], "bright")


def with_format(**changes):
    return {**METADATA, "network_data_format": {**METADATA["network_data_format"], **changes}}


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({**METADATA, "network_data_format": []}, r"network_data_format is \[\]; wanted a JSON object"),
        (with_format(inputs=["x"]), r"network_data_format::inputs is \['x'\]; wanted a JSON object"),
        (with_format(inputs={"image": 1}), r"network_data_format::inputs::image is 1; wanted a JSON object"),
        (with_format(inputs={"image": {"num_channels": "1"}}), "num_channels of the inputs is '1'; wanted a"),
        (
            with_format(inputs={"image": {"channel_def": ["x"]}}),
            r"channel_def of the inputs is \['x'\]; want",
        ),
        (with_format(outputs={"pred": {"channel_def": "x"}}), "channel_def of the outputs is 'x'; wanted a"),
    ],
)
def test_metadata_of_another_form_are_refused_by_their_field(tmp_path, metadata, says):
    with pytest.raises(ContractError, match=rf"metadata\.json: {says}"):
        import_model([bundle(tmp_path, metadata=metadata)], "bright")


RANGE = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 1}


@pytest.mark.parametrize(
    ("transform", "says"),
    [
        ({**RANGE, "b_min": 0, "b_max": "q"}, r"has {'b_min': 0, 'b_max': 'q'}; wanted numbers"),
        ({**RANGE, "b_min": 0}, r"has {'b_min': 0, 'b_max': None}; wanted numbers"),
        ({**RANGE, "a_max": float("nan")}, r"'a_max': nan}; wanted numbers"),
        (
            {"_target_": "ScaleIntensityd", "keys": "image", "minv": "q"},
            r"has {'minv': 'q', 'maxv': 1.0}; wa",
        ),
        ({"_target_": "Orientationd", "keys": "image", "axcodes": "XYZ"}, "axcodes='XYZ'; wanted one letter"),
        ({"_target_": "Orientationd", "keys": "image", "axcodes": "RLS"}, "axcodes='RLS'; wanted one letter"),
        (
            {"_target_": "Spacingd", "keys": "image", "pixdim": 1, "mode": ["bilinear", "nearest"]},
            r"mode=\['bilinear', 'nearest'\]; medseg reproduces",
        ),
    ],
)
def test_values_that_no_transform_has_are_refused_by_their_field(tmp_path, transform, says):
    config = copy.deepcopy(CONFIG)
    config["preprocessing"]["transforms"] = [transform]
    with pytest.raises(ContractError, match=rf"inference\.json: preprocessing.*{says}"):
        import_model([bundle(tmp_path, config)], "bright")


@pytest.mark.parametrize("overlap", [[[0.5]], [0.5, 0.25, 0.5], 1.0, []])
def test_an_overlap_that_no_window_has_is_refused(tmp_path, overlap):
    config = changed(inferer={**CONFIG["inferer"], "overlap": overlap})
    with pytest.raises(ContractError, match="medseg reproduces one number for all axes"):
        import_model([bundle(tmp_path, config)], "bright")


def test_a_network_with_one_layer_under_two_names_is_imported(tmp_path):
    given = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2]}
    config = changed(network_def={**CONFIG["network_def"], "_target_": "DynUNet"})
    for key in NETWORK:
        del config["network_def"][key]
    config["network_def"] |= {**given, "filters": [4, 8, 8]}
    tensors = network(config).state_dict()
    assert len({tensor.data_ptr() for tensor in tensors.values()}) < len(tensors)
    model, _ = import_model([bundle(tmp_path, config)], "bright")
    assert model.weights.size > 1000


class Harmful:
    def __reduce__(self):
        return print, ("run",)


def test_weights_that_would_run_code_or_do_not_fit_are_refused(tmp_path, capsys):
    folder = bundle(tmp_path)
    file = folder / "models/model.pt"
    file.write_bytes(pickle.dumps(Harmful(), protocol=2))
    with pytest.raises(WeightsError, match=r"model.pt is refused"):
        import_model([folder], "bright")
    assert "run" not in capsys.readouterr().out
    torch.save(nets.UNet(3, 1, 3, channels=(4, 6), strides=(2,)).state_dict(), file)
    with pytest.raises(WeightsError, match="tensors do not fit the network"):
        import_model([folder], "bright")
    file.unlink()
    with pytest.raises(WeightsError, match=r"there is no .*model.pt"):
        import_model([folder], "bright")


def test_a_configuration_in_yaml_is_refused_with_what_to_do(tmp_path):
    folder = bundle(tmp_path)
    (folder / "configs/inference.json").rename(folder / "configs/inference.yaml")
    with pytest.raises(ContractError, match=r"there is inference.yaml: write it as JSON"):
        import_model([folder], "bright")
