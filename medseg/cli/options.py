"""Options that several commands share."""

import errno
import re
from pathlib import Path
from typing import Any

import click

from medseg.atomic import explain
from medseg.errors import OptionError


def _writable_name(path: Path) -> Path:
    """A place to write to, if the system could have a file of this name at all."""
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise explain(path, error) from error
    return path


class _File(click.Path):
    """A place to write to."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path of it."""
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment]  # click knows no path_type
        return _writable_name(path)


FILE = _File(path_type=Path)
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

precision_option = click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "bfloat16", "int8"]),
    default="float32",
    show_default=True,
    help="What the network computes in. A lower one is taken only if its labels on some windows agree with "
    "those of float32, and is refused otherwise.",
)
least_dice_option = click.option(
    "--least-dice",
    type=float,
    default=0.995,
    show_default=True,
    help="The Dice to float32 that every label of these windows must reach.",
)

_NETWORK_OPTION = re.compile(r"([a-z][a-z0-9_-]*)=(.*)")


def out_and_options(outs: tuple[str, ...]) -> tuple[Path, dict[str, str]]:
    """Tell the one place to write to from the options of the network, which look like ``width=32``."""
    matches = [_NETWORK_OPTION.fullmatch(value) for value in outs]
    places = [value for value, match in zip(outs, matches, strict=True) if not match]
    if len(places) != 1:
        raise OptionError(
            f"-o names {len(places)} places to write to ({', '.join(places) or 'none'}); wanted one, and "
            "options of the network as -o NAME=VALUE. A place with an equals sign in it: ./NAME=VALUE"
        )
    return _writable_name(Path(places[0])), {
        match[1].replace("-", "_"): match[2] for match in matches if match
    }
