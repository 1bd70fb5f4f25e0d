"""Model folders: written whole, read back, run by their path, listed as the user's own."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medseg.catalogue import find_model, models
from medseg.errors import ContractError, PluginError, UnknownNameError, WeightsError
from medseg.formats import save
from medseg.model_folder import read_model, write_model
from medseg.plugin import Channel, Input, Label, Model, Weights, Windows
from medseg.predict import load_model, segment
from medseg.registry import Registry
from medseg.segmenter import build
from medseg.volume import Volume

OPTIONS = {"width": 4, "depth": 2}


def description(**changes):
    fixed = {
        "name": "stripes",
        "summary": "Stripes of a phantom",
        "architecture": "unets:unet3d",
        "options": OPTIONS,
        "weights": Weights(source="", sha256="", size=0, licence="CC-BY-4.0"),
        "input": Input(
            channels=(Channel(name="T1w", modality="MR", unit="arbitrary"),),
            spacing_mm=(1.0, 1.0, 2.0),
            orientation="RAS",
            patch=Windows(size=(16, 16, 16)),
            steps=(("zscore", {}),),
        ),
        "labels": (
            Label(value=0, name="background", colour="#000000"),
            Label(value=2, name="stripe", colour="#ff0000"),
        ),
        "intended_use": "tests",
        "training_data": "noise",
    }
    return Model(**(fixed | changes))


@pytest.fixture(scope="module")
def tensors():
    torch.manual_seed(3)
    network = build("unets:unet3d", in_channels=1, out_channels=2, options=OPTIONS)
    return network.backbone.state_dict()


@pytest.fixture
def folder(tmp_path, tensors):
    write_model(tmp_path / "stripes", description(), tensors)
    return tmp_path / "stripes"


def image():
    values = np.random.default_rng(0).normal(size=(18, 17, 9)).astype(np.float32)
    return Volume(values, np.diag([1.0, 1.0, 2.0, 1.0]))


def test_what_is_written_is_read_back(folder):
    read = read_model(folder)
    expected = description(weights=read.weights)
    assert read == expected
    assert read.weights.source == f"file:{folder / 'weights.safetensors'}"
    assert read.weights.licence == "CC-BY-4.0"
    assert read.weights.size == (folder / "weights.safetensors").stat().st_size


def test_the_card_says_what_the_model_is(folder):
    card = (folder / "README.md").read_text()
    assert "# stripes" in card
    assert "| 2 | stripe |" in card
    assert read_model(folder).weights.sha256 in card


def test_the_file_itself_names_its_weights_beside_it_and_can_be_moved(folder, tmp_path):
    written = json.loads((folder / "contract.json").read_text())
    assert written["medseg_model"] == 1
    assert written["model"]["weights"]["source"] == "file:weights.safetensors"
    before = segment(image(), str(folder), device="cpu").labels
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    assert np.array_equal(segment(image(), str(moved), device="cpu").labels.array, before.array)
    assert set(np.unique(before.array)) <= {0, 2}


def test_other_files_of_the_folder_stay_and_further_ones_come_along(folder, tensors):
    (folder / "log.csv").write_text("epoch,loss\n")
    write_model(folder, description(), tensors, also={"metrics.json": lambda part: part.write_text("{}")})
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "contract.json",
        "log.csv",
        "metrics.json",
        "weights.safetensors",
    ]


def test_tensors_that_share_memory_are_written_as_two(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    whole = {"first": shared, "again": shared, "turned": shared.T, "part": shared[1]}
    write_model(tmp_path / "shared", description(), whole)
    written = load_file(tmp_path / "shared/weights.safetensors")
    assert written.keys() == whole.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in whole.items())


def test_a_failure_leaves_no_contract(tmp_path, tensors):
    def fail(part):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write_model(tmp_path / "new", description(), tensors, also={"log.csv": fail})
    assert list((tmp_path / "new").iterdir()) == []


def test_weights_that_were_changed_are_refused(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="has sha256"):
        load_model(str(folder))


def test_weights_outside_the_folder_are_refused(folder):
    path = folder / "contract.json"
    path.write_text(path.read_text().replace("file:weights", "file:../weights"))
    with pytest.raises(WeightsError, match="not inside the folder"):
        read_model(folder)


def test_components_are_named_in_full(tmp_path, tensors):
    with pytest.raises(ContractError, match=r"unet3d must be named in full, as plugin:name"):
        write_model(tmp_path / "x", description(architecture="unet3d"), tensors)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no JSON"),
        ("[1]", "medseg_model is None, wanted 1"),
        ('{"medseg_model": 2}', "upgrade medseg"),
        ('{"medseg_model": 1}', "got None, wanted the fields of a Model"),
        ('{"medseg_model": 1, "model": {"name": "x"}}', "missing fields architecture"),
    ],
)
def test_a_contract_that_is_none_is_refused_by_its_path(tmp_path, text, says):
    (tmp_path / "contract.json").write_text(text)
    with pytest.raises(ContractError, match=says) as caught:
        read_model(tmp_path)
    assert "contract.json" in str(caught.value)


def test_a_folder_without_a_contract_is_told_how_to_import(tmp_path):
    with pytest.raises(ContractError, match="medseg import SOURCE --name NAME"):
        load_model(str(tmp_path))


def test_a_path_is_a_folder_and_a_bare_name_is_one_only_if_no_model_has_it(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    registry = Registry.discover()
    assert find_model("stripes", registry=registry).full_name == "local:stripes"
    assert find_model("stripes/", registry=registry).full_name == "local:stripes"
    (folder.parent / "brain-mask").mkdir()
    assert find_model("brain-mask", registry=registry).full_name == "linknet:brain-mask"
    with pytest.raises(UnknownNameError):
        find_model("spots", registry=registry)


def test_models_of_the_user_s_folder_are_listed_and_a_broken_one_is_a_row(tmp_path, tensors, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path))
    write_model(tmp_path / "models" / "stripes", description(), tensors)
    write_model(tmp_path / "models" / "other", description(), tensors)
    (tmp_path / "models" / "broken").mkdir()
    (tmp_path / "models" / "broken" / "contract.json").write_text("{")
    registry = Registry.discover()
    assert "local:stripes" in models(registry=registry)
    assert [r.reason for r in registry.failures if "other" in r.distribution] == [
        "its contract says 'stripes'; rename the folder to that"
    ]
    assert any("is no JSON" in r.reason for r in registry.failures)
    assert "unets" in {r.name for r in registry.records}
    assert not any(str(tmp_path) in name for name in registry.versions())
    assert load_model("local:stripes", registry=registry).name == "local:stripes"


def test_an_allow_list_of_plugins_leaves_them_out(tmp_path, tensors, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path))
    write_model(tmp_path / "models" / "stripes", description(), tensors)
    monkeypatch.setenv("MEDSEG_PLUGINS", "unets")
    assert "local:stripes" not in models(registry=Registry.discover())
    monkeypatch.setenv("MEDSEG_PLUGINS", "unets, local")
    assert "local:stripes" in models(registry=Registry.discover())


def test_no_plugin_can_take_the_name(install, tmp_path, monkeypatch):
    install(tmp_path, "medseg-local", "[medseg]\nlocal = medseg_local\n", medseg_local="MEDSEG_API = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert any("is that of the user's own models" in r.reason for r in Registry.discover().failures)
    monkeypatch.setenv("MEDSEG_STRICT", "1")
    with pytest.raises(PluginError):
        Registry.discover()


def test_the_command_runs_a_folder_and_lists_its_network_s_options(medseg, folder, tmp_path):
    save(image(), tmp_path / "a.nii.gz")
    done = medseg("segment", tmp_path / "a.nii.gz", "-m", folder, "-o", tmp_path / "out.nii.gz")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["model"] == "local:stripes"
    shown = medseg("segment", "-m", folder, "--help")
    assert "width" in shown.stdout
    assert "default 4" in shown.stdout


def test_the_licence_is_the_only_part_of_the_weights_that_the_writer_states(tmp_path, tensors):
    stated = replace(description().weights, source="file:elsewhere", sha256="0" * 64, size=5)
    written = write_model(tmp_path / "stripes", description(weights=stated), tensors)
    assert written.weights.size == (tmp_path / "stripes" / "weights.safetensors").stat().st_size
