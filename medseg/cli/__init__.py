"""The command line: arguments to verbs, results to people or to JSON.

Everything heavy is imported inside the commands, so that ``medseg --help`` is instant. A command is a
function in the module of its subject, and is listed below.
"""

import click

import medseg
from medseg.cli.demo import bench, demo
from medseg.cli.ending import end_with
from medseg.cli.evaluate import evaluate, leaderboard
from medseg.cli.importing import import_
from medseg.cli.package import package
from medseg.cli.plugins import doctor, models, plugin, ui
from medseg.cli.segment import segment
from medseg.cli.status import Commands
from medseg.cli.train import train
from medseg.cli.volumes import convert, deidentify, info


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(medseg.__version__, prog_name="medseg")
def main() -> None:
    """Medical and 3-D image segmentation; models are plugins. Research only, not for clinical use."""


for command in (
    segment,
    train,
    package,
    evaluate,
    leaderboard,
    demo,
    bench,
    info,
    convert,
    deidentify,
    import_,
    models,
    plugin,
    doctor,
    ui,
):
    main.add_command(command)


def run() -> None:
    """What the installed command ``medseg`` calls."""
    end_with(main)
