"""What commands that run cohorts share: options, the table while it runs, the end, and how it is stopped."""

import contextlib
import re
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import click

from medseg.cli.status import REFUSED
from medseg.errors import OptionError

if TYPE_CHECKING:
    from medseg.batch.outcome import Outcome

TERMINATED = 143
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def cohort_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that runs many cases."""
    for option in (
        click.option(
            "--case-timeout",
            default="4h",
            show_default=True,
            metavar="TIME",
            help="For one case of a cohort, such as 90s or 30m; one that takes longer is tried once more.",
        ),
        click.option(
            "--ray",
            default="",
            metavar="ADDRESS",
            help="Run the workers on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT; or local, to try it.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="Processes for a cohort, each with its own model; by default one, or one for each GPU.",
        ),
    ):
        command = option(command)
    return command


def say_what_is_for_cohorts(context: click.Context) -> None:
    """Say, of one case, which options of a cohort were given and change nothing."""
    flags = {"workers": "--workers", "ray": "--ray", "case_timeout": "--case-timeout"}
    given = [
        flag
        for name, flag in flags.items()
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        click.echo(f"{', '.join(given)}: for cohorts; this is one case, which is done without", err=True)


def timeout_of(text: str) -> float:
    """``90s``, ``30m`` or ``4h`` as seconds.

    Raises:
        OptionError: it is not written like that.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|)\s*", text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if seconds <= 0:
        raise OptionError(f"--case-timeout {text!r}: wanted a time such as 90s, 30m or 4h")
    return seconds


def show_cohort(
    run: Callable[..., "Generator[Outcome, None, None]"], *, total: int, keep: bool
) -> "tuple[list[Outcome], int]":
    """Run a cohort with a table on a terminal, and say at the end what became of it.

    Args:
        run: ``run_batch`` without ``watch`` and ``say``.
        total: cases.
        keep: whether all outcomes are wanted, and standard output is for them alone.

    Returns:
        The outcomes, if they are to be kept, and the status to end with.
    """
    from medseg.batch.display import CohortDisplay

    display = CohortDisplay(total, lines=lambda line: click.echo(line, err=keep))
    outcomes, status = [], 0
    # Closing the iterator stops the workers, whatever it is that ends this block.
    with stopped_by_sigterm(), contextlib.closing(run(watch=display.watch, say=display.say)) as running:
        try:
            with display.live():
                for outcome in running:
                    display.show(outcome)
                    status = status if outcome.status == "done" else REFUSED
                    if keep:
                        outcomes.append(outcome)
        except BaseException:
            running.close()
            if display.begun:
                display.say(display.summary())
            raise
    display.say(display.summary())
    return outcomes, status


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """In the block, SIGTERM ends this process as Ctrl-C does: what was begun is tidied up."""

    def stop(*_: Any) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is heeded; tidying up takes a moment
        sys.exit(TERMINATED)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread, which alone has handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
