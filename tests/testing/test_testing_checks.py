"""Each check fails on a component that breaks its promise, and says so; sound ones pass."""

import dataclasses
import hashlib
import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.numpy

import medseg.builtin.plugin
from medseg import save
from medseg.plugin import (
    KINDS,
    Architecture,
    Backend,
    Channel,
    Export,
    Format,
    Head,
    Importer,
    Input,
    Label,
    Locator,
    Loss,
    Method,
    Metric,
    Model,
    Panel,
    Probe,
    Step,
    Weights,
    Windows,
    hookimpl,
)
from medseg.registry import PluginRecord, Registry
from medseg.testing.phantoms import make_phantom
from medseg.testing.subject import PluginSubject, Subject
from medseg.testing.suite import SUITES, Check, promises, run_check, slug

COMMON = {"name": "bad", "summary": "One fault", "reference": "none"}


@pytest.fixture(autouse=True)
def faulty(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def described(cls, **fields):
    return cls(**{**COMMON, **fields})


def network(code, **fields):
    return described(Architecture, **{"factory": f"faulty.architectures:{code}", "features": True, **fields})


def head(code, **fields):
    return described(Head, factory=f"faulty.heads:{code}", extras=("phi",), **fields)


def loss(code, *, module="losses", **fields):
    return described(Loss, factory=f"faulty.{module}:{code}", **fields)


def metric(code, *, unit="", higher=True):
    return described(Metric, factory=f"faulty.metrics:{code}", unit=unit, higher_is_better=higher)


def file_format(read="read", write="write", **fields):
    code = {"factory": f"faulty.formats:{read}", "write": f"faulty.formats:{write}"}
    return described(Format, **{**code, "suffixes": (".bad",), **fields})


def step(code, stage="pre", **fields):
    return described(Step, factory=f"faulty.steps:{code}", stage=stage, **fields)


def looking_step(code):
    return step(code, stage="post", needs_image=True)


def method(code, *values):
    labels = tuple(Label(value=v, name=f"label {v}", colour="#00ff00") for v in values)
    return described(Method, factory=f"faulty.methods:{code}", labels=labels)


def backend(code):
    return described(Backend, factory=f"faulty.backends:{code}", devices=("cpu",))


def export(code):
    return described(Export, factory=f"faulty.exports:{code}", suffix=".bad")


def importer(code, recognise="nothing"):
    fields = {"factory": f"faulty.importers:{code}", "recognise": f"faulty.importers:{recognise}"}
    return described(Importer, **fields)


def panel(**fields):
    return described(Panel, **{"title": "", "slot": "setup", "of": "builtin:clip", **fields})


def kind_of(component):
    (kind,) = [kind for kind, (_, cls) in KINDS.items() if type(component) is cls]
    return kind


def promise_called(name, kind):
    (function,) = [function for function in promises(kind) if slug(function) == name]
    return function


def outcome(component, promise):
    """What one check says of a component that stands in a registry with the built-in ones."""
    kind = kind_of(component)
    hooks = {KINDS[kind][0]: hookimpl(lambda: [component])}
    hooks.setdefault("medseg_architectures", hookimpl(lambda: [network("Sound", name="sound")]))
    hooks.setdefault("medseg_heads", hookimpl(lambda: [head("Sound", name="sound")]))
    registry = Registry.of(builtin=medseg.builtin.plugin, bad=SimpleNamespace(MEDSEG_API=1, **hooks))
    (registered,) = [r for r in registry.components(kind) if r.component is component]
    subject = Subject(registered=registered, registry=registry, module="faulty.heavy_plugin")
    function = promise_called(promise, kind)
    return run_check(Check(id=promise, promise="", run=lambda: function(subject)))


BAD = [
    ("summary-is-one-line", loss("cross_entropy", summary="x" * 81), "81 characters"),
    ("summary-is-one-line", loss("cross_entropy", summary=" "), "wanted one line of 1 to 80"),
    ("architecture-cites-its-source", network("Sound", reference=""), "no reference"),
    ("code-is-found", loss("no_such_loss"), "has no attribute 'no_such_loss'"),
    ("code-is-found", loss("NOT_CODE", module="signatures"), "which is int"),
    ("code-is-found", file_format(write="no_such_writer"), "no_such_writer"),
    ("call-is-as-documented", loss("positional_option", module="signatures"), "Not keyword-only: weight=1.0"),
    ("call-is-as-documented", loss("any_keyword", module="signatures"), r"\*\*options"),
    ("call-is-as-documented", network("no_dims", factory="faulty.signatures:no_dims"), r"\*, dims=3"),
    ("options-are-plain", loss("no_annotation", module="signatures"), "'weight'"),
    (
        "options-are-plain",
        loss("wrong_default", module="signatures"),
        "got the default 'heavy' for option 'weight'",
    ),
    ("every-voxel-is-scored", network("HalfSize"), r"shape \(2, 5, 4, 9, 8\)"),
    ("every-voxel-is-scored", network("NotFinite"), "NaN or infinite"),
    ("every-voxel-is-scored", network("no_module"), "function from the factory"),
    ("scores-are-raw", network("Probabilities"), "Leave out the last activation"),
    ("scores-are-raw", network("LogProbabilities"), "Leave out the last activation"),
    ("scores-are-raw", network("Sigmoid"), "Leave out the last activation"),
    ("gradient-reaches-every-parameter", network("ForgottenLayer"), "forgotten.bias, forgotten.weight"),
    ("evaluation-is-repeatable", network("DropoutAlways"), "wanted the same ones"),
    ("cases-of-a-batch-are-independent", network("BatchMean"), "no statistic over the batch"),
    ("weights-can-be-stored", network("UnregisteredBias"), "a parameter or a buffer"),
    ("weights-can-be-stored", network("SharedTensor"), "each under one name"),
    ("other-sizes-work-or-are-refused", network("Poolings", divisor=2), "names the divisor 2"),
    ("other-sizes-work-or-are-refused", network("Evens", divisor=2), "'this size will not do'"),
    ("other-sizes-work-or-are-refused", network("CutOff", divisor=2), r"size \(8, 10, 8\) for the size \(9,"),
    ("global-state-is-left-alone", network("Seeded"), "a generator that the caller alone seeds"),
    ("global-state-is-left-alone", network("Doubles"), "a change of torch's default dtype"),
    ("global-state-is-left-alone", network("DrawsFromNumpy"), "a change of numpy's generator"),
    ("global-state-is-left-alone", network("NoiseInEvaluation"), "drawn during evaluation"),
    ("features-are-kept", network("no_module"), "from the factory"),
    ("features-are-kept", network("OtherHead"), "Let forward call the other two"),
    ("features-are-kept", network("WrongCount"), r"which is \(1, 7, 8, 9, 8\)"),
    ("every-voxel-is-scored", head("BareTensor"), "got Tensor in train mode"),
    ("every-voxel-is-scored", head("NoExtras"), "got the extras none in train mode"),
    ("gradient-reaches-the-features", head("Detached"), "no gradient for the features"),
    ("a-constant-image-is-harmless", head("ByItsNorm"), "of a constant image"),
    ("it-stands-on-every-installed-network", head("EightFeatures"), "IndexError"),
    ("it-is-a-finite-scalar-with-a-gradient", loss("per_voxel"), r"of shape \(2, 16, 12\)"),
    ("it-is-a-finite-scalar-with-a-gradient", loss("from_argmax"), "a value without gradient"),
    ("a-perfect-prediction-costs-less-than-a-wrong-one", loss("rewards_errors"), "Check the sign"),
    ("absent-classes-are-harmless", loss("mean_over_present"), "without class 2"),
    ("the-numbering-of-classes-does-not-matter", loss("first_class_counts_more"), "exchanged"),
    ("descent-lowers-it", loss("reversed_gradient"), "after 20 steps"),
    ("it-trains-the-head-it-needs", loss("reversed_gradient_of_phi", needs=("phi",)), "the head bad:sound"),
    ("every-label-gets-a-number", metric("one_number"), "a mapping from each label"),
    ("a-perfect-prediction-is-best", metric("inverted"), "the higher number for the perfect one"),
    ("a-perfect-prediction-is-best", metric("dice", higher=False), "the lower number for the perfect one"),
    ("missing-labels-are-no-crash", metric("best_for_nothing"), "got 1 for label 1 where no voxel"),
    ("voxel-size-is-respected", metric("voxels", unit="ml", higher=False), "spacing_mm or Volume.voxel_ml"),
    ("orientation-does-not-matter", metric("first_axis", higher=False), "in RAS and"),
    ("suffixes-are-endings", file_format(suffixes=("BAD", ".bad")), "the suffixes 'BAD'"),
    ("what-is-written-is-read-back", file_format(write="write_without_signs"), "other conventions flip x"),
    ("what-is-written-is-read-back", file_format(write="write_in_eight_bits"), "Keep the type"),
    ("what-is-written-is-read-back", file_format(write="write_nothing"), "a refusal of every volume"),
    ("damage-is-refused", file_format("read_unnamed"), "names the file, noise.bad"),
    ("damage-is-refused", file_format("read_unguarded"), "for a file that is noise, ValueError"),
    ("damage-is-refused", file_format("read_anything"), "wanted a VolumeError"),
    ("sniffing-tells-files-apart", file_format(sniff="faulty.formats:sniff_everything"), "for noise"),
    ("sniffing-tells-files-apart", file_format(sniff="faulty.formats:sniff_nothing"), "it wrote itself"),
    ("the-input-stays-as-it-was", step("in_place"), "Work on a copy"),
    ("undo-restores-the-grid", step("crop_without_undo"), "exactly the input's grid"),
    ("undo-restores-the-grid", step("undo_with_new_labels"), r"new values \[2\]|new values \[.*2"),
    ("undo-restores-the-grid", step("no_undo"), "got Volume from the step"),
    ("the-result-is-sound", step("divide_by_range"), "for a constant image"),
    ("the-result-is-sound", step("number_pieces", stage="post"), "Labels may go, not come"),
    ("it-is-repeatable", step("counts_its_calls"), "two results that differ"),
    ("the-input-stays-as-it-was", looking_step("changes_the_image"), "Work on a copy"),
    ("labels-on-another-grid-are-refused", looking_step("looks_anywhere"), "Compare the two grids first"),
    ("labels-lie-on-the-image", method("an_image"), "a label map on"),
    ("labels-lie-on-the-image", method("an_array"), "got ndarray from the method"),
    ("labels-lie-on-the-image", method("half_the_grid"), "keeps the grid"),
    ("labels-lie-on-the-image", method("in_place"), "Work on a copy"),
    ("every-value-is-described", method("threes", 0, 1), r"got the values \[3\]"),
    ("every-value-is-described", method("sound", 1, 2), "0, the background, first"),
    ("it-is-repeatable", method("counts_its_calls"), "two results that differ"),
    ("a-constant-image-is-labelled-or-refused", method("divides"), "ZeroDivisionError"),
    ("it-gives-the-answer-of-the-module", backend("remembers_the_example"), "differs by"),
    ("it-gives-the-answer-of-the-module", backend("half_the_batch"), r"got \(0, 8,"),
    ("the-module-stays-as-it-was", backend("trains_the_module"), "the mode, from eval"),
    ("the-module-stays-as-it-was", backend("changes_the_weights"), "a change of 0.weight"),
    ("it-writes-whole-or-refuses", export("leaves_a_part"), "nothing after a refusal"),
    ("it-writes-whole-or-refuses", export("writes_nothing"), "got no file"),
    ("it-recognises-its-own-alone", importer("refuses", "everything"), "notes.txt and empty recognised"),
    ("it-refuses-what-is-no-model", importer("takes_anything"), "got None from an empty folder"),
    ("its-form-can-be-made", panel(of="builtin:clipp"), "which no installed plugin offers"),
    ("its-form-can-be-made", panel(of="builtin:fill-holes"), "which has no options"),
    ("its-asset-is-in-the-package", panel(asset="panel.js"), "no file inside faulty"),
]

GOOD = [
    network("Sound", dims=(2, 3)),
    head("Sound"),
    loss("cross_entropy"),
    metric("dice"),
    file_format(),
    step("double"),
    looking_step("looks"),
    method("sound", 0, 1),
    method("refuses_constants"),
    panel(asset="heads.py"),
]


@pytest.mark.parametrize(("promise", "component", "message"), BAD, ids=lambda value: str(value)[:60])
def test_a_component_that_breaks_a_promise_fails_its_check(promise, component, message):
    import torch

    found = outcome(component, promise)
    torch.set_default_dtype(torch.float32)  # one of the faults is to change it

    assert found.status == "failed"
    assert re.search(message, found.message), found.message


@pytest.mark.parametrize("component", GOOD, ids=lambda component: type(component).__name__)
def test_a_sound_component_passes_every_check(component):
    kind = type(component).__name__.lower()
    for promise in promises(kind):
        found = outcome(component, slug(promise))
        assert found.status == "passed", f"{slug(promise)}: {found.message}"


def sound_model(folder, **fields):
    """A threshold whose weights lie in a folder."""
    tensors = {
        "body.0.weight": np.zeros((4, 1, 3, 3, 3), np.float32),
        "body.0.bias": np.zeros(4, np.float32),
        "score.weight": np.zeros((2, 4, 1, 1, 1), np.float32),
        "score.bias": np.array([1, 0], np.float32),
    }
    tensors["body.0.weight"][:, :, 1, 1, 1] = 1
    tensors["score.weight"][1] = 1
    tensors["score.bias"][0] = 4 * np.tanh(0.5)
    stored = safetensors.numpy.save(tensors)
    path = folder / "weights.safetensors"
    path.write_bytes(stored)
    sound = Model(
        **COMMON,
        architecture="sound",
        weights=Weights(
            source=f"file:{path}",
            sha256=hashlib.sha256(stored).hexdigest(),
            size=len(stored),
            licence="Apache-2.0",
        ),
        input=Input(
            channels=(Channel(name="image", modality="MR", unit="arbitrary"),),
            spacing_mm=(1.0, 1.0, 1.0),
            orientation="RAS",
            patch=Windows(size=(24, 24, 24)),
        ),
        labels=(
            Label(value=0, name="background", colour="#000000"),
            Label(value=1, name="bright", colour="#e8554e"),
        ),
        intended_use="tests",
        training_data="none",
        probe=Probe(volume="image.nii.gz", truth="truth.nii.gz", label=1, dice=1.0, tolerance=0.01),
    )
    parts = {name: getattr(sound, name) for name in ("weights", "input")}
    changes = {
        name: dataclasses.replace(parts[name], **value) if name in parts else value
        for name, value in fields.items()
    }
    return dataclasses.replace(sound, **changes)


@pytest.fixture
def samples(tmp_path, monkeypatch):
    """A phantom in the place of the sample volumes."""
    image, truth = make_phantom(shape=(24, 24, 24), labels=1, noise=0.01)
    save(image, tmp_path / "image.nii.gz")
    save(truth, tmp_path / "truth.nii.gz")
    monkeypatch.setattr("medseg.samples.FOLDER", tmp_path)
    return tmp_path


BLUE = Label(value=1, name="blue", colour="blue")
BAD_MODELS = [
    ("the-card-is-complete", {"training_data": " "}, "nothing in training_data"),
    ("the-card-is-complete", {"weights": {"licence": "free for all"}}, "wanted an SPDX expression"),
    ("weights-are-pinned", {"weights": {"sha256": "0" * 63}}, "64 hexadecimal digits"),
    ("weights-are-pinned", {"weights": {"source": "http://there"}}, "source='http://there'"),
    (
        "labels-are-counted-from-zero",
        {"labels": (Label(value=0, name="background", colour="#000000"), dataclasses.replace(BLUE, value=2))},
        r"labels \[0, 2\]",
    ),
    (
        "labels-are-counted-from-zero",
        {"labels": (Label(value=0, name="background", colour="#000000"), BLUE)},
        r"unusable colours \['blue'\]",
    ),
    ("input-is-possible", {"input": {"orientation": "RAX"}}, "Correct the contract's orientation"),
    ("input-is-possible", {"input": {"patch": Windows(size=(8, 8, 8), overlap=1.0)}}, "0 <= overlap < 1"),
    ("names-are-installed", {"architecture": "sounds"}, "Did you mean"),
    ("names-are-installed", {"options": {"depth": 3}}, "has no option 'depth'"),
    ("names-are-installed", {"input": {"locator": Locator(model="nowhere")}}, "no model 'nowhere'"),
    ("names-are-installed", {"post": (("clip", {}),)}, "the pre step clip among the post steps"),
    ("contract-survives-json", {"options": {"width": math.nan}}, "does not go into JSON"),
    ("weights-fit", {"weights": {"size": 7}}, "the contract says 7"),
    ("weights-fit", {"options": {"width": 8}}, "wanted"),
    (
        "probe-is-met",
        {"probe": Probe(volume="image.nii.gz", truth="truth.nii.gz", label=1, dice=0.5, tolerance=0.1)},
        "got a Dice of",
    ),
]


@pytest.mark.parametrize(("promise", "fields", "message"), BAD_MODELS)
def test_a_model_that_breaks_a_promise_fails_its_check(samples, promise, fields, message):
    found = outcome(sound_model(samples, **fields), promise)
    assert found.status == "failed"
    assert re.search(message, found.message), found.message


def test_a_sound_model_passes_every_check(samples):
    for promise in promises("model"):
        found = outcome(sound_model(samples), slug(promise))
        assert found.status == "passed", f"{slug(promise)}: {found.message}"


def test_a_plugin_that_does_not_load_fails_its_check():
    record = PluginRecord(name="bad", distribution="bad", version="0")
    record.fail("incompatible", "it was written for plugin API 2")
    check, _ = promises("plugin")
    found = run_check(
        Check(id="loads", promise="", run=lambda: check(PluginSubject(record=record, module="")))
    )
    assert found.status == "failed"
    assert "incompatible: it was written for plugin API 2" in found.message


def test_an_entry_module_that_imports_numpy_in_a_hook_fails_its_check():
    record = PluginRecord(name="bad", distribution="bad", version="0")
    subject = PluginSubject(record=record, module="faulty.heavy_plugin")
    _, check = promises("plugin")
    found = run_check(Check(id="light", promise="", run=lambda: check(subject)))
    assert found.status == "failed"
    assert "faulty.heavy_plugin that imports numpy" in found.message


def test_every_promise_of_the_kit_has_been_seen_to_fail():
    seen = {promise_called(promise, kind_of(component)) for promise, component, _ in BAD}
    seen |= {promise_called(promise, "model") for promise, *_ in BAD_MODELS}
    seen |= set(promises("plugin"))  # the two tests above
    for kind in SUITES:
        assert set(promises(kind)) <= seen, kind
