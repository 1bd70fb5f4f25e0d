"""Promises of a plugin as a whole."""

import os
import subprocess
import sys

from medseg.testing.expectation import CannotRunError, expect
from medseg.testing.subject import PluginSubject

HEAVY = ("torch", "numpy", "scipy", "monai", "SimpleITK", "nibabel", "skimage", "pydicom")

# What becomes known to the registry is known by calling the hooks, so they are called here too.
_ASK = """
import sys
before = set(sys.modules)
import importlib
from medseg.registry import Registry
Registry.of(**{"plugin": importlib.import_module(sys.argv[1])})
print(*sorted(set(sys.argv[2:]) & (set(sys.modules) - before)))
"""


def check_loads(plugin: PluginSubject) -> None:
    """The entry module imports, states ``MEDSEG_API``, and its hooks give descriptions.

    Each hook exists in the plugin API and gives descriptions of its own kind; names are lower case, and
    each is used once in a kind.
    """
    record = plugin.record
    expect(
        record.status == "ok",
        got=f"a plugin that is {record.status}: {record.reason}",
        wanted="one that medseg can use",
        remedy="medseg doctor shows the whole traceback",
    )


def check_entry_module_is_light(plugin: PluginSubject) -> None:
    """Importing the entry module and calling its hooks imports no torch, numpy or other heavy library.

    medseg does both for every installed plugin whenever it starts.
    """
    if not plugin.module:
        raise CannotRunError("the plugin was registered in this process and has no entry point")
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(  # noqa: S603  # the program is this Python, the arguments are a list
        [sys.executable, "-c", _ASK, plugin.module, *HEAVY],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    if done.returncode:
        raise CannotRunError("the entry module cannot be loaded; see loads")
    expect(
        not done.stdout.strip(),
        got=f"an entry module {plugin.module} that imports {', '.join(done.stdout.split())}",
        wanted="one that imports medseg.plugin and the standard library alone",
        remedy="Move the code into another module and name it by its import string; the package's own "
        "__init__.py is imported too, and must be as light",
    )
