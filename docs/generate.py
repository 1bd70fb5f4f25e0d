"""Write the pages that are made from the code, or check that they are in step with it.

    python docs/generate.py            write
    python docs/generate.py --check    exit 1 and name the page if one is out of date
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from medseg.cli import main as cli
from medseg.options import options_of
from medseg.plugin import KINDS
from medseg.registry import Registry

HERE = Path(__file__).parent
MADE = "<!-- made by docs/generate.py; run make docs -->\n\n"


def command_pages(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
    yield f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None  # it was just listed
            yield from command_pages(inner, f"{path} {name}")


def cli_page() -> str:
    return f"# The command line\n\n{MADE}" + "\n".join(command_pages(cli, "medseg"))


def components_page(registry: Registry) -> str:
    lines = [f"# Components of this repository\n\n{MADE}"]
    for kind in KINDS:
        found = registry.components(kind)
        if not found:
            continue
        lines.append(f"\n## {kind.capitalize()}s\n\n| name | what it is | options | reference |\n|---|---|---|---|\n")
        for item in found:
            factory = registry.load(item) if item.component.factory else None
            options = "; ".join(f"`{o}`" for o in options_of(factory).values()) if factory else ""
            options = options.replace("|", "\\|")
            lines.append(
                f"| `{item.full_name}` | {item.component.summary} | {options} | {item.component.reference} |\n"
            )
    return "".join(lines)


def main() -> int:
    registry = Registry.discover()
    if registry.failures:
        print("plugins that do not load:", [record.name for record in registry.failures])
        return 1
    pages = {
        HERE / "reference/cli.md": cli_page(),
        HERE / "reference/components.md": components_page(registry),
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
