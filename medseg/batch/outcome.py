"""What became of a case."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from medseg.batch.cases import Case
from medseg.batch.job import Report

Status = Literal["done", "refused", "failed"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A case's result, or the reason why there is none.

    Args:
        case: which.
        status: ``done``; ``refused``, if the input is not fit for the job; ``failed``, for a fault in some
            code, a process that died, a limit.
        reason: why it is not done, in a sentence.
        traceback: where, if it failed for a fault in some code, a plugin's say.
        kept: whether it was done by an earlier run.
        report: what there is to say of the result.
    """

    case: Case
    status: Status
    reason: str = ""
    traceback: str = field(default="", repr=False)
    kept: bool = False
    report: Report = field(default_factory=Report, repr=False)

    def as_json(self) -> Mapping[str, Any]:
        """For a list of all cases."""
        head = {"case": self.case.name, "status": self.status}
        if self.status != "done":
            return {**head, "reason": self.reason}
        return {
            **head,
            "kept": self.kept,
            "written": [str(path) for path in self.case.files],
            **self.report.result,
            "measured": dict(self.report.measured),
        }
