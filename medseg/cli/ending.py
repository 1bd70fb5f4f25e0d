"""The command in a process of its own, which ends as soon as its work is done."""

import atexit
import os
import sys
import threading
from collections.abc import Callable


def end_with(command: Callable[[], object]) -> None:
    """Run a command that raises ``SystemExit``, as click's do, and end the process with its status.

    Taking libraries such as torch apart takes Python most of a second, for memory that the system takes
    back anyway. What was registered to be done at exit is done, and what was printed is written out. Where
    threads are still at work, or the status is no number, Python ends the process as it always does.
    """
    try:
        command()
    except SystemExit as end:
        status = 0 if end.code is None else end.code
        at_work = [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
        if at_work or not isinstance(status, int):
            raise
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
