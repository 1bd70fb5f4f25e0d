"""medseg demo and medseg bench: what a model does, and how fast."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medseg.cli.document import as_json, print_json
from medseg.cli.options import (
    EXISTING,
    FILE,
    device_option,
    least_dice_option,
    model_option,
    precision_option,
)
from medseg.errors import OptionError, VolumeError

if TYPE_CHECKING:  # `medseg --help` needs no torch
    from medseg.plugin import Precision


@click.command()
@click.argument("image", required=False, type=EXISTING, metavar="[INPUT]")
@model_option
@device_option
@precision_option
@least_dice_option
@click.option("--patient", is_flag=True, help="Also backends that take minutes to begin, such as compile.")
@as_json
def bench(
    image: Path | None,
    model: str,
    device: str,
    precision: "Precision",
    least_dice: float,
    *,
    patient: bool,
    json_: bool,
) -> None:
    """Time every backend on one window of INPUT, or of noise, and compare its answer with torch's."""
    from medseg.inference.execution import Execution
    from medseg.inference.trials import show_trials, trials_json
    from medseg.loaded import LoadedModel
    from medseg.predict import load_model

    execution = Execution(precision=precision, least_dice=least_dice)
    loaded = load_model(model, device=device, execution=execution)
    if not isinstance(loaded, LoadedModel):
        raise OptionError(f"{loaded.name} has no network, and so no backends to compare; name a model")
    trials = loaded.compare_backends(image, patient=patient)
    lower = precision != "float32"
    if json_:
        print_json(trials_json(model, trials, lower=lower))
    else:
        show_trials(trials, lower=lower)


@click.command()
@click.option(
    "-o", "--out", default="demo-output", show_default=True, type=FILE, help="Folder for the results."
)
@device_option
@as_json
def demo(out: Path, device: str, *, json_: bool) -> None:
    """Segment the brain in a real head MRI, and draw it."""
    from medseg.batch.alone import run_alone
    from medseg.batch.cases import Case
    from medseg.batch.display import cases_json, progress_bar, show_case
    from medseg.batch.segmenting import SegmentCases
    from medseg.formats import load
    from medseg.report import compare_with_surfaces
    from medseg.samples import find_sample

    case = Case(
        name="s1_t1_head_defaced",
        sources=(find_sample("s1_t1_head_defaced.nii.gz"),),
        files=tuple(out / f"s1_brain{suffix}" for suffix in (".json", ".png", ".nii.gz")),
    )
    click.echo("Segmenting the brain in a real T1-weighted head MRI (256 x 256 x 256 voxels).", err=True)
    with progress_bar(case.name) as progress:
        job = SegmentCases(model="linknet:brain-mask", device=device, picture=True, times=True)
        outcome = run_alone(case, job, overwrite=True, progress=progress)
    if outcome.status != "done":
        raise VolumeError(outcome.reason)
    brain = load(case.target, kind="labels")
    agreement = compare_with_surfaces(brain, find_sample("s1_surface_gm1_wm2.nii.gz"))
    show_case(outcome)
    click.echo(agreement.sentence)
    if json_:
        print_json(cases_json([outcome]) | {"agreement": agreement.as_json()})
