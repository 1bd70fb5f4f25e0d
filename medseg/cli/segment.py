"""medseg segment: cases through one model."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medseg.cli.document import as_json, print_json
from medseg.cli.options import EXISTING, allow_option, device_option, model_option
from medseg.cli.status import REFUSED
from medseg.errors import OptionError

if TYPE_CHECKING:
    from medseg.batch import Case

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


def _cases(inputs: Sequence[Path], channel_pairs: Sequence[str], model: str, out: Path) -> "list[Case]":
    """The cases of a model: from files and folders, or the one whose channels were named."""
    from medseg.batch import case_of_channels, find_cases
    from medseg.catalogue import channels_of
    from medseg.channels import name_channels

    channels = channels_of(model)
    if not channel_pairs:
        return find_cases(inputs, out, channels=channels)
    given = []
    for pair in channel_pairs:
        name, equals, path = pair.partition("=")
        if not equals or not Path(path).exists():
            raise OptionError(f"--channel {pair}: wanted NAME=PATH, of a file or folder that exists")
        given.append((name, Path(path)))
    return [case_of_channels(name_channels(given, channels), out, channels=channels)]


@click.command(cls=_Segment)
@click.argument("inputs", nargs=-1, type=EXISTING, metavar="INPUT...")
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
@click.option(
    "--channel",
    "channel_pairs",
    multiple=True,
    metavar="NAME=PATH",
    help="Instead of INPUT, one case of a model of several channels: an option for each, as in "
    "--channel T1w=a.nii.gz --channel FLAIR=b.nii.gz.",
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
@click.option("--mirror", is_flag=True, help="Average over the flips that the model was trained with.")
@click.option(
    "--probabilities",
    is_flag=True,
    help="Also write a map of probability for each label, and their entropy, as NIfTI.",
)
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
    channel_pairs: tuple[str, ...],
    device: str,
    allow: tuple[str, ...],
    exports: tuple[str, ...],
    picture: bool,
    backend: str,
    mirror: bool,
    probabilities: bool,
    deterministic: bool,
    max_ram: str | None,
    force: bool,
    overwrite: bool,
    json_: bool,
) -> None:
    """Segment files, or all readable files of a folder.

    For each case: the label map, and beside it a JSON file that says where it came from. For a model of
    several channels, files belong to one case by their names: ann_0000 and ann_0001, or ann_T1w and
    ann_FLAIR, or T1w and FLAIR in a folder ann; or name them with --channel.
    """
    out, options = _out_and_options(outs)
    if not inputs and not channel_pairs:
        raise OptionError("Missing argument 'INPUT...', or --channel NAME=PATH for each channel of the model")
    if inputs and channel_pairs:
        raise OptionError("INPUT and --channel were both given; wanted one of the two")
    from medseg.batch import run_cases
    from medseg.formats import check_permissions
    from medseg.inference.execution import Execution
    from medseg.inference.memory import parse_bytes
    from medseg.options import parse_pairs
    from medseg.predict import load_model
    from medseg.report import cases_json, progress_bar, show_case
    from medseg.results import find_exports

    cases = _cases(inputs, channel_pairs, model, out)
    read_options = parse_pairs(allow, flag="--allow")
    check_permissions([source for case in cases for source in case.sources], read_options)
    writers = find_exports(exports)
    execution = Execution(
        backend=backend,
        mirror=mirror,
        probabilities=probabilities,
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
        print_json(cases_json(outcomes))
    sys.exit(0 if all(outcome.segmentation for outcome in outcomes) else REFUSED)
