"""Prediction: a contract becomes preprocessing, labels come back to the input's own grid."""

import hashlib
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from safetensors.torch import save_file
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import nn

import medseg
from medseg.errors import (
    Cancelled,
    ContractError,
    PluginError,
    ResourceError,
    UnknownNameError,
    WeightsError,
)
from medseg.geometry import fit, reorient
from medseg.plugin import (
    Architecture,
    Channel,
    Input,
    Label,
    Locator,
    Model,
    Step,
    Weights,
    WholeGrid,
    Windows,
    hookimpl,
)
from medseg.predict import choose_device, load_model, segment
from medseg.progress import CancelToken
from medseg.registry import Registry
from medseg.volume import Volume

ORIENTATIONS = [
    "".join(letters)
    for pairs in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*pairs)
]
CHANNEL = Channel(name="T1w", modality="MR", unit="arbitrary")
LABELS = (
    Label(value=0, name="background", colour="#000000"),
    Label(value=4, name="bright", colour="#ff0000"),
)
SEEN = []
"""Shapes of the images that networks of this module were given, latest last."""


class Net(nn.Module):
    """One 3^3 convolution; its weights make it a threshold, or anything that tells directions apart."""

    def __init__(self, in_channels, out_channels, *, dims: int = 3):
        super().__init__()
        self.layer = nn.Conv3d(in_channels, out_channels, 3, padding=1)

    def forward(self, x):
        SEEN.append(tuple(x.shape))
        return self.layer(x)


class Plugin:
    """Models made by a test; ``medseg:clip`` and the like come from the core's own plugin."""

    MEDSEG_API = 1

    def __init__(self, models):
        self.models = models

    @hookimpl
    def medseg_architectures(self):
        yield Architecture(name="net", factory=f"{__name__}:Net", summary="s")

    @hookimpl
    def medseg_steps(self):
        for stage, name in (("pre", "zscore"), ("post", "largest_component")):
            factory = f"medseg.builtin.steps:{name}"
            yield Step(name=name.replace("_", "-"), factory=factory, summary="s", stage=stage)

    @hookimpl
    def medseg_models(self):
        return self.models


@pytest.fixture
def offer(tmp_path):
    """Models by name -> a registry that offers them; each is (module with weights, Input, changes)."""

    def make(**described):
        models = []
        for name, (net, wanted, *changes) in described.items():
            path = tmp_path / f"{name}.safetensors"
            save_file(net.state_dict(), path)
            content = path.read_bytes()
            model = Model(
                name=name,
                summary="s",
                architecture="net",
                weights=Weights(
                    source=f"file:{path}",
                    sha256=hashlib.sha256(content).hexdigest(),
                    size=len(content),
                    licence="MIT",
                ),
                input=wanted,
                labels=LABELS,
                intended_use="tests",
                training_data="none",
            )
            models.append(replace(model, **(changes[0] if changes else {})))
        return Registry.of(mine=Plugin(models))

    return make


def wanted(patch=None, *, spacing_mm=(1.0, 1.0, 1.0), channels=1, **more):
    return Input(
        channels=(CHANNEL,) * channels,
        spacing_mm=spacing_mm,
        orientation="RAS",
        patch=patch or Windows(size=(8, 8, 8), overlap=0.25),
        **{"interpolation": "linear", **more},
    )


def threshold(level=50.0, *, channel=0, channels=1):
    """Class 1 where one channel is above a level."""
    net = Net(channels, 2)
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    net.layer.weight.data[1, channel, 1, 1, 1] = 1
    net.layer.bias.data[1] = -level
    return net


def directional(seed=0):
    """Random weights: every direction of the neighbourhood counts differently."""
    torch.manual_seed(seed)
    return Net(1, 2)


def head(shape=(14, 12, 10), affine=None, seed=0):
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2)
    scaled = (values - values.min()) / np.ptp(values) * 100
    return Volume(scaled.astype(np.float32), np.diag([1.0, 1, 1, 1]) if affine is None else affine)


