"""medseg info, convert, deidentify: volumes without a model."""

import sys
from pathlib import Path
from typing import Any

import click

from medseg.cli.document import as_json, print_json
from medseg.cli.options import EXISTING, FILE, allow_option
from medseg.cli.status import REFUSED
from medseg.errors import OptionError


@click.command()
@click.argument("path", type=EXISTING)
@click.option("--kind", type=click.Choice(["image", "labels"]), default="image", show_default=True)
@allow_option
@as_json
def info(path: Path, kind: Any, allow: tuple[str, ...], *, json_: bool) -> None:
    """Say what a volume is, or why it is refused; for a folder, each volume in it.

    Of a DICOM folder that holds several series, the list; look at one with --allow series=NUMBER.
    """
    from medseg.batch.cases import expand_folder
    from medseg.formats import check_permissions
    from medseg.options import parse_pairs
    from medseg.report import describe_volume, show_series, show_volume

    sources, permissions = expand_folder(path), parse_pairs(allow, flag="--allow")
    check_permissions(sources, permissions)
    rows: list[dict[str, Any]] = []
    for source in sources:
        row = describe_volume(source, kind=kind, options=permissions)
        rows.append(row)
        if "refused" in row:
            click.echo(f"REFUSED {row['refused']}", err=True)
        elif not json_:
            show_series(row) if "series" in row else show_volume(row)
    if json_:
        print_json({"volumes": rows})
    sys.exit(REFUSED if any("refused" in row for row in rows) else 0)


@click.command()
@click.argument("source", metavar="IN", type=EXISTING)
@click.argument("target", metavar="OUT", type=FILE)
@click.option("--kind", type=click.Choice(["image", "labels"]), default="image", show_default=True)
@allow_option
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@as_json
def convert(
    source: Path, target: Path, kind: Any, allow: tuple[str, ...], *, overwrite: bool, json_: bool
) -> None:
    """Read any readable volume and write it as NIfTI or another format, with a fresh header."""
    from medseg.atomic import sweep_stale_parts
    from medseg.formats import check_writable, load, save
    from medseg.options import parse_pairs
    from medseg.report import volume_json

    if target.is_dir():
        raise OptionError(f"{target} is a folder; name a file in it")
    check_writable(target)
    if target.exists() and not overwrite:
        raise OptionError(f"{target} exists; use --overwrite to replace it")
    if target.exists() and target.samefile(source):
        raise OptionError(f"{target} is the input; choose another name")
    volume = load(source, kind=kind, **parse_pairs(allow, flag="--allow"))
    sweep_stale_parts(target.parent)
    save(volume, target)
    for note in volume.notes:
        click.echo(f"note: {note}", err=True)
    if json_:
        print_json({"written": str(target), **volume_json(volume)})
    else:
        click.echo(f"{target}: {volume.kind}, {volume.array.dtype}, {volume.grid!r}")


@click.command()
@click.argument("source", metavar="IN", type=EXISTING)
@click.argument("target", metavar="OUT", type=FILE)
@allow_option
@click.option(
    "--key-file",
    type=EXISTING,
    help="Secret bytes of your own: runs with the same file give the same new UIDs and patient numbers.",
)
@as_json
def deidentify(
    source: Path, target: Path, allow: tuple[str, ...], key_file: Path | None, *, json_: bool
) -> None:
    """Write a copy of a DICOM series without its patient, into the new folder OUT.

    By the Basic Application Level Confidentiality Profile of DICOM PS3.15; the pixels stay as they are.
    """
    from medseg.formats import deidentify as write_copy
    from medseg.options import parse_pairs

    options = parse_pairs(allow, flag="--allow")
    if key_file is not None:
        options["key_file"] = str(key_file)
    notes = write_copy(source, target, **options)
    for note in notes:
        click.echo(note, err=json_)
    if json_:
        print_json({"written": str(target), "notes": list(notes)})
