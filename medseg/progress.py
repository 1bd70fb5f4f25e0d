"""Progress and cancellation: plain values that every long call takes."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from medseg.errors import Cancelled


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a long call is: ``done`` of ``total`` units of one named stage.

    Args:
        stage: its name.
        done, total: units of work.
        memory_bytes: what the run is predicted to need at its peak, once that is known.
    """

    stage: str
    done: int
    total: int
    memory_bytes: int | None = None


OnProgress = Callable[[Progress], None]


class CancelToken:
    """Cancel a call from another thread or from a signal handler.

    Example:
        >>> token = CancelToken()
        >>> token.cancel()
        >>> token.check()
        Traceback (most recent call last):
        ...
        medseg.errors.Cancelled: cancelled; nothing was written
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the call to stop; it does so before its next unit of work."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel`` was called."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise ``Cancelled`` if ``cancel`` was called."""
        if self.cancelled:
            raise Cancelled("cancelled; nothing was written")
