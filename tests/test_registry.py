import importlib.metadata
import math
import sys
from types import SimpleNamespace

import pytest

from medseg.errors import AmbiguousNameError, MedsegError, PluginError, UnknownNameError
from medseg.plugin import Architecture, Loss, hookimpl
from medseg.registry import Registry

SOURCE = """
from medseg.plugin import Loss, hookimpl

MEDSEG_API = 1

@hookimpl
def medseg_losses():
    yield Loss(name="{0}", factory="{1}", summary="A loss")
    yield Loss(name="shared", factory="{1}", summary="A loss")
"""


def offering(*names, factory="math:sqrt"):
    """A plugin of losses, without any installation."""

    class Plugin:
        MEDSEG_API = 1

        @hookimpl
        def medseg_losses(self):
            return [Loss(name=name, factory=factory, summary="") for name in names]

    return Plugin()


@pytest.fixture
def discover(install, tmp_path, monkeypatch):
    """Two installed plugins, ``red`` and ``green``, and a failing one."""
    for colour in ("red", "green"):
        source = SOURCE.format(colour, "math:sqrt")
        install(
            tmp_path,
            f"test-{colour}",
            f"[medseg]\n{colour} = {colour}_plugin\n",
            **{f"{colour}_plugin": source},
        )
    install(
        tmp_path, "test-grey", "[medseg]\ngrey = grey_plugin\n", grey_plugin="raise OSError('no licence')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for variable in ("MEDSEG_PLUGINS", "MEDSEG_STRICT"):
        monkeypatch.delenv(variable, raising=False)
    return Registry.discover


def test_plugins_are_found_in_the_order_of_their_names_with_distribution_and_version(discover):
    records = discover().records
    assert [r.name for r in records] == sorted(r.name for r in records)
    (red,) = [r for r in records if r.name == "red"]
    assert (red.distribution, red.version, red.status) == ("test-red", "1.0", "ok")
    assert [found.full_name for found in red.components] == ["red:red", "red:shared"]


def test_the_versions_for_provenance_are_those_of_usable_plugins(discover):
    versions = discover().versions()
    assert versions["test-red"] == "1.0"
    assert versions["medseg"] == importlib.metadata.version("medseg")
    assert "test-grey" not in versions


@pytest.mark.parametrize(
    ("allowed", "found"),
    [
        ("red", {"builtin", "red"}),
        (" red , green,", {"builtin", "red", "green"}),
        ("", {"builtin"}),
        ("builtin", {"builtin"}),
        ("grey", {"builtin", "grey"}),
    ],
)
def test_the_allow_list_allows_those_and_the_core_alone(discover, monkeypatch, allowed, found):
    monkeypatch.setenv("MEDSEG_PLUGINS", allowed)
    assert {record.name for record in discover().records} == found


def test_a_plugin_that_is_not_allowed_is_not_imported(discover, monkeypatch):
    monkeypatch.setenv("MEDSEG_PLUGINS", "green")
    monkeypatch.delitem(sys.modules, "red_plugin", raising=False)
    discover()
    assert "red_plugin" not in sys.modules


def test_strict_mode_raises_what_is_listed_otherwise(discover, monkeypatch):
    assert [r.reason for r in discover().failures] == ["OSError: no licence"]
    monkeypatch.setenv("MEDSEG_STRICT", "1")
    with pytest.raises(PluginError, match=r"grey \(test-grey 1.0\) failed: OSError: no licence") as raised:
        discover()
    assert isinstance(raised.value.__cause__, OSError)


def test_strict_mode_is_off_unless_it_is_1(discover, monkeypatch):
    monkeypatch.setenv("MEDSEG_STRICT", "0")
    assert len(discover().failures) == 1


def test_ctrl_c_while_plugins_load_is_not_taken_for_their_failure(install, tmp_path, monkeypatch):
    install(tmp_path, "test-slow", "[medseg]\nslow = slow_plugin\n", slow_plugin="raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        Registry.discover()


def test_full_names_always_work_and_short_ones_while_they_are_unique():
    registry = Registry.of(red=offering("dice", "shared"), green=offering("shared"))
    assert registry.find("loss", "dice").full_name == "red:dice"
    assert registry.find("loss", "green:shared").full_name == "green:shared"
    with pytest.raises(
        AmbiguousNameError,
        match="loss 'shared' is offered by 2 plugins; say which: green:shared, red:shared",
    ):
        registry.find("loss", "shared")


def test_a_plugins_own_component_goes_first_for_its_short_names():
    registry = Registry.of(red=offering("dice", "shared"), green=offering("shared"))
    assert registry.find("loss", "shared", within="green").full_name == "green:shared"
    assert registry.find("loss", "dice", within="green").full_name == "red:dice"
    assert registry.find("loss", "red:shared", within="green").full_name == "red:shared"


def test_one_name_may_stand_for_components_of_two_kinds():
    class Plugin:
        MEDSEG_API = 1

        @hookimpl
        def medseg_losses(self):
            yield Loss(name="border", factory="a:b", summary="")

        @hookimpl
        def medseg_architectures(self):
            yield Architecture(name="border", factory="a:b", summary="")

    registry = Registry.of(red=Plugin())
    assert registry.find("loss", "border").kind == "loss"
    assert registry.find("architecture", "border").kind == "architecture"


@pytest.mark.parametrize("name", ["dise", "red:dcie", "Dice"])
def test_an_unknown_name_is_answered_with_the_nearest(name):
    with pytest.raises(UnknownNameError, match=r"Did you mean (red:)?dice\? Installed: red:dice"):
        Registry.of(red=offering("dice")).find("loss", name)


@pytest.mark.parametrize("name", ["", ":", "red:", ":dice", "red:dice:1", "[red]", "\u2603", "x" * 5000])
def test_a_name_that_means_nothing_is_an_unknown_name(name):
    with pytest.raises(UnknownNameError, match="no loss"):
        Registry.of(red=offering("dice")).find("loss", name)


def test_an_unknown_name_may_be_that_of_a_plugin_that_failed(discover):
    with pytest.raises(UnknownNameError) as raised:
        discover().find("loss", "grey:dice")
    assert (
        "The plugin grey (test-grey 1.0) could not be loaded: OSError: no licence; see: medseg doctor"
        in str(raised.value)
    )


def test_with_nothing_installed_the_error_says_how_to_install():
    with pytest.raises(UnknownNameError, match=r"Installed: none\. In a checkout, run: pip install"):
        Registry().find("model", "spleen")


def test_a_factory_is_imported_when_it_is_loaded():
    registry = Registry.of(red=offering("root"))
    assert registry.load(registry.find("loss", "root")) is math.sqrt


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_package_that_is_not_there", "ModuleNotFoundError: No module named 'a_package"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("class Panic(BaseException): ...\nraise Panic('in Rust')", "Panic: in Rust"),
        ("", "AttributeError: module '.*' has no attribute 'make'"),
    ],
)
def test_a_factory_that_does_not_import_is_named_with_its_distribution_and_version(
    install, tmp_path, monkeypatch, source, reason
):
    module = f"broken_factory_{abs(hash(source))}"
    install(
        tmp_path,
        "test-late",
        "[medseg]\nlate = late_plugin\n",
        version="2.7",
        late_plugin=SOURCE.format("late", f"{module}:make"),
        **{module: source},
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "late_plugin", raising=False)
    registry = Registry.discover()
    found = registry.find("loss", "late:late")
    with pytest.raises(
        PluginError, match=rf"loss late:late of test-late 2.7 cannot be loaded from .*: .*{reason}"
    ):
        registry.load(found)


def test_an_object_that_breaks_the_rules_raises_in_a_registry_of_a_test():
    with pytest.raises(Exception, match="does not say which plugin API"):
        Registry.of(red=SimpleNamespace())


def test_every_error_of_a_name_is_caught_as_one_of_medseg_and_as_a_lookup():
    for kind in (LookupError, MedsegError):
        with pytest.raises(kind):
            Registry().find("loss", "dice")
