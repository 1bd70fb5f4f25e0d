"""medseg evaluate: predictions against truths."""

import sys
from pathlib import Path

import click

from medseg.cli.cohort import cohort_options, stopped_by_sigterm, timeout_of
from medseg.cli.document import as_json, print_json
from medseg.cli.options import EXISTING, FILE
from medseg.cli.status import REFUSED


@click.command()
@click.argument("predicted", nargs=-1, required=True, type=EXISTING, metavar="PREDICTED...")
@click.argument("truth", type=EXISTING)
@click.option("-o", "--out", type=FILE, help="Folder for tables (CSV, Parquet, JSON) and an HTML report.")
@click.option(
    "-m",
    "--metric",
    "metrics",
    multiple=True,
    metavar="METRIC",
    help='A metric, with its options: -m "nsd tolerance_mm=2". May be repeated; dice, hd95 and nsd if none '
    "is given. See: medseg plugin list --kind metric.",
)
@click.option(
    "--convention",
    metavar="NAME",
    help="For all surface metrics that know it: max-directed, pooled, mean-directed or area-weighted.",
)
@click.option(
    "--empty",
    type=click.Choice(["exclude", "penalise", "inf", "brats"]),
    default="penalise",
    show_default=True,
    help="What a label is worth that one side lacks: left out; the worst (a distance: the image's diagonal); "
    "the worst (infinite); or the worst, and the best where both lack it.",
)
@click.option(
    "--labels",
    metavar="LABELS",
    help="Those to compare: 1=liver,2=spleen, or 1,2, or a file (JSON, CSV, 3D Slicer, ITK-SNAP).",
)
@click.option(
    "--predicted-labels",
    metavar="LABELS",
    help="The same for the predictions, where their numbers are others; labels are then matched by name.",
)
@click.option("--probabilities", is_flag=True, help="The predictions are probabilities of one label.")
@click.option("--threshold", default=0.5, show_default=True, help="From which probability on it counts.")
@click.option("--resample", is_flag=True, help="Bring predictions onto the truth's grid, nearest neighbour.")
@click.option(
    "--strip", multiple=True, metavar="ENDING", help="An ending of names that does not count, such as _pred."
)
@click.option("--name", "names", multiple=True, metavar="NAME", help="A name for each PREDICTED, in order.")
@click.option(
    "--attributes", type=EXISTING, help="CSV of attributes by case, one column called case: tables by group."
)
@click.option(
    "--images", type=EXISTING, help="The images, by name as the truths: the report shows worst cases on them."
)
@click.option("--lesions", is_flag=True, help="Also a table of the single pieces: found, missed, false.")
@cohort_options
@click.option("--overwrite", is_flag=True, help="Replace an earlier evaluation in OUT.")
@as_json
def evaluate(
    *,
    predicted: tuple[Path, ...],
    truth: Path,
    out: Path | None,
    metrics: tuple[str, ...],
    convention: str | None,
    empty: str,
    labels: str | None,
    predicted_labels: str | None,
    probabilities: bool,
    threshold: float,
    resample: bool,
    strip: tuple[str, ...],
    names: tuple[str, ...],
    attributes: Path | None,
    images: Path | None,
    lesions: bool,
    workers: int | None,
    ray: str,
    case_timeout: str,
    overwrite: bool,
    json_: bool,
) -> None:
    """Compare predictions with TRUTH: two files, or folders whose files have the same names.

    Several PREDICTED are several models, which are also compared with each other. What has no partner is
    listed, and the status is 1 then, as it is when a case is refused.

    Of several cases OUT keeps a journal: the same command again goes on where the last one stopped.
    """
    from medseg.errors import OptionError
    from medseg.evaluation.case import Settings
    from medseg.evaluation.document import to_document
    from medseg.evaluation.empty import as_policy
    from medseg.evaluation.files import check_free, write_study
    from medseg.evaluation.label_names import read_label_names
    from medseg.evaluation.metrics import DEFAULT
    from medseg.evaluation.study import name_models, run_study
    from medseg.evaluation.subgroups import read_attributes
    from medseg.evaluation.tables import case_progress, show_study, wide_console

    if predicted_labels and not labels:
        raise OptionError("--predicted-labels needs --labels as well: names are matched with names")
    if ray and out is None:
        raise OptionError("--ray needs -o: a folder that every node of the cluster has")
    if out is not None:
        check_free(out, overwrite=overwrite)
    settings = Settings(
        metrics=metrics or DEFAULT,
        labels=read_label_names(labels) if labels else None,
        predicted_labels=read_label_names(predicted_labels) if predicted_labels else None,
        empty=as_policy(empty),
        convention=convention,
        resample=resample,
        probabilities=probabilities,
        threshold=threshold,
        lesions=lesions,
    )
    with stopped_by_sigterm(), case_progress() as on_case:
        study = run_study(
            name_models(predicted, names),
            truth,
            settings,
            strip=strip,
            attributes=read_attributes(attributes) if attributes else None,
            workers=workers,
            on_case=on_case,
            folder=out,
            overwrite=overwrite,
            ray=ray,
            timeout_s=timeout_of(case_timeout),
        )
    for refusal in study.refusals:
        case = f"{refusal.model}: {refusal.case}" if refusal.model else refusal.case
        click.echo(f"REFUSED {case}: {refusal.reason}", err=True)
        click.echo(refusal.traceback, err=True, nl=False)
    for side, unmatched in (
        ("truth", study.unmatched_predictions),
        ("prediction", study.unmatched_truths),
    ):
        for model, cases in unmatched.items():
            for case in cases:
                click.echo(f"UNMATCHED {f'{model}: ' if model else ''}{case}: there is no {side}", err=True)
    show_study(study, wide_console(to_stderr=json_))
    if out is not None:
        # It draws, which is slow to import.
        from medseg.evaluation.report_page import make_page, typical_pictures

        written = write_study(
            study,
            out,
            page=lambda: make_page(study, images=images),
            pictures=typical_pictures(study, images=images),
            overwrite=overwrite,
        )
        for path in written:
            click.echo(f"wrote {path}", err=json_)
    if json_:
        print_json(to_document(study))
    sys.exit(0 if study.complete else REFUSED)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=EXISTING, metavar="RUN...")
@click.option("-o", "--out", type=FILE, help="Also write the board as one HTML page, with pictures.")
@as_json
def leaderboard(runs: tuple[Path, ...], out: Path | None, *, json_: bool) -> None:
    """Put runs side by side: accuracy, picture, time and memory. A RUN is a folder from evaluate -o.

    Time and memory are those that medseg segment recorded beside the predictions.
    """
    from medseg.atomic import write_bytes_whole
    from medseg.evaluation.leaderboard import board_json, rank
    from medseg.evaluation.leaderboard_page import make_board_page, show_board
    from medseg.evaluation.tables import wide_console

    board = rank(runs)
    show_board(board, wide_console(to_stderr=json_))
    if out is not None:
        write_bytes_whole(out, make_board_page(board).encode())
        click.echo(f"wrote {out}", err=json_)
    if json_:
        print_json(board_json(board))
