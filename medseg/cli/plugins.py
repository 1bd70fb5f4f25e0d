"""medseg models, plugin, doctor and ui: what is installed, and whether it is well."""

import sys
from pathlib import Path

import click

from medseg.cli.document import as_json, print_json
from medseg.cli.options import FILE
from medseg.cli.status import REFUSED
from medseg.errors import OptionError, ResourceError
from medseg.plugin import KINDS


@click.command()
@click.option("--all", "all_", is_flag=True, help="Also models that only serve others, such as locators.")
@as_json
def models(*, all_: bool, json_: bool) -> None:
    """List the installed pretrained models, and the methods that need no weights."""
    from medseg.catalogue import methods
    from medseg.catalogue import models as installed_models
    from medseg.listing import models_json, show_models

    installed = installed_models(hidden=all_)
    if json_:
        print_json(models_json(installed, methods()))
    else:
        show_models(installed, methods())


@click.group()
def plugin() -> None:
    """Look at the installed plugins, check them, begin a new one."""


@plugin.command(name="list")
@click.option("--kind", help="Only components of this kind, such as head.")
@as_json
def list_plugins(kind: str | None, *, json_: bool) -> None:
    """List the installed plugins and what they offer; broken ones with their reason."""
    from medseg.listing import plugins_json, show_plugins
    from medseg.registry import default_registry

    if kind is not None and kind not in KINDS:
        raise OptionError(f"there is no kind {kind!r}; there are {', '.join(KINDS)}")
    registry = default_registry()
    if json_:
        print_json(plugins_json(registry, kind))
    else:
        show_plugins(registry, kind)
    for record in registry.failures:
        line = f"{record.name} ({record.distribution} {record.version}) {record.status}: {record.reason}"
        click.echo(line, err=True)


@plugin.command(name="new")
@click.argument("name")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    required=True,
    type=click.Choice(list(KINDS)),
    help="What it offers; may be repeated.",
)
@click.option("-o", "--out", default=".", type=FILE, help="The folder to write medseg-NAME into.")
def new_plugin(name: str, kinds: tuple[str, ...], out: Path) -> None:
    """Write a plugin that works before a word is changed: medseg-NAME, to install and to edit."""
    from medseg.scaffold.distribution import write_distribution

    click.echo(f"wrote {write_distribution(name, kinds, out)}")


@plugin.command(name="check")
@click.argument("name")
@as_json
def check_plugin(name: str, *, json_: bool) -> None:
    """Check that an installed plugin keeps the promises of the plugin API."""
    from medseg.testing.report import outcomes_json, show_outcome, summarise
    from medseg.testing.suite import iter_checks, run_check

    outcomes = []
    for check in iter_checks(name):
        outcomes.append(run_check(check))
        show_outcome(outcomes[-1], to_stderr=json_)
    click.echo(f"{name}: {summarise(outcomes)}", err=json_)
    if json_:
        print_json(outcomes_json(name, outcomes))
    sys.exit(REFUSED if any(outcome.status == "failed" for outcome in outcomes) else 0)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def ui(arguments: tuple[str, ...]) -> None:
    """Open the viewer in a browser; its options: medseg ui --help."""
    import importlib.metadata

    viewers = list(importlib.metadata.entry_points(group="medseg.viewer", name="ui"))
    if not viewers:
        raise ResourceError("the viewer is not installed; run: pip install medseg-ui")
    viewers[0].load().main(list(arguments), prog_name="medseg ui", standalone_mode=False)


@click.command()
@as_json
def doctor(*, json_: bool) -> None:
    """Check this installation: versions, devices, folders, and every plugin with its traceback."""
    from medseg.diagnosis import diagnose, show_diagnosis

    diagnosis = diagnose()
    if json_:
        print_json(diagnosis)
    else:
        show_diagnosis(diagnosis)
    sys.exit(0 if not diagnosis["problems"] else REFUSED)
