"""The runs of the past: what was run and how it ended, nothing of whom it was run on."""

import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TABLE = """
create table if not exists runs (
    owner text not null, started real not null, model text not null, state text not null,
    seconds real not null, weights_sha256 text not null, labels text not null
)
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a model.

    Args:
        owner: who ran it.
        started: seconds since 1970.
        model: full name.
        state: how it ended.
        seconds: how long it took.
        weights_sha256: of the weights; empty if it did not come so far.
        labels: mL by label name.
    """

    owner: str
    started: float
    model: str
    state: str
    seconds: float
    weights_sha256: str = ""
    labels: Mapping[str, float] = field(default_factory=dict)


class History:
    """Runs in an SQLite file that only this account can read."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        with self._lock, self._database:
            self._database.execute(_TABLE)

    def add(self, run: Run) -> None:
        """Remember a run."""
        values: tuple[Any, ...] = (
            run.owner,
            run.started,
            run.model,
            run.state,
            run.seconds,
            run.weights_sha256,
            json.dumps(dict(run.labels)),
        )
        with self._lock, self._database:
            self._database.execute("insert into runs values (?, ?, ?, ?, ?, ?, ?)", values)

    def of(self, owner: str) -> list[Run]:
        """An owner's runs, the newest first."""
        query = "select * from runs where owner = ? order by started desc"
        with self._lock:
            rows = self._database.execute(query, (owner,)).fetchall()
        return [
            Run(
                owner=row[0],
                started=row[1],
                model=row[2],
                state=row[3],
                seconds=row[4],
                weights_sha256=row[5],
                labels=json.loads(row[6]),
            )
            for row in rows
        ]

    def erase(self, owner: str) -> None:
        """Forget an owner's runs for good: the file is written anew without them."""
        with self._lock:
            with self._database:
                self._database.execute("delete from runs where owner = ?", (owner,))
            self._database.execute("vacuum")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
