"""Write the pages that are made from the code, or check that they are in step with it.

python docs/generate.py            write
python docs/generate.py --check    exit 1 and name the page if one is out of date
"""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from medseg.cli import main as cli
from medseg.options import options_of
from medseg.plugin import KINDS
from medseg.registry import Registry
from medseg.testing.suite import SUITES, promises_in, slug

HERE = Path(__file__).parent
MADE = "<!-- made by docs/generate.py; run make docs -->\n\n"


def command_pages(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[str]:
    name = path.rsplit(" ", 1)[-1]
    # As click makes it at run time, settings of the parent included, so that the page is what is printed.
    context = command.make_context(
        name, [], parent=parent, resilient_parsing=True, terminal_width=100, max_content_width=100
    )
    yield f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None  # it was just listed
            yield from command_pages(inner, f"{path} {name}", context)


def cli_page() -> str:
    return f"# The command line\n\n{MADE}" + "\n".join(command_pages(cli, "medseg"))


def components_page(registry: Registry) -> str:
    lines = [f"# Components of this repository\n\n{MADE}"]
    for kind in KINDS:
        found = registry.components(kind)
        if not found:
            continue
        lines.append(
            f"\n## {kind.capitalize()}s\n\n| name | what it is | options | reference |\n|---|---|---|---|\n"
        )
        for item in found:
            factory = registry.load(item) if item.component.factory else None
            options = "; ".join(f"`{o}`" for o in options_of(factory).values()) if factory else ""
            options = options.replace("|", "\\|")
            about = item.component
            lines.append(f"| `{item.full_name}` | {about.summary} | {options} | {about.reference} |\n")
    return "".join(lines)


CONFORMANCE = """\
`medseg plugin check NAME` runs these checks; an id is kind, component and check, such as
`architecture/unet/scores-are-raw`. Networks are built small: with a `width` of 4, 8 or 16, if they have
that option, on sizes that are small multiples of their `divisor`.
"""


def conformance_page() -> str:
    lines = [f"# What medseg promises on a plugin's behalf\n\n{MADE}", CONFORMANCE]
    for module in dict.fromkeys(module for suite in SUITES.values() for module in suite):
        about = prose(importlib.import_module(f"medseg.testing.checks.{module}"))
        lines.append(f"\n## {module.capitalize()}\n\n{about}\n\n| check | promise |\n|---|---|\n")
        lines += [f"| `{slug(promise)}` | {prose(promise)} |\n" for promise in promises_in(module)]
    return "".join(lines)


def prose(documented: object) -> str:
    return " ".join((inspect.getdoc(documented) or "").split()).replace("``", "`")


def main() -> int:
    registry = Registry.discover()
    if registry.failures:
        print("plugins that do not load:", [record.name for record in registry.failures])
        return 1
    pages = {
        HERE / "reference/cli.md": cli_page(),
        HERE / "reference/components.md": components_page(registry),
        HERE / "reference/conformance.md": conformance_page(),
    }
    stale = [p for p, text in pages.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(HERE.parent)} is out of date; run: make docs")
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages[path], encoding="utf-8")
        print(f"wrote {path.relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
