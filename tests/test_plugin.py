import dataclasses
import subprocess
import sys

import pytest

from medseg.plugin import (
    KINDS,
    Architecture,
    Channel,
    Component,
    Format,
    Hooks,
    Input,
    Label,
    Locator,
    Loss,
    Metric,
    Model,
    Slices,
    Step,
    Weights,
    WholeGrid,
    Windows,
)

CHANNEL = Channel(name="CT", modality="CT", unit="HU")
INPUT = Input(channels=(CHANNEL,), spacing_mm=(1, 1.5, 2), orientation="RAS", patch=Windows(size=(8, 8, 8)))
WEIGHTS = Weights(source="file:w.safetensors", sha256="0" * 64, size=1, licence="MIT")


def loss(**fields):
    return Loss(**({"name": "dice", "factory": "a.b:c", "summary": "Overlap"} | fields))


def model(**fields):
    sound = {
        "name": "spleen",
        "summary": "Spleen",
        "architecture": "unet3d",
        "weights": WEIGHTS,
        "input": INPUT,
        "labels": (Label(value=0, name="background", colour="#000000"),),
        "intended_use": "research",
        "training_data": "none",
    }
    return Model(**(sound | fields))


@pytest.mark.parametrize("name", ["a", "unet3d", "attention-unet", "unet3d.spleen-ct", "a1-2b"])
def test_names_of_the_field_are_allowed(name):
    assert loss(name=name).name == name


@pytest.mark.parametrize(
    "name",
    ["", "A", "1a", "-a", "a-", "a--b", "a_b", "a b", "a:b", "ä", "[red]", "a\n", "a.", ".a", "a..b", "../a"],
)
def test_a_name_that_tables_and_commands_could_not_carry_is_refused(name):
    with pytest.raises(ValueError, match="is not allowed: use lower-case letters"):
        loss(name=name)


