"""The kit for plugin authors: conformance checks, phantoms, a plugin for pytest.

pytest imports this package in every run of an environment that has medseg, so it imports nothing;
the names below are loaded when used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.testing.phantoms import make_phantom
    from medseg.testing.suite import conformance, iter_checks, run_check

__all__ = ["conformance", "iter_checks", "make_phantom", "run_check"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(
            f"module 'medseg.testing' has no attribute {name!r}; it offers {', '.join(__all__)}"
        )
    home = "phantoms" if name == "make_phantom" else "suite"
    return getattr(importlib.import_module(f"medseg.testing.{home}"), name)
