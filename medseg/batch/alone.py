"""One case in this process: no journal, no worker; for one volume, and for programs that hold a model."""

import traceback

from medseg.atomic import sweep_stale_parts
from medseg.batch.cases import Case, make_folder
from medseg.batch.job import Job
from medseg.batch.outcome import Outcome
from medseg.errors import ContractError, MedsegError, VolumeError
from medseg.progress import OnProgress


def run_alone(
    case: Case, job: Job, *, overwrite: bool = False, progress: OnProgress | None = None
) -> Outcome:
    """Do one case here and now.

    The last of its files gets its name last, so that no result ever stands without its origin.

    Args:
        case: from ``find_cases``.
        job: what is done.
        overwrite: replace files that exist; otherwise the case is refused.
        progress: called as the work goes on.

    Raises:
        ResourceError, PluginError, Cancelled, OSError, MemoryError, ImportError: what the next case
            would meet as well.
    """
    folder = case.target.parent
    make_folder(folder)
    sweep_stale_parts(folder)
    standing = [] if overwrite else [path for path in case.files if path.exists()]
    reason = case.problem or (f"{standing[0]} exists; use --overwrite to replace it" if standing else "")
    if reason:
        return Outcome(case=case, status="refused", reason=reason)
    try:
        item = job.read(case)
        item = job.work(case, item, smaller=False, progress=progress)
        report = job.write(case, item, folder)
    except (VolumeError, ContractError) as error:
        return Outcome(case=case, status="refused", reason=str(error))
    except (MedsegError, OSError, MemoryError, ImportError):
        raise
    except Exception as error:  # noqa: BLE001  # a fault in a plugin's network is the case's, with a line of its own
        reason = f"{type(error).__name__}: {error}"
        return Outcome(case=case, status="failed", reason=reason, traceback=traceback.format_exc())
    return Outcome(case=case, status="done", report=report)
