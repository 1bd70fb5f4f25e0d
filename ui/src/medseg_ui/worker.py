"""The child process of a job: does one task, reports on standard output, leaves ``outcome.json``.

Run as ``python -m medseg_ui.worker FOLDER``; the folder holds ``task.json``.
"""

import contextlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from medseg import Cancelled, CancelToken, MedsegError, Progress
from medseg_ui import tasks

_LONG = ("segment", "refine")
_NICENESS = 5  # a third of the weight of others: it must come forward on a busy computer too


def main(folder: Path) -> int:
    """Do the task of a folder; 0 unless it failed for a fault in some code."""
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    if task["kind"] in _LONG:
        _stand_back()
    token = CancelToken()
    signal.signal(signal.SIGTERM, lambda *_: token.cancel())
    protocol = sys.stdout

    def report(event: Progress) -> None:
        line: dict[str, Any] = {"stage": event.stage, "done": event.done, "total": event.total}
        if event.memory_bytes is not None:
            line["memory_bytes"] = event.memory_bytes
        print(json.dumps(line), file=protocol, flush=True)  # the protocol's channel

    with contextlib.redirect_stdout(sys.stderr):  # what plugins print is not of the protocol
        try:
            outcome = {"state": "done", **tasks.run(task, folder, progress=report, cancel=token)}
        except Cancelled:
            outcome = {"state": "cancelled", "message": "Cancelled; nothing was kept of it."}
        except MedsegError as error:
            outcome = {"state": "refused", "message": str(error)}
        except MemoryError:
            message = "Memory ran out. Close other programs, or use a smaller volume or another model."
            outcome = {"state": "failed", "message": message}
        except Exception as error:  # noqa: BLE001  # a plugin's fault is the job's outcome, whatever it is
            traceback.print_exc()
            outcome = {"state": "failed", "message": f"{type(error).__name__}: {error}"}
    _write(folder / "outcome.json", outcome)
    return int(outcome["state"] == "failed")


def _stand_back() -> None:
    """Let the server's pages have a processor the moment they want one; take all that is idle.

    Linux may schedule each session as a group, within which alone the niceness of its processes
    counts (sched(7), "The autogroup feature"); such a group has a niceness of its own.
    """
    os.nice(_NICENESS)
    with contextlib.suppress(OSError):  # no such groups
        Path("/proc/self/autogroup").write_text(str(_NICENESS), encoding="ascii")


def _write(path: Path, outcome: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(outcome), encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
