"""A training that starts from another model's weights."""

import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import nn

from medseg import OptionError, WeightsError, build, default_registry, save
from medseg.cli import main
from medseg.model_folder import read_model, write_model
from medseg.plugin import Slices
from medseg.testing.phantoms import make_phantom
from medseg.training.plan import read_plan
from medseg.training.planning import network_of
from medseg.training.reading import read_dataset
from medseg.training.starting import find_start, load_start, scores_of_features

NETWORK = ("--architecture", "unets:unet3d", "-o", "width=2", "-o", "depth=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("begun")
    image, truth = make_phantom(shape=(24, 20, 16), seed=0)
    save(image, tmp_path / "image.nii.gz")
    save(truth, tmp_path / "labels.nii.gz")
    write_list(tmp_path / "balls.json", ["background", "ball", "egg"])
    write_list(tmp_path / "more.json", ["background", "ball", "egg"], classes={"2": 1})
    train(tmp_path, "balls.json", "first", *NETWORK)
    return tmp_path


def write_list(path, labels, classes=None):
    listed = {"labels": labels if classes is None else labels[:2], "classes": classes or {}}
    cases = [{"images": ["image.nii.gz"], "labels": "labels.nii.gz"}]
    path.write_text(json.dumps({"name": "balls", "cases": cases, "licence": "CC0-1.0", **listed}))


def train(folder, data, out, *more, rate="0.002"):
    command = ["train", str(folder / data), "-o", str(folder / out), "--device", "cpu", "--patch", "16"]
    command += ["--steps", "1", "--ema", "0", "--workers", "0", "--learning-rate", rate, *more]
    done = CliRunner().invoke(main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def weights(folder, run):
    return load_file(folder / run / "weights.safetensors")


def begin(folder, run, data, **changed):
    """The network of a run's plan for some data, and what of it starts anew."""
    dataset, registry = read_dataset(folder / data), default_registry()
    start = find_start(str(folder / "first"), registry=registry)
    plan = replace(read_plan(folder / run / "plan.json"), start=start.fields["start"], **changed)
    network = network_of(plan, dataset, registry)
    return network, load_start(network, start, plan, classes=len(dataset.labels))


def test_it_begins_with_the_networks_weights_and_options(folder):
    output = train(folder, "balls.json", "second", "--from", str(folder / "first"), rate="1e-12")
    before, after = weights(folder, "first"), weights(folder, "second")
    assert all(torch.allclose(before[name], after[name], atol=1e-9) for name in before)
    plan = read_plan(folder / "second/plan.json")
    assert (plan.options["width"], plan.options["depth"]) == (2, 1)
    assert f"from the weights {plan.start[:12]}..." in output
    assert str(folder) not in (folder / "second/plan.json").read_text()


def test_what_scores_other_classes_starts_anew(folder):
    network, anew = begin(folder, "first", "more.json")
    first, now = weights(folder, "first"), network.backbone.state_dict()
    assert {name for name in first if not torch.equal(first[name], now[name])} == set(anew)
    assert sorted(tuple(now[name].shape) for name in anew) == [(2,), (2, 4, 1, 1, 1)]


def test_scores_of_a_transposed_convolution_start_anew(folder):
    dataset, registry = read_dataset(folder / "balls.json"), default_registry()
    start = find_start("linknet:brain-mask", registry=registry)
    plan = replace(read_plan(folder / "first/plan.json"), **start.fields)
    network = network_of(plan, dataset, registry)
    assert sorted(load_start(network, start, plan, classes=3)) == ["score.bias", "score.weight"]
    assert network.backbone.score.weight.shape == (8, 3, 2, 2, 2)


def test_the_same_classes_start_with_all_weights(folder):
    network, anew = begin(folder, "first", "balls.json")
    first, now = weights(folder, "first"), network.backbone.state_dict()
    assert not anew
    assert all(torch.equal(first[name], now[name]) for name in first)


def test_a_head_on_a_network_that_had_none_starts_from_its_scores(folder):
    """Contours that have not moved yet lie where the network alone draws its borders."""
    network, anew = begin(folder, "first", "balls.json", head="contours:tdac", head_options={"n_iter": 0})
    assert not anew
    first, now = weights(folder, "first"), network.state_dict()
    assert all(torch.equal(first[name], now[f"backbone.{name}"]) for name in first)
    image = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = network.eval()(image).logits.argmax(1)
        assert torch.equal(labels, network.backbone(image).argmax(1))
    assert len(labels.unique()) > 1


@pytest.mark.parametrize(
    ("data", "head"), [("more.json", "contours:tdac"), ("balls.json", "contours:level-set-rnn")]
)
def test_a_head_of_other_classes_or_that_knows_no_scores_starts_anew(folder, data, head):
    network, anew = begin(folder, "first", data, head=head)
    names = [name for name in network.state_dict() if name.startswith("head.")]
    assert set(names) <= set(anew)


@pytest.mark.parametrize(
    ("name", "dims"),
    [(f"unets:{name}", 3) for name in ("unet", "unet3d", "attention-unet", "unetpp")]
    + [("vnet:vnet", 3), ("unets:unet", 2)],
)
def test_how_features_are_scored_is_read_off_the_answers(name, dims):
    backbone = build(name, in_channels=1, out_channels=3, dims=dims, options={"width": 2}).backbone
    weight, bias = scores_of_features(backbone, dims=dims)
    features = torch.randn(2, backbone.num_features, *[8] * dims)
    expected = torch.einsum("kf,bf...->bk...", weight, features) + bias.reshape(-1, *[1] * dims)
    assert torch.allclose(backbone.forward_head(features), expected, atol=1e-5)


@pytest.mark.parametrize(
    "last",
    [nn.Conv3d(4, 2, 3, padding=1), nn.Sequential(nn.Conv3d(4, 2, 1), nn.ReLU()), nn.InstanceNorm3d(4)],
)
def test_scores_that_are_no_weighted_sum_of_a_voxels_features_are_none(last):
    backbone = nn.Module()
    backbone.num_features, backbone.forward_head = 4, last
    assert scores_of_features(backbone, dims=3) is None


def test_a_wider_network_is_refused(folder):
    with pytest.raises(WeightsError, match=r"does not fit UNet3D: .* wanted \(4,"):
        begin(folder, "first", "balls.json", options={"width": 4, "depth": 1, "norm": "instance"})


def test_a_plan_with_other_weights_is_refused(folder):
    dataset, registry = read_dataset(folder / "balls.json"), default_registry()
    plan = replace(read_plan(folder / "first/plan.json"), start="0" * 64)
    network = network_of(plan, dataset, registry)
    start = find_start(str(folder / "first"), registry=registry)
    for given, match in ((None, "no model was given"), (start, "first is another one")):
        with pytest.raises(OptionError, match=match):
            load_start(network, given, plan, classes=3)


def test_a_model_that_sees_slices_is_refused(folder):
    model = read_model(folder / "first")
    sliced = replace(model.input, patch=Slices(axis=2, size=(16, 16)))
    write_model(folder / "sliced", replace(model, input=sliced), weights(folder, "first"))
    with pytest.raises(OptionError, match=r"sliced: a training can start from one network that sees volumes"):
        find_start(str(folder / "sliced"), registry=default_registry())
