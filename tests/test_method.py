"""Methods without weights: used as models are, by name, with options, on files and folders."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import medseg
import medseg.builtin.plugin
from medseg.catalogue import methods, model_options
from medseg.cli import main
from medseg.errors import AmbiguousNameError, ContractError, OptionError, PluginError, UnknownNameError
from medseg.formats import load, save
from medseg.inference.execution import Execution
from medseg.method import LoadedMethod
from medseg.plugin import Channel, Input, Label, Method, Model, Weights, WholeGrid, hookimpl
from medseg.predict import load_model, segment
from medseg.registry import Registry
from medseg.volume import Volume

HERE = __name__
AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])
LABELS = (
    Label(value=0, name="background", colour="#000000"),
    Label(value=1, name="bright", colour="#00ff00"),
)


def above(*, bound: float = 0.5):
    return lambda image: image.with_array((image.array > bound).astype(np.uint8), kind="labels")


def steps(*, count: int = 3):
    return lambda image: image.with_array((image.array * count).astype(np.uint8), kind="labels")


def sevens():
    return lambda image: image.with_array(np.full(image.shape, 7, np.uint8), kind="labels")


def elsewhere():
    return lambda image: Volume(np.zeros(image.shape, np.uint8), np.eye(4), "labels")


def method(name, labels=LABELS):
    return Method(
        name=name, factory=f"{HERE}:{name}", summary=name, labels=labels, intended_use="none but this test"
    )


def model(name):
    return Model(
        name=name,
        summary="x",
        architecture="none",
        weights=Weights(source="file:w", sha256="0" * 64, size=1, licence="MIT"),
        input=Input(
            channels=(Channel(name="T1w", modality="MR", unit="arbitrary"),),
            spacing_mm=None,
            orientation="RAS",
            patch=WholeGrid(shape=(8, 8, 8)),
        ),
        labels=LABELS,
        intended_use="x",
        training_data="x",
    )


def plugin(*offers, models=()):
    return SimpleNamespace(
        MEDSEG_API=1,
        medseg_methods=hookimpl(lambda: list(offers)),
        medseg_models=hookimpl(lambda: list(models)),
    )


@pytest.fixture
def registry():
    here = plugin(method("above"), method("steps", ()), method("sevens"), method("elsewhere"))
    return Registry.of(builtin=medseg.builtin.plugin, here=here)


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return Volume(rng.random((6, 5, 4)).astype(np.float32), AFFINE)


def test_a_method_segments_on_the_images_own_grid_and_says_how(image, registry):
    result = segment(image, "here:above", options={"bound": "0.25"}, registry=registry)

    np.testing.assert_array_equal(result.labels.array, image.array > 0.25)
    np.testing.assert_array_equal(result.labels.affine, AFFINE)
    assert result.classes == LABELS
    (bright,) = result.measures
    assert bright.voxels == (image.array > 0.25).sum()
    record = result.provenance
    assert record["model"] == "here:above"
    assert record["weights_sha256"] is None
    assert record["settings"] == {"options": {"bound": 0.25}}
    assert record["labels"]["1"]["name"] == "bright"
    assert record["input"][0]["orientation"] == "LAS"
    assert record["intended_use"] == "none but this test"
    assert json.loads(json.dumps(record)) is not None


def test_labels_without_a_name_are_called_by_their_number(image, registry):
    result = segment(image, "steps", registry=registry)
    assert [c.name for c in result.classes] == ["background", "class 1", "class 2"]


def test_methods_are_listed_with_their_options(registry):
    assert list(methods(registry=registry)) == [
        "here:above",
        "here:elsewhere",
        "here:sevens",
        "here:steps",
    ]
    assert model_options("above", registry=registry)["bound"].default == 0.5


def test_a_result_that_is_none_is_refused(image, registry):
    with pytest.raises(PluginError, match=r"gave the labels \[7\] .*it has 0 \(background\), 1 \(bright\)"):
        segment(image, "sevens", registry=registry)
    with pytest.raises(PluginError, match="a label map on the image's grid"):
        segment(image, "elsewhere", registry=registry)


def test_an_input_that_cannot_be_is_refused(image, registry):
    spoilt = image.array.copy()
    spoilt[0, 0, 0] = np.nan
    for wrong in (image.with_array(spoilt), image.with_array(np.ones_like(spoilt)), [image, image]):
        with pytest.raises(ContractError, match="here:above cannot use this input"):
            segment(wrong, "above", registry=registry)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"execution": Execution(backend="compile")}, "a backend"),
        ({"execution": Execution(mirror=True)}, "mirroring"),
        ({"execution": Execution(max_ram=10**9)}, "a limit on memory"),
        ({"execution": Execution(max_vram=10**9)}, "a limit on memory"),
        ({"execution": Execution(attention=True)}, "maps of attention"),
        ({"execution": Execution(deterministic=True)}, "a deterministic mode"),
        ({"device": "cuda"}, "the device 'cuda'"),
        ({"options": {"bond": 1}}, "method here:above has no option 'bond'"),
    ],
)
def test_what_concerns_networks_alone_is_refused(settings, message, registry):
    with pytest.raises(OptionError, match=message):
        load_model("above", registry=registry, **settings)


def test_models_and_methods_share_their_names():
    both = Registry.of(a=plugin(method("above")), b=plugin(models=[model("above")]))
    with pytest.raises(AmbiguousNameError, match="b:above, a:above"):
        load_model("above", registry=both)
    assert isinstance(load_model("a:above", registry=both), LoadedMethod)
    with pytest.raises(UnknownNameError, match=r"no model 'abve'. Did you mean"):
        load_model("abve", registry=both)
    with pytest.raises(Exception, match="a model and a method of the one name 'above'"):
        Registry.of(a=plugin(method("above"), models=[model("above")]))


def test_the_command_line_runs_a_folder_through_a_method(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        save(Volume(rng.random((8, 7, 6)).astype(np.float32), AFFINE), tmp_path / "in" / f"{name}.nii")
    arguments = ["segment", tmp_path / "in", "-m", "classics:multi-otsu", "-o", tmp_path / "out"]

    def run(*more):
        return CliRunner().invoke(main, [str(a) for a in (*arguments, *more)])

    done = run("-o", "classes=4")

    assert done.exit_code == 0, done.output
    assert "class 3" in done.output
    assert load(tmp_path / "out" / "b.nii.gz", kind="labels").array.max() == 3
    assert json.loads((tmp_path / "out" / "a.json").read_text())["settings"] == {"options": {"classes": 4}}
    assert "classes  int, default 3" in run("--help").output
    assert run("-o", "clases=4", "--overwrite").exit_code == 2
    bench = CliRunner().invoke(main, ["bench", "-m", "classics:otsu"])
    assert bench.exit_code == 2
    assert "no backends to compare" in bench.output
