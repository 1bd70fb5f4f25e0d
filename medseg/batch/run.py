"""Run a batch: lock the folder, start workers, give each case's outcome as it comes, leave nothing behind."""

import contextlib
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from medseg.batch.cases import Case, make_folder
from medseg.batch.cluster import Cluster
from medseg.batch.job import Recipe
from medseg.batch.journal import open_journal
from medseg.batch.outcome import Outcome
from medseg.batch.processes import ProcessWorker
from medseg.batch.supervisor import Launch, Supervisor


def run_batch(
    cases: Sequence[Case],
    recipe: Recipe,
    folder: Path,
    *,
    workers: int | None = None,
    ray: str = "",
    timeout_s: float = float("inf"),
    overwrite: bool = False,
    watch: Callable[[Supervisor], None] = lambda _: None,
    say: Callable[[str], None] = print,
) -> Generator[Outcome, None, None]:
    """Run cases through a job in worker processes; the folder's journal remembers what is done.

    The same call again goes on where this one was cut off. Close the iterator to stop.

    Args:
        cases: each with files in ``folder``.
        recipe: how a worker makes the job.
        folder: for the results; made if need be.
        workers: processes, or actors; None for one for each GPU, or one (on a cluster, one for each node).
        ray: address of a Ray cluster that runs the workers; empty for processes of this machine.
        timeout_s: for one attempt at one case.
        overwrite: do everything again.
        watch: called with the supervisor before the work begins, to look at it meanwhile.
        say: called with each line that a worker prints and with what people should know.

    Raises:
        OptionError: the folder holds results of other settings; or what the job's maker raises.
        ResourceError: another run is at work there, or the environment refuses.
    """
    make_folder(folder)
    with open_journal(folder) as journal:
        scratch = folder / ".medseg-parts"
        with contextlib.ExitStack() as stack:
            cluster = Cluster(ray, folder=folder, workers=workers) if ray else None
            shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed: nobody else is here
            if cluster:
                stack.enter_context(contextlib.closing(cluster))
                cluster.mark()
                launch: Launch = partial(cluster.launch, recipe=recipe, say=say)
                workers = cluster.workers
            else:
                launch = partial(
                    _launch,
                    recipe=recipe,
                    folder=folder,
                    workers=workers or 1,
                    share=[journal.descriptor],
                    say=say,
                )
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            supervisor = Supervisor(
                cases,
                journal=journal,
                launch=launch,
                workers=workers,
                timeout_s=timeout_s,
                overwrite=overwrite,
                notify=say,
            )
            watch(supervisor)
            yield from supervisor.run()


def _launch(number: int, events: Any, *, workers: int, **settings: Any) -> ProcessWorker:
    environment = {}
    if workers > 1 and "OMP_NUM_THREADS" not in os.environ:
        environment["OMP_NUM_THREADS"] = str(max(1, _cores() // workers))
    return ProcessWorker(number, events, environment=environment, **settings)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
