"""Steps behind a model by the user's wish: found, run on the input's own grid, recorded."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import medseg
import medseg.builtin.plugin
from medseg.cli import main
from medseg.errors import Cancelled, ContractError, OptionError, PluginError, UnknownNameError
from medseg.formats import load, save
from medseg.plugin import Label, Method, Step, hookimpl
from medseg.predict import load_model, segment
from medseg.refinement import find_refiners, refine
from medseg.registry import Registry
from medseg.volume import Volume

HERE = __name__
AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])
LABELS = (
    Label(value=0, name="background", colour="#000000"),
    Label(value=1, name="bright", colour="#00ff00", plausible_ml=(0.02, 0.1)),
)
SEEN = []


def above(*, bound: float = 0.5):
    return lambda image: image.with_array((image.array > bound).astype(np.uint8), kind="labels")


def brighter(*, bound: float = 0.0):
    """A step that keeps of each label what is bright."""

    def step(labels, image):
        if not labels.grid.matches(image.grid):
            raise ContractError("another grid")
        SEEN.append(image)
        return labels.with_array(labels.array * (image.array > bound)), lambda volume: volume

    return step


def doubled():
    return lambda labels: (labels.with_array(labels.array * 2), lambda volume: volume)


def moved():
    return lambda labels: (Volume(labels.array, np.eye(4), "labels"), lambda volume: volume)


@pytest.fixture
def registry():
    def code(name):
        return f"{HERE}:{name}"

    plugin = SimpleNamespace(
        MEDSEG_API=1,
        medseg_methods=hookimpl(
            lambda: [Method(name="above", factory=code("above"), summary="x", labels=LABELS)]
        ),
        medseg_steps=hookimpl(
            lambda: [
                Step(name="brighter", factory=code("brighter"), summary="x", stage="post", needs_image=True),
                Step(name="doubled", factory=code("doubled"), summary="x", stage="post"),
                Step(name="moved", factory=code("moved"), summary="x", stage="post"),
            ]
        ),
    )
    return Registry.of(builtin=medseg.builtin.plugin, here=plugin)


@pytest.fixture
def image():
    array = np.zeros((6, 5, 4), np.float32)
    array[1:4, 1:3, 1:3] = 1
    array[2, 1, 1] = 3
    array[5, 4, 3] = 2
    return Volume(array, AFFINE)


def test_steps_run_in_order_on_the_image_itself_and_are_recorded(image, registry):
    SEEN.clear()
    result = segment(image, "above", refine=["largest-component", "brighter bound=1.5"], registry=registry)

    assert np.argwhere(result.labels.array).tolist() == [[2, 1, 1]]
    assert SEEN[0] is image
    assert result.provenance["refine"] == [
        {"step": "builtin:largest-component", "options": {}},
        {"step": "here:brighter", "options": {"bound": 1.5}},
    ]
    assert json.loads(json.dumps(result.provenance)) is not None
    assert result.provenance["seconds"]["refine"] >= 0
    assert result.provenance["model"] == "here:above"


def test_options_left_out_are_recorded_too(registry):
    (refiner,) = find_refiners(["brighter"], registry=registry)
    assert refiner.options == {"bound": 0.0}


def test_a_step_and_its_options_may_be_given_apart(image, registry):
    together, apart = (
        segment(image, "above", refine=[use], registry=registry)
        for use in ("brighter bound=2.5", ("brighter", {"bound": 2.5}))
    )
    np.testing.assert_array_equal(together.labels.array, apart.labels.array)


def test_doubts_about_sizes_are_those_of_the_refined_labels(image, registry):
    """13 voxels of 6 mm3 are within the plausible volume, the one that is left is not."""
    assert segment(image, "above", registry=registry).warnings == ()
    (warning,) = segment(image, "above", refine=["brighter bound=2.5"], registry=registry).warnings
    assert warning.startswith("bright: got 0 mL, wanted")


def test_one_model_refines_many_images_and_may_be_cancelled(image, registry):
    model = load_model("above", refine=["brighter bound=2.5"], registry=registry)
    stages = []
    assert model.segment(image, progress=lambda p: stages.append(p.stage)).labels.array.sum() == 1
    assert "refine" in stages
    token = medseg.CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        model.segment(image, cancel=token)


def test_any_mask_is_refined_by_name(image, registry, tmp_path):
    mask = image.with_array(np.ones(image.shape, np.uint16) * 7, kind="labels")
    better = refine(image, mask, "brighter", bound=2.5, registry=registry)
    assert np.unique(better.array).tolist() == [0, 7]
    assert better.array.dtype == np.uint16
    save(image, tmp_path / "image.nii")
    save(mask, tmp_path / "mask.nii")
    from_files = refine(
        tmp_path / "image.nii", tmp_path / "mask.nii", "brighter", bound=2.5, registry=registry
    )
    np.testing.assert_array_equal(from_files.array, better.array)


def test_what_a_step_must_not_do_is_refused(image, registry):
    with pytest.raises(PluginError, match=r"here:doubled gave .* with the new labels \[2\]"):
        segment(image, "above", refine=["doubled"], registry=registry)
    with pytest.raises(PluginError, match="here:moved gave"):
        segment(image, "above", refine=["moved"], registry=registry)


def test_what_cannot_be_refined_is_refused(image, registry):
    with pytest.raises(OptionError, match=r"builtin:clip works on images.*here:brighter"):
        find_refiners(["clip"], registry=registry)
    with pytest.raises(OptionError, match=r"has no option 'bond'. It takes: bound=0.0 \(float\)"):
        find_refiners(["brighter bond=2"], registry=registry)
    with pytest.raises(OptionError, match="write NAME=VALUE, such as --refine"):
        find_refiners(["brighter bound"], registry=registry)
    with pytest.raises(UnknownNameError, match=r"no step 'brightr'. Did you mean"):
        find_refiners(["brightr"], registry=registry)
    other = Volume(np.zeros((2, 2, 2), np.uint8), AFFINE, "labels")
    with pytest.raises(ContractError, match="resample one onto the other"):
        refine(image, other, "largest-component", registry=registry)
    with pytest.raises(ContractError, match="wants labels"):
        refine(image, image, "largest-component", registry=registry)


def test_a_step_before_the_network_needs_no_further_image():
    with pytest.raises(ValueError, match="needs_image is for steps after it"):
        Step(name="s", factory="a:b", summary="x", stage="pre", needs_image=True)


def test_the_command_line_refines_what_a_model_finds(tiny, tmp_path):
    array = np.zeros((6, 5, 4), np.int16)
    array[1:4, 1:3, 1:3] = array[5, 4, 3] = 200
    save(Volume(array, AFFINE), tmp_path / "scan.nii")
    arguments = ["segment", str(tmp_path / "scan.nii"), "-m", "bright", "-o", str(tmp_path / "out")]

    done = CliRunner().invoke(main, [*arguments, "--refine", "largest-component"])
    wrong = CliRunner().invoke(main, [*arguments, "--refine", "largest-componnt"])

    assert done.exit_code == 0, done.output
    assert load(tmp_path / "out" / "scan.nii.gz", kind="labels").array.sum() == 12
    record = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert record["refine"] == [{"step": "builtin:largest-component", "options": {}}]
    assert wrong.exit_code == 2
    assert "Did you mean largest-component?" in wrong.output
