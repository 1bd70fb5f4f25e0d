"""The checks of a plugin as text for people and as JSON."""

from collections import Counter
from typing import Any

import click

from medseg.testing.suite import Outcome

_WORDS = {"passed": "ok", "failed": "FAILED", "not run": "not run"}


def show_outcome(outcome: Outcome, *, to_stderr: bool = False) -> None:
    """One line for a check, and under it what is wrong."""
    click.echo(f"{_WORDS[outcome.status]:8}{outcome.check.id}", err=to_stderr)
    if outcome.status == "failed":
        click.echo(f"        {outcome.check.promise}", err=to_stderr)
    if outcome.message:
        click.echo(f"        {outcome.message}", err=to_stderr)


def summarise(outcomes: list[Outcome]) -> str:
    """How many checks passed, failed and were not run, and how long they took."""
    counts = Counter(outcome.status for outcome in outcomes)
    parts = [f"{count} {status}" for status, count in counts.most_common()]
    return f"{', '.join(parts)} in {sum(outcome.seconds for outcome in outcomes):.0f} s"


def outcomes_json(plugin: str, outcomes: list[Outcome]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "plugin": plugin,
        "passed": all(outcome.status != "failed" for outcome in outcomes),
        "checks": [
            {
                "id": outcome.check.id,
                "promise": outcome.check.promise,
                "status": outcome.status,
                "message": outcome.message,
                "seconds": round(outcome.seconds, 3),
            }
            for outcome in outcomes
        ],
    }
