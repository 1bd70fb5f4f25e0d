"""What is done with each case: a job reads, works and writes, and says what its results depend on."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from medseg.batch.cases import Case
from medseg.progress import OnProgress


@dataclass(frozen=True, kw_only=True)
class Report:
    """What there is to say of a case that is done; JSON values.

    Args:
        result: what it is, the same each time.
        measured: what it took: times, memory.
    """

    result: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)


class Job(Protocol):
    """Three stages, each called in a thread of its own, so that one case is read while another is worked on.

    A case that is refused raises ``VolumeError`` or ``ContractError``; whatever else a stage raises fails
    the case, except for the environment's faults while writing, which end the batch.
    """

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that the results depend on besides the case; JSON values. Other settings, another folder."""

    def read(self, case: Case) -> Any:
        """What ``work`` needs of a case."""

    def work(self, case: Case, item: Any, *, smaller: bool, progress: OnProgress | None) -> Any:
        """Turn what was read into what is to be written; with less memory if ``smaller``."""

    def write(self, case: Case, item: Any, folder: Path) -> Report:
        """Write ``case.files``, by their names, into a folder from where they are moved to their places."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a process makes the job for itself: models do not travel.

    Args:
        factory: import string ``"package.module:name"``.
        options: its keyword arguments; JSON values.
    """

    factory: str
    options: Mapping[str, Any]

    def make(self) -> Job:
        """Import the factory and call it."""
        module, _, name = self.factory.partition(":")
        factory = cast(Callable[..., Job], getattr(importlib.import_module(module), name))
        return factory(**self.options)
