"""Write a new plugin from the template files beside this module; no network is needed.

A folder of templates for each kind holds modules, which are copied, and bodies of hooks, named for the
hook, which are put together in ``plugin.py``.
"""

import hashlib
import importlib.resources
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

import numpy as np
import safetensors.numpy

from medseg import plugin as api
from medseg.errors import OptionError
from medseg.registry import Registry, default_registry

TEMPLATES = importlib.resources.files("medseg.scaffold") / "templates"
SUFFIX = ".tmpl"
REQUIREMENTS = {"numpy": "numpy>=2.0", "torch": "torch>=2.10"}


def write_distribution(
    name: str, kinds: Sequence[str], folder: Path, *, registry: Registry | None = None
) -> Path:
    """Write ``medseg-NAME``, a distribution with one component of each kind.

    Args:
        name: of the plugin; lower-case letters and digits, joined by single hyphens.
        kinds: keys of ``medseg.plugin.KINDS``, at least one.
        folder: where the distribution's own folder is made.
        registry: whose plugin names are taken; what is installed, if None.

    Returns:
        The distribution's folder.

    Raises:
        OptionError: a name that is not allowed or taken, an unknown kind, or a folder that exists.
    """
    check_name(name, registry or default_registry())
    _check_kinds(kinds)
    root = folder / f"medseg-{name}"
    if root.exists():
        raise OptionError(f"{root} exists; choose another name, or --out for another place")
    package = f"medseg_{name.replace('-', '_')}"
    weights = _threshold_weights()
    values = {
        "name": name,
        "distribution": root.name,
        "package": package,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "size": str(len(weights)),
        "offers": ", ".join(f"a {kind}" for kind in kinds),
        "description": f"The plugin {name} for medseg",
        "licence": "Apache-2.0",
    }
    source = Path("src", package)
    files = {source / name: text for name, text in _modules(kinds, values).items()}
    files[source / "plugin.py"] = _entry_module(kinds, values)
    needs = [need for library, need in REQUIREMENTS.items() if _imports(library, files.values())]
    values["dependencies"] = ", ".join(f'"{need}"' for need in ("medseg", *needs))
    files[source / "__init__.py"] = f'"""The plugin {name} for medseg."""\n'
    files[source / "py.typed"] = ""
    for page in ("pyproject.toml", "README.md"):
        files[Path(page)] = fill(TEMPLATES / f"{page}{SUFFIX}", values)
    files[Path("tests/test_conformance.py")] = fill(TEMPLATES / f"test_conformance.py{SUFFIX}", values)
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    if "model" in kinds:
        target = root / source / "weights" / f"{name}.safetensors"
        target.parent.mkdir()
        target.write_bytes(weights)
    return root


def check_name(name: str, registry: Registry, *, own: str = "") -> None:
    """Refuse the name of a new plugin that is not allowed or taken.

    Args:
        name: of the plugin.
        registry: whose names are taken.
        own: the distribution that may have it already.

    Raises:
        OptionError: it is.
    """
    if not api.NAME.fullmatch(name):
        raise OptionError(
            f"the plugin name {name!r} is not allowed: use lower-case letters and digits, joined by single "
            "hyphens, beginning with a letter"
        )
    for record in registry.records:
        if record.name == name and record.distribution != own:
            raise OptionError(
                f"the plugin name {name!r} is taken by {record.distribution} {record.version}; choose another"
            )


def fill(template: Traversable, values: Mapping[str, str]) -> str:
    """A template's text with ``$name`` replaced by its value."""
    return Template(template.read_text(encoding="utf-8")).substitute(values)


def _check_kinds(kinds: Sequence[str]) -> None:
    unknown = sorted(set(kinds) - set(api.KINDS))
    if unknown or not kinds:
        raise OptionError(f"got the kinds {', '.join(kinds) or 'none'}; there are {', '.join(api.KINDS)}")


def _modules(kinds: Iterable[str], values: Mapping[str, str]) -> dict[str, str]:
    """The modules of all kinds, by file name."""
    return {
        template.name.removesuffix(SUFFIX): fill(template, values)
        for kind in kinds
        for template in _templates(kind)
        if not template.name.startswith("medseg_")
    }


def _entry_module(kinds: Iterable[str], values: Mapping[str, str]) -> str:
    bodies: dict[str, str] = {}
    for kind in kinds:
        for template in _templates(kind):
            hook, _, ending = template.name.partition(".")
            if hook.startswith("medseg_") and ending:
                bodies[hook] = bodies.get(hook, "") + fill(template, values)
    classes = dict(api.KINDS.values())
    hooks = "".join(
        fill(
            TEMPLATES / f"hook.py{SUFFIX}",
            {
                "hook": hook,
                "description": classes[hook].__name__,
                "sentence": getattr(api.Hooks, hook).__doc__,
                "body": body.rstrip(),
            },
        )
        for hook, body in bodies.items()
    )
    used = [name for name in api.__all__ if re.search(rf"\b{name}[(\]]", hooks)]
    return fill(
        TEMPLATES / f"plugin.py{SUFFIX}",
        {**values, "imports": _import_line([*used, "hookimpl"]), "hooks": hooks.rstrip()},
    )


def _import_line(names: Sequence[str]) -> str:
    line = f"from medseg.plugin import {', '.join(names)}"
    if len(line) <= 88:
        return line
    return "from medseg.plugin import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _templates(kind: str) -> list[Traversable]:
    return sorted((TEMPLATES / kind).iterdir(), key=lambda template: template.name)


def _imports(library: str, texts: Iterable[str]) -> bool:
    return any(re.search(rf"^(import|from) {library}\b", text, flags=re.MULTILINE) for text in texts)


def _threshold_weights() -> bytes:
    """Weights of the model template's network: label 1 wins where the image is above 0.5."""
    weight = np.array([0.0, 20.0], np.float32).reshape(2, 1, 1, 1, 1)
    tensors = {"score.weight": weight, "score.bias": np.array([0.0, -10.0], np.float32)}
    return safetensors.numpy.save(tensors)
