"""One call's progress, cancellation and times."""

from collections.abc import Iterator
from contextlib import contextmanager

from medseg.progress import CancelToken, OnProgress, Progress
from medseg.provenance import Stopwatch


class Run:
    """What one call reports, and what stops it.

    Args:
        progress: called as the work goes on.
        cancel: checked between units of work.
    """

    def __init__(self, *, progress: OnProgress | None, cancel: CancelToken) -> None:
        self.watch = Stopwatch()
        self.cancel = cancel
        self._progress = progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a ``with`` block and report when it begins and ends; not entered once cancelled."""
        self.cancel.check()
        self.report(name, 0, 1)
        with self.watch.stage(name):
            yield
        self.report(name, 1, 1)

    def report(self, stage: str, done: int, total: int, *, memory_bytes: int | None = None) -> None:
        """Tell the caller how far a stage is, and once what memory is predicted."""
        if self._progress:
            self._progress(Progress(stage=stage, done=done, total=total, memory_bytes=memory_bytes))
