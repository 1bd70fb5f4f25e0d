"""The tree of errors is the one that its docstring draws."""

import inspect
import re

import pytest

import medseg
from medseg import errors

CLASSES = {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls)}


def drawn():
    """Name and parent of each error in the drawing, by its indentation."""
    levels = {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"^ {4}([ │├└─]*)(\w+)", line)
        if match:
            depth = len(match[1]) // 4
            levels[depth] = match[2]
            yield match[2], levels.get(depth - 1)


def test_the_drawing_is_the_tree():
    tree = {
        name: next((b.__name__ for b in cls.__bases__ if b in CLASSES.values()), None)
        for name, cls in CLASSES.items()
    }
    assert dict(drawn()) == tree


@pytest.mark.parametrize("name", CLASSES)
def test_everything_raised_on_purpose_can_be_caught_at_the_root(name):
    assert issubclass(CLASSES[name], errors.MedsegError)
    assert CLASSES[name].__doc__


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.UnknownNameError, LookupError),
        (errors.AmbiguousNameError, LookupError),
        (errors.OptionError, ValueError),
        (errors.VolumeError, ValueError),
        (errors.ContractError, ValueError),
    ],
)
def test_errors_that_python_has_a_name_for_are_that_as_well(error, builtin):
    assert issubclass(error, builtin)


def test_cancelling_is_no_failure_of_a_value_or_the_system():
    assert errors.Cancelled.__bases__ == (errors.MedsegError,)


def test_the_package_offers_the_errors_that_callers_meet():
    assert medseg.Cancelled is errors.Cancelled
    assert medseg.VolumeError is errors.VolumeError
