"""One or several models against the truth: all that an evaluation finds, before it is shown or written."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg.errors import OptionError
from medseg.evaluation.case import CaseResult, Settings
from medseg.evaluation.cohort import Refusal, in_order, join, score_cohort
from medseg.evaluation.lesions import Lesion
from medseg.evaluation.one_label import settle_label
from medseg.evaluation.paired import Comparison, compare_models
from medseg.evaluation.pairing import Matched, PairOfFiles, match_files
from medseg.evaluation.scores import Score, Scores
from medseg.evaluation.statistics import Summary, mean_of_labels, summarise
from medseg.evaluation.subgroups import Subgroups, summarise_groups
from medseg.registry import Registry, default_registry

OnCase = Callable[[int, int, CaseResult | Refusal], None]
"""Called after each case: how many are done, of how many, and what was found."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What was found.

    Args:
        settings: how the cases were compared.
        models: their names, in the order given; one empty name, if there is only one.
        pairs: what was compared.
        scores: a row for each model, case, label and metric.
        summaries: over cases.
        comparisons: of each pair of models.
        subgroups: by each attribute of the cases.
        lesions: single pieces, if asked for.
        origins: for each (model, case) where the prediction came from, as far as a record says it.
        refusals: cases that could not be scored.
        unmatched_predictions, unmatched_truths: by model.
    """

    settings: Settings
    models: tuple[str, ...]
    pairs: tuple[PairOfFiles, ...]
    scores: Scores
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...] = ()
    subgroups: tuple[Subgroups, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    origins: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    unmatched_predictions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unmatched_truths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every case was scored and nothing was without a partner."""
        unmatched = [*self.unmatched_predictions.values(), *self.unmatched_truths.values()]
        return not self.refusals and not any(unmatched)

    def worst(self, metric: str, *, count: int) -> list[Score]:
        """The worst values of a metric, the very worst first; quantities have none.

        Args:
            metric: as it is called in the table.
            count: how many at most; only values that count.
        """
        rows = [r for r in self.scores if r.metric == metric and r.higher_is_better is not None]
        rows = [r for r in rows if not math.isnan(r.value)]
        return sorted(rows, key=lambda r: r.value if r.higher_is_better else -r.value)[:count]

    @property
    def metrics(self) -> list[Score]:
        """One row of each metric, for its name, unit and convention."""
        return list({row.metric: row for row in self.scores}.values())


def match_models(
    predictions: Mapping[str, Path], truth: Path, *, strip: Sequence[str] = (), registry: Registry
) -> dict[str, Matched]:
    """Match the predictions of each model with the truths.

    Raises:
        OptionError: see ``match_files``.
    """
    return {
        model: match_files(path, truth, registry=registry, model=model, strip=strip)
        for model, path in predictions.items()
    }


def run_study(
    predictions: Mapping[str, Path],
    truth: Path,
    settings: Settings,
    *,
    strip: Sequence[str] = (),
    attributes: Mapping[str, Mapping[str, str]] | None = None,
    workers: int | None = 1,
    on_case: OnCase | None = None,
    registry: Registry | None = None,
    **batch: Any,
) -> Study:
    """Score all cases of all models, and work out the statistics.

    Args:
        predictions: a file or a folder for each model by its name.
        truth: a file or a folder.
        settings: how to compare.
        strip: endings of names that do not count when files are matched.
        attributes: of the cases, from ``read_attributes``.
        workers: processes.
        on_case: called after each case.
        registry: where to look metrics and formats up; what is installed, if None.
        **batch: ``folder`` for a journal, and further settings of ``score_cohort``.

    Raises:
        OptionError: nothing matches, or an option is wrong; no case was scored then.
    """
    registry = registry or default_registry()
    settings.choose(registry)
    matched = match_models(predictions, truth, strip=strip, registry=registry)
    pairs = [pair for found in matched.values() for pair in found.pairs]
    settings = settle_label(pairs, settings, registry=registry)
    results = []
    scoring = score_cohort(pairs, settings, workers=workers, registry=registry, **batch)
    with contextlib.closing(scoring):
        for result in scoring:
            results.append(result)
            if on_case:
                on_case(len(results), len(pairs), result)
    return describe(in_order(results, pairs), settings, matched, attributes)


def describe(
    results: Sequence[CaseResult | Refusal],
    settings: Settings,
    matched: Mapping[str, Matched],
    attributes: Mapping[str, Mapping[str, str]] | None = None,
) -> Study:
    """Work out the statistics of cases that were scored.

    Args:
        results: of ``score_cohort``, in any order.
        settings: how they were scored.
        matched: what was compared, by model.
        attributes: of the cases.
    """
    scores = join(results, settings)
    done = [result for result in results if isinstance(result, CaseResult)]
    return Study(
        settings=settings,
        models=tuple(matched),
        pairs=tuple(pair for found in matched.values() for pair in found.pairs),
        scores=scores,
        summaries=tuple(summarise(scores)),
        comparisons=tuple(compare_models(scores)),
        subgroups=tuple(summarise_groups(scores, attributes)) if attributes and done else (),
        lesions=tuple(row for result in done for row in result.lesions),
        origins={(r.model, r.case): r.origin for r in done if r.origin},
        refusals=tuple(r for r in results if isinstance(r, Refusal)),
        unmatched_predictions={model: found.unmatched_predictions for model, found in matched.items()},
        unmatched_truths={model: found.unmatched_truths for model, found in matched.items()},
    )


def name_models(paths: Sequence[Path], names: Sequence[str] = ()) -> dict[str, Path]:
    """A name for each model's predictions: that of the folder, with those above it where that is needed.

    Args:
        paths: of the predictions.
        names: given ones, one for each path; of a single model the name is empty without.

    Raises:
        OptionError: not a name for each, or two models of one name.
    """
    if names and len(names) != len(paths):
        raise OptionError(f"{len(names)} names for {len(paths)} models: {', '.join(names)}")
    if names:
        found = dict(zip(names, paths, strict=True))
    elif len(paths) == 1:
        found = {"": paths[0]}
    else:
        whole = [path.resolve() for path in paths]
        depth = next((d for d in range(1, 20) if len({p.parts[-d:] for p in whole}) == len(whole)), 1)
        found = {"/".join(p.parts[-depth:]): path for p, path in zip(whole, paths, strict=True)}
    if len(found) != len(paths):
        raise OptionError("two models have one name or one folder; name each with --name")
    return found


def with_means(scores: Scores) -> Scores:
    """The scores, and for each case the mean of its labels."""
    return dataclasses.replace(scores, rows=(*scores.rows, *mean_of_labels(scores)))
