"""The command line: arguments to verbs, results to people or to JSON.

Exit status: 0 all done; 1 some cases were refused (a line REFUSED each on standard error); 2 wrong
usage; 3 the environment fell short. With --json, standard output holds one document (none with 2
and 3) and nothing else. Everything heavy is imported inside the commands, so that ``medseg --help``
is instant.
"""

import contextlib
import errno
import io
import json
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

import medseg
from medseg.errors import (
    AmbiguousNameError,
    Cancelled,
    ContractError,
    MedsegError,
    OptionError,
    ResourceError,
    UnknownNameError,
    VolumeError,
)
from medseg.plugin import KINDS

REFUSED, USAGE, ENVIRONMENT, INTERRUPTED = 1, 2, 3, 130

FILE = click.Path(path_type=Path)
EXISTING = click.Path(path_type=Path, exists=True)
_DOCUMENT = "medseg.cli.document"  # click's place for the stream that the document goes to


def _keep_for_document(ctx: click.Context, _: click.Parameter, wanted: bool) -> bool:  # noqa: FBT001  # click's signature
    """With --json, whatever else is printed, by a plugin's network even, goes to standard error."""
    if wanted:
        ctx.meta[_DOCUMENT] = sys.stdout
        ctx.with_resource(contextlib.redirect_stdout(sys.stderr))
    return wanted


as_json = click.option(
    "--json",
    "json_",
    is_flag=True,
    help="One JSON document on standard output.",
    callback=_keep_for_document,
)
model_option = click.option(
    "-m",
    "--model",
    required=True,
    is_eager=True,  # so that --help knows it
    help="A model's name; see: medseg models.",
    metavar="MODEL",
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.", metavar="DEVICE"
)
allow_option = click.option(
    "--allow",
    multiple=True,
    metavar="KEY=VALUE",
    help="Permit what a reader would refuse, such as orientation=sform; the refusal names the key.",
)


_NETWORK_OPTION = re.compile(r"([a-z][a-z0-9_-]*)=(.*)")


