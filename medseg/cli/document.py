"""With --json, standard output holds one JSON document and nothing else."""

import contextlib
import json
import sys
from typing import Any

import click

DOCUMENT = "medseg.cli.document"  # click's place for the stream that the document goes to


def _keep_for_document(ctx: click.Context, _: click.Parameter, wanted: bool) -> bool:  # noqa: FBT001  # click's signature
    """With --json, whatever else is printed, by a plugin's network even, goes to standard error."""
    if wanted:
        ctx.meta[DOCUMENT] = sys.stdout
        ctx.with_resource(contextlib.redirect_stdout(sys.stderr))
    return wanted


as_json = click.option(
    "--json",
    "json_",
    is_flag=True,
    help="One JSON document on standard output.",
    callback=_keep_for_document,
)


def print_json(document: Any) -> None:
    """Print the one document of a command that was given --json."""
    click.echo(json.dumps(document, indent=2), file=click.get_current_context().meta[DOCUMENT])
