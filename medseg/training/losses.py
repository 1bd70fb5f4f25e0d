"""A loss by name."""

from collections.abc import Mapping
from typing import Any

from medseg.builtin.losses.sums import LossFunction
from medseg.options import check_options
from medseg.registry import Registry


def make_loss(name: str, options: Mapping[str, Any], registry: Registry) -> LossFunction:
    """A loss, ready to call.

    Raises:
        UnknownNameError, AmbiguousNameError: see ``Registry.find``.
        OptionError: it has no such option.
    """
    found = registry.find("loss", name, within="builtin")
    factory = registry.load(found)
    made: LossFunction = factory(**check_options(factory, options, owner=f"loss {found.full_name}"))
    return made
