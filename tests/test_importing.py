"""Other tools' models become folders: by name, by their path, several as one; and what is refused."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import medseg
from medseg import model_folder
from medseg.errors import ContractError, OptionError, UnknownNameError, WeightsError
from medseg.importing import compose, find_importer, import_model
from medseg.model_folder import read_model
from medseg.plugin import (
    Architecture,
    Channel,
    Imported,
    Importer,
    Input,
    Label,
    Locator,
    Model,
    Weights,
    Windows,
    hookimpl,
)
from medseg.predict import load_model
from medseg.registry import Registry
from medseg.volume import Volume

HERE = __name__


class Above(torch.nn.Module):
    """Class n where the image is above the n-th threshold and not above a later one."""

    def __init__(self, in_channels, out_channels, *, dims=3):
        super().__init__()
        self.at = torch.nn.Parameter(torch.zeros(out_channels))

    def forward(self, x):
        return torch.stack([(n + 1.0) * (x[:, 0] > at) for n, at in enumerate(self.at)], dim=1)


def read(source, name, *, licence: str = "MIT"):
    pairs = [line.split() for line in source.read_text().splitlines()]
    labels = [Label(value=n, name=label, colour="#123456") for n, (label, _) in enumerate(pairs)]
    channel = Channel(name=source.stem.rstrip("0123456789"), modality="MR", unit="arbitrary")
    model = Model(
        name=name,
        summary="Thresholds",
        architecture="tool:above",
        weights=Weights(source="", sha256="", size=0, licence=licence),
        input=Input(
            channels=(channel,), spacing_mm=None, orientation="stored", patch=Windows(size=(4, 4, 4))
        ),
        labels=tuple(labels),
        intended_use="tests",
        training_data="none",
    )
    return Imported(
        model=model, tensors={"at": torch.tensor([float(at) for _, at in pairs])}, notes=("a note",)
    )


def is_thresholds(path):
    return path.suffix == ".thresholds"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def registry(monkeypatch):
    module = SimpleNamespace(Above=Above, read=read, is_thresholds=is_thresholds)
    monkeypatch.setitem(__import__("sys").modules, "a_tool", module)
    about = {"summary": "Thresholds in a file", "reference": "none"}
    architecture = Architecture(name="above", factory="a_tool:Above", **about)
    importer = Importer(name="thresholds", factory="a_tool:read", recognise="a_tool:is_thresholds", **about)
    return Registry.of(
        tool=SimpleNamespace(
            MEDSEG_API=1,
            medseg_architectures=hookimpl(lambda: [architecture]),
            medseg_importers=hookimpl(lambda: [importer]),
        )
    )


def thresholds(folder, name="t1", **labels):
    path = folder / f"{name}.thresholds"
    path.write_text("".join(f"{label} {at}\n" for label, at in {"background": -9, **labels}.items()))
    return path


def image():
    return Volume(np.arange(4**3, dtype=np.float32).reshape(4, 4, 4), np.diag([-1.0, 1, 2, 1]))


def test_an_import_is_a_model_folder_in_the_user_s_own(tmp_path, home, registry):
    model, notes = import_model([thresholds(tmp_path, bright=40)], "bright", registry=registry)
    assert notes == ("a note",)
    assert model == read_model(home / "models" / "bright")
    assert Registry.discover().find("model", "local:bright").component == model
    found = load_model(str(home / "models" / "bright"), registry=registry).segment(image())
    np.testing.assert_array_equal(found.labels.array, image().array > 40)


def test_options_reach_the_importer_and_are_checked(tmp_path, registry):
    source = thresholds(tmp_path, bright=40)
    model, _ = import_model([source], "bright", options={"licence": "CC0-1.0"}, registry=registry)
    assert model.weights.licence == "CC0-1.0"
    with pytest.raises(OptionError, match="importer tool:thresholds has no option 'colour'"):
        import_model([source], "other", options={"colour": "red"}, registry=registry)


def test_several_become_one_whose_labels_go_by_name(tmp_path, home, registry):
    sources = [thresholds(tmp_path, "t1", low=10, mid=20), thresholds(tmp_path, "t2", mid=40, high=50)]
    model, _ = import_model(sources, "all", registry=registry)
    assert [(c.value, c.name) for c in model.labels] == [
        (0, "background"),
        (1, "low"),
        (2, "mid"),
        (3, "high"),
    ]
    assert [part.labels for part in model.parts] == [((1, 1), (2, 2)), ((1, 2), (2, 3))]
    found = load_model(str(home / "models" / "all"), registry=registry).segment(image())
    expected = np.digitize(image().array, [10, 20, 50], right=True)
    np.testing.assert_array_equal(found.labels.array, expected)
    assert found.labels.grid.matches(image().grid)
    assert found.provenance["weights_sha256"] == model.weights.sha256


def test_labels_of_one_and_a_folder_that_is_a_file_are_refused(tmp_path, home, registry):
    source = thresholds(tmp_path, bright=40)
    with pytest.raises(OptionError, match="a list of labels orders those of several models"):
        import_model([source], "bright", labels=["liver"], registry=registry)
    with pytest.raises(OptionError, match="is a file; wanted a folder to write the model into"):
        import_model([source], "bright", folder=source, registry=registry)


def test_labels_of_several_are_of_no_modality_and_in_no_unit(tmp_path, home, registry):
    sources = [thresholds(tmp_path, "t1", low=10), thresholds(tmp_path, "t2", high=50)]
    import_model(sources, "all", registry=registry)
    loaded = load_model(str(home / "models" / "all"), registry=registry)
    labels = loaded.segment(replace(image(), modality="MR", unit="arbitrary", notes=("of the image",))).labels
    assert (labels.kind, labels.modality, labels.unit, labels.notes) == ("labels", "", "", ())


def test_what_decides_the_labels_of_a_part_is_a_setting_of_the_whole(tmp_path, home, registry):
    """A cohort goes on only with the same settings."""
    sources = [thresholds(tmp_path, "t1", low=10), thresholds(tmp_path, "t2", high=50)]
    import_model(sources, "all", registry=registry)
    folder = home / "models" / "all"
    before = load_model(str(folder), registry=registry).describe()["settings"]
    contract = json.loads((folder / "part-2/contract.json").read_text())
    contract["model"]["input"]["channels"][0]["unit"] = "HU"
    (folder / "part-2/contract.json").write_text(json.dumps(contract))
    after = load_model(str(folder), registry=registry).describe()["settings"]
    assert before["parts"][0] == after["parts"][0]
    assert before["parts"][1] != after["parts"][1]


def test_a_model_of_several_is_refused_as_a_locator(tmp_path, home, registry):
    sources = [thresholds(tmp_path, "t1", low=10), thresholds(tmp_path, "t2", high=50)]
    import_model(sources, "all", registry=registry)
    loaded = load_model(str(home / "models" / "all"), registry=registry)
    with pytest.raises(ContractError, match="made of 2 models, and a locator is one network; name the part"):
        loaded.find_box([image()], Locator(model="all", label=2), home=image().grid)


def test_several_of_which_one_cannot_be_written_leave_nothing(tmp_path, home, registry, monkeypatch):
    write = model_folder.write_model

    def refuse(folder, model, tensors):
        if model.name.endswith("part-2"):
            raise ContractError("no")
        return write(folder, model, tensors)

    sources = [thresholds(tmp_path, "t1", air=-1, ball=1), thresholds(tmp_path, "t12", air=-1, egg=2)]
    (home / "models/both").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(model_folder, "write_model", refuse)
        with pytest.raises(ContractError, match="no"):
            import_model(sources, "both", registry=registry)
    assert not [path for path in (home / "models").rglob("*") if path.name != "both"]
    assert len(import_model(sources, "both", registry=registry)[0].parts) == 2


def test_the_numbers_of_several_may_be_given(tmp_path, home, registry):
    sources = [thresholds(tmp_path, "t1", low=10), thresholds(tmp_path, "t2", high=50)]
    import_model(sources, "all", labels=["high", "low"], registry=registry)
    found = load_model(str(home / "models" / "all"), registry=registry).segment(image()).labels.array
    np.testing.assert_array_equal(found == 1, image().array > 50)
    assert (found == 2).sum() == 40
    with pytest.raises(ContractError, match=r"lacks high of the parts' labels, and has top that no part has"):
        import_model(sources, "again", labels=["top", "low"], registry=registry)


def test_five_parts_make_117_labels(tmp_path):
    def part(first, count):
        return read(
            thresholds(tmp_path, **{f"organ{n}": n for n in range(first, first + count)}), "part"
        ).model

    parts = [part(first, count) for first, count in ((1, 24), (25, 26), (51, 18), (69, 23), (92, 26))]
    whole = compose("total", parts)
    assert len(whole.labels) == 118
    assert whole.labels[117].name == "organ117"
    assert [p.labels[0] for p in whole.parts] == [(1, 1), (1, 25), (1, 51), (1, 69), (1, 92)]


def test_parts_that_want_other_channels_are_refused(tmp_path, registry):
    sources = [thresholds(tmp_path, "t1", low=10), thresholds(tmp_path, "flair", high=50)]
    with pytest.raises(ContractError, match="its parts want different channels"):
        import_model(sources, "all", registry=registry)


def test_a_part_that_was_replaced_is_refused(tmp_path, home, registry):
    sources = [thresholds(tmp_path, "t1", low=10), thresholds(tmp_path, "t2", high=50)]
    import_model(sources, "all", registry=registry)
    folder = home / "models" / "all"
    import_model([thresholds(tmp_path, "t3", low=12)], "x", folder=tmp_path / "x", registry=registry)
    for name in ("contract.json", "weights.safetensors"):
        (folder / "part-1" / name).write_bytes((tmp_path / "x" / name).read_bytes())
    with pytest.raises(WeightsError, match="a part was replaced"):
        load_model(str(folder), registry=registry)


def test_another_tool_s_file_runs_by_its_path_and_is_read_once(tmp_path, home, registry, monkeypatch):
    source = thresholds(tmp_path, bright=40)
    first = load_model(str(source), registry=registry)
    assert first.name == "local:t1-thresholds"
    monkeypatch.setattr("a_tool.read", lambda *_: pytest.fail("it is in the cache"))
    load_model(str(source), registry=registry)
    assert len(list((home / "imported").iterdir())) == 1


def test_a_file_that_changed_is_read_again(tmp_path, registry):
    load_model(str(thresholds(tmp_path, bright=40)), registry=registry)
    again = load_model(str(thresholds(tmp_path, bright=40, brighter=50)), registry=registry)
    assert len(again.description.labels) == 3


def test_what_no_importer_knows_is_told_what_there_is(tmp_path, registry):
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(OptionError, match="Installed: tool:thresholds: Thresholds in a file"):
        import_model([tmp_path / "x.txt"], "x", registry=registry)
    assert find_importer(tmp_path / "x.txt", registry=registry) is None
    with pytest.raises(UnknownNameError):
        load_model("nothing-here", registry=registry)


@pytest.mark.parametrize("name", ["Bright", "a b", "-x", "a/b", ""])
def test_a_name_that_cannot_be_one_is_refused(tmp_path, registry, name):
    with pytest.raises(OptionError, match="is not allowed"):
        import_model([thresholds(tmp_path, bright=40)], name, registry=registry)


def test_a_name_that_is_taken_is_refused(tmp_path, registry):
    source = thresholds(tmp_path, bright=40)
    import_model([source], "bright", registry=registry)
    with pytest.raises(OptionError, match="exists and is not empty"):
        import_model([source], "bright", registry=registry)


def test_maps_of_a_model_made_of_others_are_refused(tmp_path, home, registry):
    sources = [thresholds(tmp_path, "t1", low=10), thresholds(tmp_path, "t2", high=50)]
    import_model(sources, "all", registry=registry)
    execution = medseg.Execution(probabilities=True)
    with pytest.raises(OptionError, match="whose maps do not add up"):
        load_model(str(home / "models" / "all"), registry=registry, execution=execution)
