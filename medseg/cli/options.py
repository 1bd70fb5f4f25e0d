"""Options that several commands share."""

from pathlib import Path

import click

FILE = click.Path(path_type=Path)
EXISTING = click.Path(path_type=Path, exists=True)

model_option = click.option(
    "-m",
    "--model",
    required=True,
    is_eager=True,  # so that --help knows it
    help="A model's name (see: medseg models), or a model folder.",
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
