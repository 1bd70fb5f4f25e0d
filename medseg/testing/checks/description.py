"""Promises of every description."""

from medseg.plugin import Architecture
from medseg.testing.expectation import expect
from medseg.testing.subject import Subject

LONGEST = 80


def check_summary_is_one_line(subject: Subject) -> None:
    """The summary is one line of at most 80 characters, for tables and menus."""
    summary = subject.component.summary
    expect(
        summary.strip() and len(summary) <= LONGEST and "\n" not in summary,
        got=f"a summary of {len(summary)} characters in {len(summary.splitlines())} lines: {summary!r}",
        wanted=f"one line of 1 to {LONGEST} characters",
        remedy="Say what it is; where it comes from belongs into the reference",
    )


def check_architecture_cites_its_source(subject: Subject) -> None:
    """An architecture names the paper or document that it follows; other components may."""
    expect(
        subject.component.reference.strip() or not isinstance(subject.component, Architecture),
        got="an architecture with no reference",
        wanted="authors, year and doi or address",
        remedy='Add reference="..." to the description; for a network of your own, "this plugin" will do',
    )
