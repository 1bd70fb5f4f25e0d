"""medseg segment: cases through one model."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medseg.cli.cohort import cohort_options, say_what_is_for_cohorts, stopped_by_sigterm, timeout_of
from medseg.cli.document import as_json, print_json
from medseg.cli.options import (
    EXISTING,
    allow_option,
    device_option,
    least_dice_option,
    model_option,
    out_and_options,
    precision_option,
)
from medseg.cli.status import REFUSED
from medseg.errors import OptionError

if TYPE_CHECKING:
    from medseg.batch.cases import Case, Split


class _Segment(click.Command):
    """Its help lists the options of the model that stands before ``--help``."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        model = ctx.params.get("model")
        if not model:
            return
        from medseg.catalogue import model_options

        rows = [(o.name, f"{o.type_name}, default {o.default}") for o in model_options(model).values()]
        with formatter.section(f"Options of {model}, as -o NAME=VALUE"):
            formatter.write_dl(rows or [("none", "it takes no options")])


def _cases(
    inputs: Sequence[Path],
    channel_pairs: Sequence[str],
    model: str,
    out: Path,
    *,
    beside: Sequence[str],
    split: "Split",
) -> "list[Case]":
    """The cases of a model: from files and folders, or the one whose channels were named."""
    from medseg.batch.cases import case_of_channels, find_cases
    from medseg.catalogue import channels_of
    from medseg.channels import name_channels

    channels = channels_of(model)
    if not channel_pairs:
        return find_cases(inputs, out, channels=channels, beside=beside, split=split)
    given = []
    for pair in channel_pairs:
        name, equals, path = pair.partition("=")
        if not equals or not Path(path).exists():
            raise OptionError(f"--channel {pair}: wanted NAME=PATH, of a file or folder that exists")
        given.append((name, Path(path)))
    return [case_of_channels(name_channels(given, channels), out, channels=channels, beside=beside)]


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
@click.option(
    "--refine",
    "refiners",
    multiple=True,
    metavar="STEP",
    help='Refine each result with a step, with its options: --refine "tdac iterations=40". May be given '
    "again. See: medseg plugin list --kind step.",
)
@click.option("--picture", is_flag=True, help="Also draw three planes with the outlines, as PNG.")
@click.option(
    "--backend",
    default="eager",
    show_default=True,
    help="How the network is run: a backend's name, or auto for the fastest that agrees with eager on a "
    "window of the input. The choice is remembered; see: medseg bench.",
)
@precision_option
@least_dice_option
@click.option(
    "--mirror/--no-mirror",
    default=None,
    help="Whether to average over the flips that the model was trained with; as its contract says.",
)
@click.option(
    "--body-mask",
    is_flag=True,
    help="Take windows that hold nothing of the body for background, without computing them: in the air "
    "around it an approximation.",
)
@click.option(
    "--probabilities",
    is_flag=True,
    help="Also write a map of probability for each label, and their entropy, as NIfTI.",
)
@click.option("--deterministic", is_flag=True, help="The same bytes run after run, also on a GPU.")
@click.option(
    "--max-ram",
    metavar="SIZE",
    help="Memory to use, such as 4GiB: large arrays go to the disk, and what cannot fit is refused.",
)
@click.option("--max-vram", metavar="SIZE", help="The same of the GPU's memory; what is free, by default.")
@click.option("--force", is_flag=True, help="Run on another modality than the model's; it is recorded.")
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@cohort_options
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
    refiners: tuple[str, ...],
    picture: bool,
    backend: str,
    precision: str,
    least_dice: float,
    mirror: bool | None,
    body_mask: bool,
    probabilities: bool,
    deterministic: bool,
    max_ram: str | None,
    max_vram: str | None,
    force: bool,
    overwrite: bool,
    workers: int | None,
    ray: str,
    case_timeout: str,
    json_: bool,
) -> None:
    """Segment files, all readable files and series of a folder, or the cases of a manifest (.csv, .jsonl).

    For each case: the label map, and beside it a JSON file that says where it came from. For a model of
    several channels, files belong to one case by their names: ann_0000 and ann_0001, or ann_T1w and
    ann_FLAIR, or T1w and FLAIR in a folder ann; or name them with --channel.

    Of a DICOM folder that holds several series, --allow series=NUMBER takes one, series=all each.

    Several cases are a cohort: worker processes do them, OUT keeps a journal, and the same command again
    goes on where the last one stopped.
    """
    out, options = out_and_options(outs)
    if not inputs and not channel_pairs:
        raise OptionError("Missing argument 'INPUT...', or --channel NAME=PATH for each channel of the model")
    if inputs and channel_pairs:
        raise OptionError("INPUT and --channel were both given; wanted one of the two")
    from medseg.batch.cases import is_alone
    from medseg.catalogue import labels_of
    from medseg.formats import check_permissions
    from medseg.options import parse_pairs
    from medseg.results import find_exports, suffixes_beside
    from medseg.segmentation import map_names

    maps = map_names(labels_of(model)) if probabilities else ()
    beside = suffixes_beside(find_exports(exports), picture=picture, maps=maps)
    read_options = parse_pairs(allow, flag="--allow")
    split: Split = "none" if "series" in read_options else "found"
    if read_options.get("series") == "all":
        split = "all"
        del read_options["series"]
    cases = _cases(inputs, channel_pairs, model, out, beside=beside, split=split)
    to_read = [source for case in cases if not case.problem for source in case.sources]
    if to_read:  # what is refused already may not even be there
        check_permissions(to_read, read_options)
    job = {
        "model": model,
        "device": device,
        "options": options,
        "execution": {
            "backend": backend,
            "precision": precision,
            "least_dice": least_dice,
            "mirror": mirror,
            "body_mask": body_mask,
            "probabilities": probabilities,
            "deterministic": deterministic,
            "max_ram": max_ram,
            "max_vram": max_vram,
        },
        "refine": list(refiners),
        "exports": list(exports),
        "picture": picture,
        "read_options": read_options,
        "force": force,
    }
    if channel_pairs or is_alone(inputs, cases):
        say_what_is_for_cohorts(click.get_current_context())
        status = _segment_one(cases[0], job, overwrite=overwrite, json_=json_)
    else:
        status = _segment_cohort(
            cases,
            job,
            out,
            workers=workers,
            ray=ray,
            timeout_s=timeout_of(case_timeout),
            overwrite=overwrite,
            json_=json_,
        )
    sys.exit(status)


