"""medseg import: other tools' models into the user's folder of models."""

from pathlib import Path

import click

from medseg.cli.document import as_json, print_json
from medseg.cli.options import EXISTING, FILE


@click.command(name="import")
@click.argument("sources", nargs=-1, required=True, type=EXISTING, metavar="SOURCE...")
@click.option("--name", required=True, help="What the model shall be called: -m local:NAME.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the importer, such as orientation=RAS; see: docs/how-to/import-a-model.md.",
)
@click.option(
    "--labels",
    type=EXISTING,
    help="For several SOURCEs: a file with the name of each label on a line, in the order of their numbers.",
)
@click.option("--folder", type=FILE, help="Write this folder instead of one in the user's folder of models.")
@as_json
def import_(
    *,
    sources: tuple[Path, ...],
    name: str,
    options: tuple[str, ...],
    labels: Path | None,
    folder: Path | None,
    json_: bool,
) -> None:
    """Make a model of nnU-Net, a MONAI bundle or a network file one of medseg's own.

    Several SOURCEs become one model, their labels told apart by name, later ones over earlier ones. Files are
    read as data: nothing in them is run.
    """
    from medseg.importing import import_model
    from medseg.options import parse_pairs

    model, notes = import_model(
        sources,
        name,
        options=parse_pairs(options, flag="-o", example="orientation=RAS"),
        labels=_lines(labels) if labels else (),
        folder=folder,
    )
    for note in notes:
        click.echo(f"note: {note}", err=True)
    use = str(folder) if folder else f"local:{model.name}"
    if json_:
        from medseg.description import to_json

        print_json({"model": use, "notes": list(notes), "contract": to_json(model)})
    else:
        count = len(model.labels) - 1
        click.echo(f"{use}: {count} label{'' if count == 1 else 's'}; medseg segment IMAGE -m {use} -o OUT")


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
