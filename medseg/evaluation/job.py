"""The job of ``medseg evaluate``: read two maps, score them; the scores are the journal's, and no file's."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import medseg
from medseg.batch.cases import Case
from medseg.batch.job import Report
from medseg.evaluation.case import CaseResult, Settings, read_files, score_read
from medseg.evaluation.lesions import Lesion
from medseg.evaluation.pairing import PairOfFiles
from medseg.evaluation.scores import Score
from medseg.progress import OnProgress
from medseg.registry import default_registry
from medseg.volume import Volume

_LABELS = ("labels", "predicted_labels")  # by number, which JSON spells as a text


class ScoreCases:
    """Score predictions against truths.

    Args:
        settings: those of ``Settings``, as JSON.
    """

    def __init__(self, *, settings: Mapping[str, Any]) -> None:
        numbered = {
            name: {int(label): text for label, text in settings[name].items()}
            for name in _LABELS
            if settings[name] is not None
        }
        self._settings = Settings(**{**settings, "metrics": tuple(settings["metrics"]), **numbered})
        self._described = {**settings, "medseg": medseg.__version__, "plugins": default_registry().versions()}

    @property
    def settings(self) -> Mapping[str, Any]:
        """How cases are compared, and the versions of what compares them."""
        return self._described

    def read(self, case: Case) -> tuple[Volume, Volume]:
        """The two maps."""
        return read_files(pair_of(case), self._settings, registry=default_registry())

    def work(
        self,
        case: Case,
        item: tuple[Volume, Volume],
        *,
        smaller: bool,  # noqa: ARG002  # a second attempt has nothing beside it, and that is all
        progress: OnProgress | None,  # noqa: ARG002  # a case takes a moment
    ) -> CaseResult:
        """Score them."""
        return score_read(pair_of(case), item, self._settings, registry=default_registry())

    def write(self, case: Case, item: CaseResult, folder: Path) -> Report:  # noqa: ARG002  # a job is told
        """The scores, for the journal."""
        return Report(result=_spelt(dataclasses.asdict(item)))


def case_of(pair: PairOfFiles) -> Case:
    """A pair as a case of a batch."""
    name = f"{pair.model}/{pair.case}" if pair.model else pair.case
    options = {"case": pair.case, "model": pair.model}
    return Case(name=name, sources=(pair.predicted, pair.truth), files=(), options=options)


def pair_of(case: Case) -> PairOfFiles:
    """The pair that ``case_of`` described."""
    predicted, truth = case.sources
    return PairOfFiles(
        case=case.options["case"], model=case.options["model"], predicted=predicted, truth=truth
    )


def result_of(report: Report) -> CaseResult:
    """The scores that a job reported."""
    found = dict(report.result)
    for name, kind in (("scores", Score), ("absent", Score), ("lesions", Lesion)):
        found[name] = tuple(_row(kind, row) for row in found[name])
    return CaseResult(**found)


def _spelt(value: Any) -> Any:
    """JSON has no word for NaN and infinity: they are texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _spelt(inner) for name, inner in value.items()}
    return [_spelt(inner) for inner in value] if isinstance(value, list | tuple) else value


def _row(kind: type[Any], row: Mapping[str, Any]) -> Any:
    """A row of a table, numbers as numbers and points as tuples."""
    floats = {field.name for field in dataclasses.fields(kind) if field.type is float}
    return kind(
        **{
            name: float(value)
            if name in floats
            else tuple(map(float, value))
            if isinstance(value, list)
            else value
            for name, value in row.items()
        }
    )
