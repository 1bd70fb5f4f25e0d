"""The names that other people's programs depend on, and the examples that show them."""

import doctest
import importlib
import pkgutil
import re

import pytest

import medseg

PUBLIC = [
    "CancelToken",
    "Cancelled",
    "ContractError",
    "Execution",
    "LoadedModel",
    "MedsegError",
    "Option",
    "OptionError",
    "PluginError",
    "Problem",
    "Progress",
    "Registered",
    "Registry",
    "ResourceError",
    "Segmentation",
    "Volume",
    "VolumeError",
    "WeightsError",
    "build",
    "check",
    "check_options",
    "default_registry",
    "draw",
    "evaluate",
    "find_sample",
    "format_of",
    "known_suffixes",
    "load",
    "load_model",
    "methods",
    "models",
    "options_of",
    "refine",
    "save",
    "segment",
]
MODULES = sorted(m.name for m in pkgutil.walk_packages(medseg.__path__, "medseg."))


def test_the_public_names_are_these():
    assert sorted(medseg.__all__) == PUBLIC
    assert dir(medseg) == sorted([*PUBLIC, "__version__"])


@pytest.mark.parametrize("package", ["medseg", "medseg.testing"])
def test_no_public_name_is_that_of_a_submodule(package):
    # Python sets a submodule as an attribute of its package once it is imported: it would hide the name.
    found = importlib.import_module(package)
    assert set(found.__all__) & {m.name for m in pkgutil.iter_modules(found.__path__)} == set()


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_can_be_used_and_says_what_it_is(name):
    assert len(getattr(medseg, name).__doc__.splitlines()[0]) > 20


def test_a_name_that_is_not_offered_is_answered_with_those_that_are():
    with pytest.raises(
        AttributeError, match=r"module 'medseg' has no attribute 'lod'; it offers CancelToken, "
    ):
        medseg.lod  # noqa: B018  # the look-up is what is tested


@pytest.mark.parametrize("name", MODULES)
def test_every_example_runs(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_the_names_in_the_reference_of_errors_are_those_that_exist():
    from medseg import errors

    drawn = set(re.findall(r"\w*(?:Error|Cancelled)\b", errors.__doc__))
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert drawn == defined
