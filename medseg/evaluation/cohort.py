"""Many cases: scored one after the other or in several processes, and joined in one table."""

import dataclasses
import math
import multiprocessing
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from medseg.errors import ContractError, MedsegError, VolumeError
from medseg.evaluation.case import CaseResult, Settings, score_files
from medseg.evaluation.pairing import PairOfFiles
from medseg.evaluation.scores import Score, Scores
from medseg.registry import Registry, default_registry


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a case could not be scored.

    Args:
        case, model: which.
        reason: a sentence.
        traceback: where, if it failed for a fault in some code.
    """

    case: str
    model: str
    reason: str
    traceback: str = ""


def score_cohort(
    pairs: Sequence[PairOfFiles], settings: Settings, *, workers: int = 1, registry: Registry | None = None
) -> Iterator[CaseResult | Refusal]:
    """Score cases in their order; one that is refused or fails does not stop the others.

    Args:
        pairs: from ``match_files``.
        settings: how.
        workers: processes; each holds one case in memory.
        registry: where to look metrics and formats up, with one worker; what is installed, if None.

    Raises:
        MedsegError, OSError, MemoryError, ImportError: what the next case would meet as well.
    """
    if workers <= 1 or len(pairs) <= 1:
        known = registry or default_registry()
        yield from (score_or_refuse(pair, settings, registry=known) for pair in pairs)
        return
    # Not a fork: this process may have threads, those of a progress bar for one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(pairs)), mp_context=context) as pool:
        yield from pool.map(partial(score_or_refuse, settings=settings), pairs)


def score_or_refuse(
    pair: PairOfFiles, settings: Settings, *, registry: Registry | None = None
) -> CaseResult | Refusal:
    """Score one case, or say why not.

    Raises:
        MedsegError, OSError, MemoryError, ImportError: what the next case would meet as well.
    """
    try:
        return score_files(pair, settings, registry=registry or default_registry())
    except (VolumeError, ContractError) as error:
        return Refusal(case=pair.case, model=pair.model, reason=str(error))
    except (MedsegError, OSError, MemoryError, ImportError):
        raise
    except Exception as error:  # noqa: BLE001  # a fault in a plugin's metric ends its case, not the cohort
        reason = f"{type(error).__name__}: {error}"
        return Refusal(case=pair.case, model=pair.model, reason=reason, traceback=traceback.format_exc())


def join(results: Iterable[CaseResult | Refusal], settings: Settings) -> Scores:
    """One table of many cases, in which each case has a row for each label of the cohort.

    Without it, a label that two maps of one case both lack would be in no count.
    """
    done: list[CaseResult] = []
    refused: list[Refusal] = []
    for result in results:
        if isinstance(result, Refusal):
            refused.append(result)
        else:
            done.append(result)
    names = {row.label: row.name for result in done for row in result.scores if row.label is not None}
    rows = [row for result in done for row in _with_absent(result, dict(sorted(names.items())))]
    return Scores(
        rows=tuple(rows),
        empty=settings.empty,
        refused={_key(r.case, r.model): r.reason for r in refused},
        notes={_key(r.case, r.model): r.note for r in done if r.note},
    )


def _with_absent(result: CaseResult, names: dict[int, str]) -> list[Score]:
    own = {row.label for row in result.scores}
    rows = [row for row in result.scores if row.label is not None]
    rows += [
        dataclasses.replace(row, label=label, name=name)
        for label, name in names.items()
        if label not in own
        for row in result.absent
    ]
    rows.sort(key=lambda row: row.label if row.label is not None else math.inf)
    return rows + [row for row in result.scores if row.label is None]


def _key(case: str, model: str) -> str:
    return f"{model}: {case}" if model else case
