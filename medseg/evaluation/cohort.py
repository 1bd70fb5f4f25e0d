"""Many cases: scored one after the other or in several processes, and joined in one table."""

import contextlib
import dataclasses
import math
import sys
import tempfile
import traceback
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medseg.batch.job import Recipe
from medseg.batch.run import run_batch
from medseg.errors import ContractError, MedsegError, VolumeError
from medseg.evaluation.case import CaseResult, Settings, read_origin, score_files
from medseg.evaluation.job import case_of, pair_of, result_of
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
    pairs: Sequence[PairOfFiles],
    settings: Settings,
    *,
    workers: int | None = 1,
    folder: Path | None = None,
    registry: Registry | None = None,
    **batch: Any,
) -> Generator[CaseResult | Refusal, None, None]:
    """Score cases; one that is refused or fails does not stop the others. Close the iterator to stop.

    Args:
        pairs: from ``match_files``.
        settings: how.
        workers: processes; each holds up to three cases in memory.
        folder: with several cases, it keeps a journal there, and the same call again goes on from it.
        registry: where to look metrics and formats up, in this process; what is installed, if None.
        **batch: further settings of ``run_batch``.

    Raises:
        MedsegError, OSError, MemoryError, ImportError: what the next case would meet as well.
    """
    if len(pairs) <= 1 or ((workers or 1) <= 1 and folder is None):
        known = registry or default_registry()
        yield from (score_or_refuse(pair, settings, registry=known) for pair in pairs)
        return
    recipe = Recipe(
        factory="medseg.evaluation.job:ScoreCases", options={"settings": dataclasses.asdict(settings)}
    )
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="medseg-")))
        cases = [case_of(pair) for pair in pairs]
        batch.setdefault("say", partial(print, file=sys.stderr))
        running = stack.enter_context(
            contextlib.closing(run_batch(cases, recipe, folder, workers=workers, **batch))
        )
        for outcome in running:
            pair = pair_of(outcome.case)
            if outcome.status == "done":
                origin = read_origin(pair.predicted, default_registry())
                yield dataclasses.replace(result_of(outcome.report), origin=origin)
            else:
                yield Refusal(
                    case=pair.case, model=pair.model, reason=outcome.reason, traceback=outcome.traceback
                )


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


def in_order(
    results: Iterable[CaseResult | Refusal], pairs: Sequence[PairOfFiles]
) -> list[CaseResult | Refusal]:
    """Results in the order of their pairs, in which workers need not end."""
    place = {(pair.model, pair.case): number for number, pair in enumerate(pairs)}
    return sorted(results, key=lambda result: place[result.model, result.case])


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
