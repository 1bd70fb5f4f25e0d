"""medseg demo and medseg bench: what a model does, and how fast."""

from pathlib import Path

import click

from medseg.cli.document import as_json, print_json
from medseg.cli.options import EXISTING, FILE, device_option, model_option
from medseg.errors import VolumeError


@click.command()
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
        print_json(trials_json(model, trials))
    else:
        show_trials(trials)


@click.command()
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
        print_json(cases_json([outcome]) | {"agreement": agreement.as_json()})
