"""medseg package: trained models as a plugin that others can install."""

import re
from pathlib import Path

import click

from medseg.cli.document import as_json, print_json
from medseg.cli.options import EXISTING, FILE
from medseg.errors import OptionError
from medseg.model import Probe

_NAMED = re.compile(r"([a-z][a-z0-9-]*)=(.+)")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN...")
@click.option("-o", "--out", default=".", type=FILE, help="The folder to write medseg-NAME into.")
@click.option("--name", default="", metavar="medseg-NAME", help="Of the distribution; the first model's.")
@click.option(
    "--probe",
    nargs=3,
    metavar="VOLUME TRUTH LABEL",
    help="A sample, its truth, and the label whose Dice is measured and from then on expected; 2=1 if label "
    "2 is called 1 in the truth.",
)
@click.option(
    "--bits",
    type=click.Choice(["16", "32"]),
    help="Of the weights; 16 is refused if it changes the labels on the probe.  [default: 16 with --probe]",
)
@click.option("--licence", default="", metavar="SPDX", help="Of the weights; as their contracts say.")
@click.option(
    "--training-data", default="", metavar="TEXT", help="What they were trained on; as their contracts say."
)
@click.option(
    "--notice", "notices", multiple=True, type=EXISTING, help="A licence or notice that must go along."
)
@as_json
def package(
    *,
    runs: tuple[str, ...],
    out: Path,
    name: str,
    probe: tuple[str, str, str] | None,
    bits: str | None,
    licence: str,
    training_data: str,
    notices: tuple[Path, ...],
    json_: bool,
) -> None:
    """Write a plugin with the models of RUN..., their weights inside: to install, to test, to publish.

    RUN is a model folder, from medseg train or medseg import. NAME=RUN calls its model NAME.
    """
    from medseg.packaging import package_models

    chosen: list[tuple[str, Path]] = []
    for run in runs:
        named = _NAMED.fullmatch(run)
        chosen.append((named[1], Path(named[2])) if named else ("", Path(run)))
    root, models = package_models(
        chosen,
        out,
        distribution=name,
        bits=None if bits is None else 16 if bits == "16" else 32,
        licence=licence,
        training_data=training_data,
        notices=notices,
        probe=_probe(*probe) if probe else None,
    )
    for packaged in models:
        about = packaged.model
        line = f"{about.name}: {about.weights.size / 2**20:.1f} MiB, {about.weights.licence}"
        if packaged.flipped is not None:
            line += f"; 16 bits change {packaged.flipped:.3%} of the labels on the probe"
        if about.probe:
            line += f"; probe's Dice {about.probe.dice:.4f}"
        click.echo(line, err=True)
    if json_:
        print_json(
            {
                "distribution": str(root),
                "models": [
                    {
                        "name": packaged.model.name,
                        "bytes": packaged.model.weights.size,
                        "sha256": packaged.model.weights.sha256,
                        "licence": packaged.model.weights.licence,
                        "flipped": packaged.flipped,
                        "probe_dice": packaged.model.probe.dice if packaged.model.probe else None,
                    }
                    for packaged in models
                ],
            }
        )
    else:
        click.echo(f"wrote {root}; try it: pip install -e {root} && medseg plugin check {root.name[7:]}")


def _probe(volume: str, truth: str, label: str) -> Probe:
    from medseg.packaging import TOLERANCE

    ours, _, theirs = label.partition("=")
    try:
        return Probe(
            volume=volume,
            truth=truth,
            label=int(ours),
            truth_label=int(theirs) if theirs else None,
            dice=0.0,  # measured when the model is packaged
            tolerance=TOLERANCE,
        )
    except ValueError:
        raise OptionError(f"--probe ... {label}: wanted a label's number, such as 2, or 2=1") from None
