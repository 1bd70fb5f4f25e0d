"""What is to be done of a batch that was begun before: what is there, and can it be trusted?"""

from collections.abc import Callable, Sequence
from typing import Literal

from medseg.atomic import explain
from medseg.batch.cases import Case
from medseg.batch.journal import Journal, sha256_of_files

Verdict = Literal["todo", "suspect", "kept", "refused"]
_REMEDY = "Remove it to have it made again, or use --overwrite to make everything again"
Standing = tuple[int, Verdict, str]


def sort_cases(
    cases: Sequence[Case], journal: Journal, tell: Callable[[Standing], None], *, overwrite: bool
) -> None:
    """Tell of each case, by number: to be done, to be done alone, done before, or refused with a reason.

    Args:
        cases: all of a batch.
        journal: begun.
        tell: called for each, in order.
        overwrite: whether files that no run of the journal wrote may be replaced.
    """
    for number, case in enumerate(cases):
        tell((number, *_verdict(case, journal, overwrite=overwrite)))


def _verdict(case: Case, journal: Journal, *, overwrite: bool) -> tuple[Verdict, str]:
    if case.problem:
        return "refused", case.problem
    there = []
    for path in case.files:
        try:
            if path.exists():
                there.append(path)
        except OSError as error:  # its name is too long, or its folder closed: the others may do
            return "refused", str(explain(path, error))
    done = journal.trusted(case.name)
    if done is None:
        if there and not overwrite and not journal.owns(case.name):
            return "refused", f"{there[0]} exists; use --overwrite to replace it"
        return ("suspect" if journal.failed_before(case.name) else "todo"), ""
    try:
        changed = [p.name for p in there if sha256_of_files([p]) != done.files.get(p.name)]
        if changed:
            return "refused", (
                f"{changed[0]} is not as medseg wrote it: it was changed or damaged since. {_REMEDY}"
            )
        if len(there) < len(case.files):
            return "todo", ""  # some were taken away, to have them made again
        other = [
            what
            for what, differs in (
                ("of other data than the input now holds", sha256_of_files(case.sources) != done.input),
                ("with other options than the list now gives", case.options_sha256 != done.options),
            )
            if differs
        ]
        if other and not case.files:
            return "todo", ""
        if other:
            return "refused", f"{case.target.name} was made {' and '.join(other)}. {_REMEDY}"
    except OSError as error:
        return "refused", f"{case.name}: it cannot be compared with the journal: {error.strerror}"
    return "kept", ""