class _Segment(click.Command):
    """Its help lists the options of the model that stands before ``--help``."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        model = ctx.params.get("model")
        if not model:
            return
        from medseg.catalogue import network_options

        rows = [(o.name, f"{o.type_name}, default {o.default}") for o in network_options(model).values()]
        with formatter.section(f"Options of {model}, as -o NAME=VALUE"):
            formatter.write_dl(rows or [("none", "its network takes no options")])


class _Commands(click.Group):
    """Turns medseg's errors into a sentence and the right exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A file's name may hold what this terminal cannot show.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except (VolumeError, ContractError) as error:
            if _DOCUMENT in ctx.meta:
                _print_json({"refused": str(error)})
            _stop(f"REFUSED {error}", REFUSED)
        except (OptionError, UnknownNameError, AmbiguousNameError) as error:
            _stop(f"Error: {error}", USAGE)
        except (Cancelled, KeyboardInterrupt):
            _stop("Cancelled; no unfinished result was written.", INTERRUPTED)
        except MedsegError as error:
            _stop(f"Error: {error}", ENVIRONMENT)
        except (OSError, MemoryError, ImportError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # click ends quietly when nobody reads on, as in: medseg info . | head
            _stop(f"Error: {type(error).__name__}: {error}", ENVIRONMENT)


def _out_and_options(outs: tuple[str, ...]) -> tuple[Path, dict[str, str]]:
    """Tell the one place to write to from the options of the network, which look like ``width=32``."""
    matches = [_NETWORK_OPTION.fullmatch(value) for value in outs]
    places = [value for value, match in zip(outs, matches, strict=True) if not match]
    if len(places) != 1:
        raise OptionError(
            f"-o names {len(places)} places to write to ({', '.join(places) or 'none'}); wanted one, and "
            "options of the network as -o NAME=VALUE. A place with an equals sign in it: ./NAME=VALUE"
        )
    return Path(places[0]), {match[1].replace("-", "_"): match[2] for match in matches if match}


def _stop(message: str, status: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(status)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(medseg.__version__, prog_name="medseg")
def main() -> None:
    """Medical and 3-D image segmentation; models are plugins. Research only, not for clinical use."""


@main.command(cls=_Segment)
@click.argument("inputs", nargs=-1, required=True, type=EXISTING, metavar="INPUT...")
@model_option
@click.option(
    "-o",
    "--out",
    "outs",
    multiple=True,
    required=True,
    metavar="OUT",
    help="Where to write: a file for one input, else a folder. Given again as NAME=VALUE, an option of the "
    "model's network; medseg segment -m MODEL --help lists them.",
)
@device_option
@allow_option
@click.option(
    "--as",
    "exports",
    multiple=True,
    metavar="EXPORT",
    help='Also write the result as another object, with its options: --as "stl smooth_mm=1". '
    "See: medseg plugin list --kind export.",
)
@click.option("--picture", is_flag=True, help="Also draw three planes with the outlines, as PNG.")
@click.option(
    "--backend",
    default="eager",
    show_default=True,
    help="How the network is run: a backend's name, or auto for the fastest that agrees with eager on a "
    "window of the input. The choice is remembered; see: medseg bench.",
)
@click.option("--mirror", is_flag=True, help="Average over all flips: eight times the work.")
@click.option("--deterministic", is_flag=True, help="The same bytes run after run, also on a GPU.")
@click.option("--max-ram", metavar="SIZE", help="Refuse what is predicted to need more, such as 4GiB.")
@click.option("--force", is_flag=True, help="Run on another modality than the model's; it is recorded.")
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@as_json
def segment(
    *,
    inputs: tuple[Path, ...],
    model: str,
    outs: tuple[str, ...],
    device: str,
    allow: tuple[str, ...],
    exports: tuple[str, ...],
    picture: bool,
    backend: str,
    mirror: bool,
    deterministic: bool,
    max_ram: str | None,
    force: bool,
    overwrite: bool,
    json_: bool,
) -> None:
    """Segment files, or all readable files of a folder.

    For each case: the label map, and beside it a JSON file that says where it came from.
    """
    out, options = _out_and_options(outs)
    from medseg.batch import find_cases, run_cases
    from medseg.formats import check_permissions
    from medseg.inference.execution import Execution
    from medseg.inference.memory import parse_bytes
    from medseg.options import parse_pairs
    from medseg.predict import load_model
    from medseg.report import cases_json, progress_bar, show_case
    from medseg.results import find_exports

    cases = find_cases(inputs, out)
    read_options = parse_pairs(allow, flag="--allow")
    check_permissions([case.source for case in cases], read_options)
    writers = find_exports(exports)
    execution = Execution(
        backend=backend,
        mirror=mirror,
        deterministic=deterministic,
        max_ram=parse_bytes(max_ram) if max_ram else None,
    )
    loaded = load_model(model, device=device, options=options, execution=execution)
    outcomes = []
    for case in cases:
        with progress_bar(case.name) as progress:
            (outcome,) = run_cases(
                [case],
                loaded,
                overwrite=overwrite,
                read_options=read_options,
                exports=writers,
                picture=picture,
                force=force,
                progress=progress,
            )
        outcomes.append(outcome)
        if outcome.segmentation:
            show_case(outcome)
        else:
            click.echo(f"REFUSED {case.name}: {outcome.refusal}", err=True)
            click.echo(outcome.traceback, err=True, nl=False)
    if json_:
        _print_json(cases_json(outcomes))
    sys.exit(0 if all(outcome.segmentation for outcome in outcomes) else REFUSED)


@main.command()
@click.argument("image", required=False, type=EXISTING, metavar="[INPUT]")
@model_option
@device_option
@click.option("--patient", is_flag=True, help="Also backends that take minutes to begin, such as compile.")
@as_json
def bench(image: Path | None, model: str, device: str, *, patient: bool, json_: bool) -> None:
    """Time every backend on one window of INPUT, or of noise, and compare its answer with torch's."""
    from medseg.inference.trials import show_trials, trials_json
    from medseg.predict import load_model

    trials = load_model(model, device=device).compare_backends(image, patient=patient)
    if json_:
        _print_json(trials_json(model, trials))
    else:
        show_trials(trials)


@main.command()
@click.option(
    "-o", "--out", default="demo-output", show_default=True, type=FILE, help="Folder for the results."
)
@device_option
@as_json
def demo(out: Path, device: str, *, json_: bool) -> None:
    """Segment the brain in a real head MRI, and draw it."""
    from medseg.batch import Case, run_cases
    from medseg.predict import load_model
    from medseg.report import cases_json, compare_with_surfaces, progress_bar, show_case
    from medseg.samples import find_sample

    case = Case(
        name="s1_t1_head_defaced",
        source=find_sample("s1_t1_head_defaced.nii.gz"),
        target=out / "s1_brain.nii.gz",
    )
    click.echo("Segmenting the brain in a real T1-weighted head MRI (256 x 256 x 256 voxels).", err=True)
    with progress_bar(case.name) as progress:
        (outcome,) = run_cases(
            [case],
            load_model("linknet:brain-mask", device=device),
            overwrite=True,
            picture=True,
            progress=progress,
        )
    if outcome.segmentation is None:
        raise VolumeError(outcome.refusal)
    agreement = compare_with_surfaces(outcome.segmentation, find_sample("s1_surface_gm1_wm2.nii.gz"))
    show_case(outcome)
    click.echo(agreement.sentence)
    if json_:
        _print_json(cases_json([outcome]) | {"agreement": agreement.as_json()})


@main.command()
@click.argument("path", type=EXISTING)
@click.option("--kind", type=click.Choice(["image", "labels"]), default="image", show_default=True)
@allow_option
@as_json
def info(path: Path, kind: Any, allow: tuple[str, ...], *, json_: bool) -> None:
    """Say what a volume is, or why it is refused; for a folder, each volume in it.

    Of a DICOM folder that holds several series, the list; look at one with --allow series=NUMBER.
    """
    from medseg.batch import expand_folder
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
        _print_json({"volumes": rows})
    sys.exit(REFUSED if any("refused" in row for row in rows) else 0)


@main.command()
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
    save(volume, target)
    for note in volume.notes:
        click.echo(f"note: {note}", err=True)
    if json_:
        _print_json({"written": str(target), **volume_json(volume)})
    else:
        click.echo(f"{target}: {volume.kind}, {volume.array.dtype}, {volume.grid!r}")


@main.command()
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
        _print_json({"written": str(target), "notes": list(notes)})


@main.command()
@click.option("--all", "all_", is_flag=True, help="Also models that only serve others, such as locators.")
@as_json
def models(*, all_: bool, json_: bool) -> None:
    """List the installed pretrained models."""
    from medseg.catalogue import models as installed_models
    from medseg.listing import models_json, show_models

    installed = installed_models(hidden=all_)
    if json_:
        _print_json(models_json(installed))
    else:
        show_models(installed)


@main.group()
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
        _print_json(plugins_json(registry, kind))
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
        _print_json(outcomes_json(name, outcomes))
    sys.exit(REFUSED if any(outcome.status == "failed" for outcome in outcomes) else 0)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def ui(arguments: tuple[str, ...]) -> None:
    """Open the viewer in a browser; its options: medseg ui --help."""
    import importlib.metadata

    viewers = list(importlib.metadata.entry_points(group="medseg.viewer", name="ui"))
    if not viewers:
        raise ResourceError("the viewer is not installed; run: pip install medseg-ui")
    viewers[0].load().main(list(arguments), prog_name="medseg ui", standalone_mode=False)


@main.command()
@as_json
def doctor(*, json_: bool) -> None:
    """Check this installation: versions, devices, folders, and every plugin with its traceback."""
    from medseg.diagnosis import diagnose, show_diagnosis

    diagnosis = diagnose()
    if json_:
        _print_json(diagnosis)
    else:
        show_diagnosis(diagnosis)
    sys.exit(0 if not diagnosis["problems"] else REFUSED)


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2), file=click.get_current_context().meta[_DOCUMENT])