@pytest.mark.parametrize("factory", ["a.b", "a:b.c", "a b:c", ":c", "a:", "os.system('x'):y", "a:b\n"])
def test_a_factory_must_be_an_import_string(factory):
    with pytest.raises(ValueError, match=r'is not an import string; write "package.module:name"'):
        loss(factory=factory)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: loss(name=None), "Loss None: name is None, wanted str"),
        (lambda: loss(factory=len), "Loss 'dice': factory is <built-in function len>, wanted str"),
        (lambda: loss(needs="phi"), r"Loss 'dice': needs is 'phi', wanted tuple\[str, ...\]"),
        (lambda: loss(needs=["phi"]), r"needs is \['phi'\], wanted tuple"),
        (
            lambda: Format(name="xyz", factory="a:b", summary="", suffixes=(".xyz")),
            r"Format 'xyz': suffixes is '.xyz', wanted tuple\[str, ...\]",
        ),
        (
            lambda: Architecture(name="u", factory="a:b", summary="", dims=3),
            r"dims is 3, wanted tuple\[int, ...\]",
        ),
        (
            lambda: Architecture(name="u", factory="a:b", summary="", divisor=True),
            "divisor is True, wanted int",
        ),
        (
            lambda: Metric(name="m", factory="a:b", summary="", unit="mm", higher_is_better="no"),
            "higher_is_better is 'no', wanted bool",
        ),
        (
            lambda: Step(name="s", factory="a:b", summary="", stage="before"),
            r"stage is 'before', wanted Literal\['pre', 'post'\]",
        ),
        (lambda: model(weights=None), "Model 'spleen': weights is None, wanted Weights"),
        (lambda: model(labels=[]), r"labels is \[\], wanted tuple\[Label, ...\]"),
        (lambda: model(options={"width": object()}), r"options is \{'width': <object .*\}, wanted Mapping"),
        (lambda: model(options={1: 2}), r"options is \{1: 2\}, wanted Mapping\[str, Any\]"),
        (
            lambda: model(input=dataclasses.replace(INPUT, spacing_mm=(1, 1))),
            r"Model 'spleen', input: spacing_mm is \(1, 1\), wanted tuple\[float, float, float\] \| None",
        ),
        (
            lambda: model(input=dataclasses.replace(INPUT, patch=(8, 8, 8))),
            r"input: patch is \(8, 8, 8\), wanted Windows \|",
        ),
        (
            lambda: model(
                input=dataclasses.replace(INPUT, channels=(Channel(name="CT", modality="CT", unit=1),))
            ),
            "Model 'spleen', input, channels: unit is 1, wanted str",
        ),
        (
            lambda: model(input=dataclasses.replace(INPUT, steps=(("clip", {"low": None}),))),
            r"steps is .*, wanted tuple\[tuple\[str, Mapping\[str, Any\]\], ...\]",
        ),
    ],
)
def test_a_field_of_a_wrong_type_is_refused_where_the_plugin_states_it(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_every_sound_form_of_a_model_is_taken():
    assert model(input=dataclasses.replace(INPUT, spacing_mm=None, patch=WholeGrid(shape=(8, 8, 8)))).name
    assert model(input=dataclasses.replace(INPUT, locator=Locator(model="where", margin=0)))
    options = {"width": 32, "rate": 0.5, "deep": True, "norm": "batch", "levels": (1, 2), "more": [1.5, "a"]}
    assert model(options=options, post=(("largest-component", {}),)).options == options


@pytest.mark.parametrize(
    ("cls", "field"),
    [
        (Input, "spacing_mm"),
        (Input, "orientation"),
        (Input, "channels"),
        (Model, "labels"),
        (Weights, "sha256"),
        (Weights, "licence"),
    ],
)
def test_what_must_not_be_guessed_has_no_default(cls, field):
    (described,) = [f for f in dataclasses.fields(cls) if f.name == field]
    assert described.default is dataclasses.MISSING
    assert described.default_factory is dataclasses.MISSING


def test_descriptions_are_frozen_and_take_keywords_alone():
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss().name = "other"
    with pytest.raises(TypeError, match="positional"):
        Loss("dice", "a.b:c", "Overlap")


def test_each_hook_has_one_kind_and_its_kind_says_which():
    hooks = [name for name in vars(Hooks) if name.startswith("medseg_")]
    assert [hook for hook, _ in KINDS.values()] == hooks
    assert all(
        issubclass(cls, Component) and cls.__name__.lower() == kind for kind, (_, cls) in KINDS.items()
    )


def test_the_plugin_api_imports_pluggy_and_the_standard_library_alone():
    code = (
        "import sys; before = set(sys.modules)\n"
        "import medseg.plugin, medseg.registry\n"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(roots - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['medseg', 'pluggy']"


@pytest.mark.parametrize("values", [(1, 0), (1, 2), (0, 1, 1), (0, 0), (0, -3)])
def test_labels_without_the_background_first_or_with_a_value_twice_are_refused(values):
    labels = tuple(Label(value=value, name=f"label {n}", colour="#000000") for n, value in enumerate(values))
    with pytest.raises(ValueError, match="wanted 0, the background, first, and numbers above 0, each once"):
        model(labels=labels)


def test_labels_need_not_be_close_together():
    labels = tuple(Label(value=value, name=f"label {value}", colour="#000000") for value in (0, 70000, 4))
    assert model(labels=labels).labels == labels


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"spacing_mm": (0, 1, 1)}, r"spacing_mm is \(0, 1, 1\); wanted three finite numbers of mm above 0"),
        ({"field_mm": (1, 1, float("inf"))}, "field_mm is"),
        ({"mirror": (-1,)}, r"mirror is \(-1,\); wanted axes of a window, each once: 0, 1, 2"),
        ({"mirror": (3,)}, "mirror is"),
        ({"mirror": (1, 1)}, "mirror is"),
        ({"mirror": (2,), "patch": Slices(axis=0, size=(8, 8))}, "each once: 0, 1$"),
        ({"mirror": (), "mirror_by_default": True}, "mirror_by_default is set, and mirror names no axis"),
    ],
)
def test_an_input_that_no_volume_can_meet_is_refused(changed, message):
    fixed = {"channels": (CHANNEL,), "spacing_mm": None, "orientation": "RAS", "patch": INPUT.patch}
    with pytest.raises(ValueError, match=message):
        Input(**(fixed | changed))