def _segment_one(case: "Case", job: dict[str, Any], *, overwrite: bool, json_: bool) -> int:
    """One case in this process; the status to end with."""
    from medseg.batch.alone import run_alone
    from medseg.batch.display import cases_json, progress_bar, show_case
    from medseg.batch.segmenting import SegmentCases

    with stopped_by_sigterm(), progress_bar(case.name) as progress:
        outcome = run_alone(case, SegmentCases(**job, times=True), overwrite=overwrite, progress=progress)
    if outcome.status == "done":
        show_case(outcome)
    else:
        click.echo(f"REFUSED {case.name}: {outcome.reason}", err=True)
        click.echo(outcome.traceback, err=True, nl=False)
    if json_:
        print_json(cases_json([outcome]))
    return 0 if outcome.status == "done" else REFUSED


def _segment_cohort(
    cases: "list[Case]", job: dict[str, Any], out: Path, *, json_: bool, **settings: Any
) -> int:
    """Many cases in worker processes, with a journal; the status to end with."""
    from medseg.batch.display import cases_json
    from medseg.batch.job import Recipe
    from medseg.batch.run import run_batch
    from medseg.cli.cohort import show_cohort

    recipe = Recipe(factory="medseg.batch.segmenting:SegmentCases", options=job)
    outcomes, status = show_cohort(
        partial(run_batch, cases, recipe, out, **settings), total=len(cases), keep=json_
    )
    if json_:
        place = {case.name: number for number, case in enumerate(cases)}
        print_json(cases_json(sorted(outcomes, key=lambda outcome: place[outcome.case.name])))
    return status