def turned_to(degrees, spacing=(1, 1, 1)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() * spacing
    return affine


# --- from contract to labels ------------------------------------------------------------------


def test_labels_have_the_contracts_values_where_the_network_says_so(offer):
    image = head()
    result = segment(image, "model", registry=offer(model=(threshold(), wanted())), device="cpu")
    np.testing.assert_array_equal(result.labels.array, np.where(image.array > 50, 4, 0))
    assert result.labels.kind == "labels"
    assert result.labels.array.dtype == np.uint8
    assert result.classes == LABELS


def test_windows_after_steps_are_monais_on_the_same_image(offer):
    image, net = head((20, 19, 18)), directional()
    windows = Windows(size=(8, 12, 8), overlap=0.5)
    registry = offer(model=(net, wanted(windows, steps=(("zscore", {}),))))
    x = torch.from_numpy((image.array - image.array.mean()) / image.array.std())[None, None]
    with torch.inference_mode():
        logits = sliding_window_inference(x, windows.size, 1, net, overlap=0.5, mode="gaussian")[0]
    clear = (logits[1] - logits[0]).abs().numpy() > 1e-4
    assert clear.mean() > 0.99

    labels = segment(image, "model", registry=registry, device="cpu").labels.array

    np.testing.assert_array_equal(labels[clear], 4 * logits.argmax(0).numpy()[clear])


@pytest.mark.parametrize("patch", [Windows(size=(8, 8, 8)), WholeGrid(shape=(16, 16, 16))])
def test_labels_come_back_to_an_oblique_anisotropic_grid_exactly(offer, patch):
    affine = turned_to((10, -20, 170), (0.7, 1.3, 3.1))
    image = head((21, 13, 7), affine)
    registry = offer(model=(threshold(), wanted(patch, spacing_mm=(1.0, 1.0, 2.0))))
    labels = segment(image, "model", registry=registry, device="cpu").labels
    assert labels.shape == image.shape
    np.testing.assert_array_equal(labels.affine, image.affine)
    # A threshold of the interpolated image is nearly that of the image itself.
    assert (labels.array == np.where(image.array > 50, 4, 0)).mean() > 0.95


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("patch", [Windows(size=(8, 8, 8)), WholeGrid(shape=(9, 16, 11))])
@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((14, 12, 10), turned_to((5, 10, -15), (1, 1.2, 0.9))),
        ((10, 10, 10), np.eye(4)),  # is not resampled, and its axes cannot be told by their lengths
        ((9, 12, 9), np.eye(4)),
    ],
)
def test_how_the_axes_are_stored_changes_no_voxel_of_the_mask(offer, orientation, patch, shape, affine):
    """The network tells all directions apart, so any mistake of axis or flip shows."""
    home = head(shape, affine)
    registry = offer(model=(directional(), wanted(patch, steps=(("zscore", {}),))))
    stored = reorient(home, orientation)[0]
    stored = Volume(np.asfortranarray(stored.array), stored.affine)  # as a NIfTI file has it
    assert stored.orientation == orientation

    here = segment(home, "model", registry=registry, device="cpu").labels
    there = segment(stored, "model", registry=registry, device="cpu").labels

    assert there.orientation == orientation
    assert 0.1 < (here.array > 0).mean() < 0.9
    np.testing.assert_array_equal(reorient(there, home.orientation)[0].array, here.array)


def test_the_network_sees_the_contracts_orientation_and_grid(offer):
    image = reorient(head((14, 12, 10)), "SLP")[0]
    patch = WholeGrid(shape=(16, 8, 24))
    segment(image, "model", registry=offer(model=(threshold(), wanted(patch))), device="cpu")
    assert SEEN[-1] == (1, 1, 16, 8, 24)


def test_a_cubic_contract_gets_cubic_interpolation(offer):
    image = head((9, 9, 9), np.diag([2.0, 2, 2, 1]))
    net = directional()
    registry = offer(model=(net, wanted(WholeGrid(shape=(18, 18, 18), interpolation="cubic"))))
    seen = fit(image, (18, 18, 18), interpolation="cubic")[0]
    with torch.inference_mode():
        logits = net(torch.tensor(seen.array)[None, None])[0]
    lead = fit(Volume((logits[1] - logits[0]).numpy(), seen.affine), image.shape)[0].array
    labels = segment(image, "model", registry=registry, device="cpu").labels.array
    clear = np.abs(lead) > 1e-3
    np.testing.assert_array_equal((labels > 0)[clear], (lead > 0)[clear])


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "f8", ">f4"])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_type_byte_order_and_layout_of_the_input_do_not_matter(offer, dtype, layout):
    whole = head().array.round()
    registry = offer(model=(threshold(50.5), wanted()))
    image = Volume(layout(whole.astype(dtype)), np.eye(4))
    labels = segment(image, "model", registry=registry, device="cpu").labels
    np.testing.assert_array_equal(labels.array, np.where(whole > 50, 4, 0))


