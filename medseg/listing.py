"""What is installed, as tables for people and as JSON; imports nothing heavy."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from medseg.plugin import KINDS, Method, Model
from medseg.registry import Registry


def plugins_json(registry: Registry, kind: str | None = None) -> dict[str, Any]:
    """Each plugin with its status and components."""
    return {
        "plugins": [
            {
                "name": record.name,
                "distribution": record.distribution,
                "version": record.version,
                "status": record.status,
                "reason": record.reason,
                "components": [
                    {
                        "kind": found.kind,
                        "name": found.full_name,
                        "factory": found.component.factory,
                        "summary": found.component.summary,
                        "reference": found.component.reference,
                    }
                    for found in record.components
                    if kind in (None, found.kind)
                ],
            }
            for record in registry.records
        ]
    }


def show_plugins(registry: Registry, kind: str | None = None) -> None:
    """A table of plugins, or of the components of one kind."""
    if kind is not None:
        found = registry.components(kind)
        _print_table([kind, "what it is"], [(f.full_name, f.component.summary) for f in found])
        return
    rows: list[tuple[str, ...]] = []
    for record in registry.records:
        counts = Counter(found.kind for found in record.components)
        offers = ", ".join(f"{n} {_plural(kind) if n > 1 else kind}" for kind, n in counts.items())
        rows.append((record.name, f"{record.distribution} {record.version}", record.status, offers))
    _print_table(["plugin", "distribution", "status", "offers"], rows)


def _plural(kind: str) -> str:
    return KINDS[kind][0].removeprefix("medseg_")


def models_json(models: Mapping[str, Model], methods: Mapping[str, Method]) -> dict[str, Any]:
    """The contract of each model, and the description of each method."""
    from medseg.description import as_json, to_json

    return {
        "models": [{"full_name": name, **to_json(model)} for name, model in models.items()],
        "methods": [{"full_name": name, **as_json(method)} for name, method in methods.items()],
    }


def show_models(models: Mapping[str, Model], methods: Mapping[str, Method]) -> None:
    """A table of models and one of methods, or what to do if there are none."""
    if not models and not methods:
        Console(stderr=True, soft_wrap=True).print(
            "No model is installed. Models come as plugins, for example: pip install medseg-linknet"
        )
        return
    rows = [
        (
            name,
            " + ".join(dict.fromkeys(channel.modality for channel in model.input.channels)),
            _some(label.name for label in model.labels if label.value != 0),
            model.weights.licence,
            model.summary,
        )
        for name, model in models.items()
    ]
    if rows:
        _print_table(["model", "input", "labels", "licence", "what it is"], rows)
    if methods:
        Console().print()
        named = [(name, method.summary) for name, method in methods.items()]
        _print_table(["method without weights", "what it is"], named)


def _some(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:4]) + (f" and {len(known) - 4} more" if len(known) > 4 else "")


def _print_table(headings: list[str], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading == "model")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: names are never taken for markup
    Console().print(table)