def test_an_image_thinner_than_a_window_is_segmented(offer):
    image = head((30, 30, 1))
    labels = segment(image, "model", registry=offer(model=(threshold(), wanted())), device="cpu").labels
    np.testing.assert_array_equal(labels.array, np.where(image.array > 50, 4, 0))


def test_channels_go_in_by_their_order(offer):
    first, second = head(seed=1), head(seed=2)
    registry = offer(model=(threshold(channel=1, channels=2), wanted(channels=2)))
    labels = segment([first, second], "model", registry=registry, device="cpu").labels
    np.testing.assert_array_equal(labels.array, np.where(second.array > 50, 4, 0))


def test_steps_after_the_network_work_on_the_mask(offer):
    array = np.zeros((12, 12, 12), np.float32)
    array[1:5, 1:5, 1:5], array[8, 8, 8] = 100, 100
    registry = offer(model=(threshold(), wanted(), {"post": (("largest-component", {}),)}))
    labels = segment(Volume(array, np.eye(4)), "model", registry=registry, device="cpu").labels.array
    assert labels[8, 8, 8] == 0
    assert np.count_nonzero(labels) == 64


def test_a_path_is_read_and_segmented_like_its_volume(offer, tmp_path):
    image, registry = head(), offer(model=(threshold(), wanted()))
    medseg.save(image, tmp_path / "head.nii.gz")
    registry.records += [r for r in Registry.discover().records if r.name == "builtin"]
    by_path = segment(tmp_path / "head.nii.gz", "model", registry=registry, device="cpu")
    by_text = segment(str(tmp_path / "head.nii.gz"), "model", registry=registry, device="cpu")
    np.testing.assert_array_equal(by_path.labels.array, np.where(image.array > 50, 4, 0))
    np.testing.assert_array_equal(by_text.labels.array, by_path.labels.array)


def test_a_model_is_loaded_once_for_many_images(offer):
    model = load_model("model", device="cpu", registry=offer(model=(threshold(), wanted())))
    for seed in range(3):
        image = head(seed=seed)
        np.testing.assert_array_equal(model.segment(image).labels.array, np.where(image.array > 50, 4, 0))


# --- refusals ---------------------------------------------------------------------------------


def test_an_input_that_breaks_the_contract_is_refused_before_the_network_runs(offer):
    registry, before = offer(model=(threshold(channels=2), wanted(channels=2))), len(SEEN)
    with pytest.raises(ContractError, match=r"mine:model cannot use this input\. channels: got 1 volumes"):
        segment(head(), "model", registry=registry, device="cpu")
    assert len(SEEN) == before


def test_a_mere_warning_is_shown_and_recorded(offer):
    image = head(affine=np.diag([1.0, 1, 4, 1]))
    result = segment(image, "model", registry=offer(model=(threshold(), wanted())), device="cpu")
    (warning,) = result.warnings
    assert "three times coarser" in warning
    assert result.provenance["warnings"] == [warning]


def test_unknown_models_and_steps_are_named(offer):
    with pytest.raises(UnknownNameError, match=r"no model 'modell'\. Did you mean model"):
        segment(head(), "modell", registry=offer(model=(threshold(), wanted())))
    with pytest.raises(UnknownNameError, match=r"no step 'z-score'\. Did you mean zscore"):
        load_model("model", registry=offer(model=(threshold(), wanted(steps=(("z-score", {}),)))))


def test_a_step_of_the_wrong_stage_is_refused(offer):
    registry = offer(model=(threshold(), wanted(steps=(("largest-component", {}),))))
    with pytest.raises(ContractError, match="mine:largest-component is not a pre step"):
        load_model("model", device="cpu", registry=registry)


def test_weights_that_are_not_the_contracts_are_refused(offer, tmp_path):
    registry = offer(model=(threshold(), wanted()))
    save_file(directional().state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="has sha256"):
        load_model("model", device="cpu", registry=registry)


def test_scores_that_are_no_numbers_are_an_error_not_an_empty_mask(offer):
    net = threshold()
    net.layer.weight.data[:] = 3e38
    with pytest.raises(PluginError, match="mine:model gave NaN or infinite scores"):
        segment(head(), "model", registry=offer(model=(net, wanted())), device="cpu")


# --- progress, cancellation, device -----------------------------------------------------------


def located(offer):
    """A model above 10, which looks where another one is above 50."""
    return offer(
        finder=(threshold(), wanted(WholeGrid(shape=(20, 20, 20))), {"hidden": True}),
        model=(
            threshold(10.0),
            wanted(
                Windows(size=(4, 4, 4), overlap=0.0), locator=Locator(model="finder", label=4, margin=0.25)
            ),
        ),
    )


def organ():
    """A bright box of 8 x 6 x 4 voxels in a dim world, all of it above the second model's threshold."""
    array = np.full((20, 20, 20), 20, np.float32)
    array[6:14, 7:13, 8:12] = 100
    return Volume(array, np.eye(4))


def test_progress_names_each_stage_and_counts_windows(offer):
    calls = []
    registry = located(offer)
    segment(organ(), "model", registry=registry, device="cpu", progress=calls.append)
    stages = list(dict.fromkeys(p.stage for p in calls))
    assert stages == ["read", "locate", "prepare", "network", "restore", "finish"]
    assert all(0 <= p.done <= p.total for p in calls)
    windows = [(p.done, p.total) for p in calls if p.stage == "network" and p.total > 1]
    assert windows == [(n, 18) for n in range(1, 19)]  # 12 x 10 x 6 voxels in windows of 4


@pytest.mark.parametrize("stage", ["read", "locate", "prepare", "network", "restore"])
def test_a_call_can_be_cancelled_at_any_stage(offer, stage):
    token = CancelToken()

    def cancel(progress):
        if progress.stage == stage:
            token.cancel()

    with pytest.raises(Cancelled):
        segment(organ(), "model", registry=located(offer), device="cpu", progress=cancel, cancel=token)


def test_a_call_that_was_cancelled_before_it_began_does_nothing(offer):
    token, before = CancelToken(), len(SEEN)
    token.cancel()
    with pytest.raises(Cancelled):
        segment(head(), "model", registry=offer(model=(threshold(), wanted())), device="cpu", cancel=token)
    assert len(SEEN) == before


def test_the_device_is_the_gpu_if_there_is_one():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "mps", "", "CPU", "meta", "cuda:-1", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(ResourceError, match="wanted auto, cpu, cuda or cuda:N; this computer has"):
        choose_device(name)


def test_each_gpu_can_be_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ResourceError, match="2 CUDA devices"):
        choose_device("cuda:2")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="it runs a model on a GPU, and there is none here")
def test_a_gpu_gives_the_labels_of_the_cpu(offer):
    image, registry = head((40, 40, 40)), offer(model=(threshold(), wanted()))
    on_gpu = segment(image, "model", registry=registry, device="cuda")
    clear = np.abs(image.array - 50) > 1e-3  # the network's threshold
    np.testing.assert_array_equal(on_gpu.labels.array[clear], np.where(image.array > 50, 4, 0)[clear])
    assert on_gpu.provenance["device"].startswith("cuda")


# --- what a result says -----------------------------------------------------------------------


def test_a_result_measures_each_label_but_the_background(offer):
    image = head(affine=np.diag([2.0, 1, 1, 1]))
    result = segment(image, "model", registry=offer(model=(threshold(), wanted())), device="cpu")
    (measure,) = result.measures
    voxels = int((result.labels.array == 4).sum())
    assert (measure.label, measure.voxels) == (LABELS[1], voxels)
    assert measure.ml == pytest.approx(voxels * 2 / 1000)


def test_a_label_that_was_not_found_measures_nothing(offer):
    result = segment(head(), "model", registry=offer(model=(threshold(1e4), wanted())), device="cpu")
    assert [(m.voxels, m.ml) for m in result.measures] == [(0, 0.0)]


def test_provenance_is_json_and_names_what_made_the_result(offer):
    registry = located(offer)
    result = segment(organ(), "model", registry=registry, device="cpu")
    record = json.loads(json.dumps(dict(result.provenance)))
    weights = registry.find("model", "model").component.weights
    finder = registry.find("model", "finder").component.weights
    assert record["model"] == "mine:model"
    assert record["weights_sha256"] == weights.sha256
    described = record["locator"]
    assert (described["model"], described["weights_sha256"]) == ("mine:finder", finder.sha256)
    assert described["settings"]["input"]["patch"]["kind"] == "WholeGrid"
    assert record["medseg"] == medseg.__version__
    assert record["settings"]["input"]["patch"] == {
        "kind": "Windows",
        "size": [4, 4, 4],
        "overlap": 0.0,
        "blend": "gaussian",
        "placement": "monai",
    }
    assert {value: label["name"] for value, label in record["labels"].items()} == {
        "0": "background",
        "4": "bright",
    }
    assert set(record["seconds"]) == {"read", "locate", "prepare", "network", "restore", "finish"}
