"""An evaluation as one JSON document; its schema is evaluation.schema.json beside this file."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import medseg
from medseg.evaluation.study import Study

SCHEMA = "medseg-evaluation/1"
SCHEMA_FILE = Path(__file__).with_name("evaluation.schema.json")


def to_document(
    study: Study, *, worst: int = 10, pictures: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Everything that was found, as JSON can hold it: NaN is null, and infinity the string ``inf``.

    Args:
        study: what was found.
        worst: how many of the worst cases of each metric to list.
        pictures: name of a file beside the document by model: a case of median accuracy.
    """
    settings = dataclasses.asdict(study.settings)
    for key in ("labels", "predicted_labels"):
        if settings[key] is not None:
            settings[key] = {str(number): name for number, name in settings[key].items()}
    document = {
        "schema": SCHEMA,
        "medseg": medseg.__version__,
        "settings": settings,
        "models": list(study.models),
        "metrics": [
            {
                "name": row.metric,
                "convention": row.convention,
                "unit": row.unit,
                "higher_is_better": row.higher_is_better,
            }
            for row in study.metrics
        ],
        "cases": _cases(study),
        "unmatched": {
            "predictions": {model: list(names) for model, names in study.unmatched_predictions.items()},
            "truths": {model: list(names) for model, names in study.unmatched_truths.items()},
        },
        "pictures": dict(pictures or {}),
        "summary": [dataclasses.asdict(summary) for summary in study.summaries],
        "comparisons": [dataclasses.asdict(comparison) for comparison in study.comparisons],
        "subgroups": [
            {
                "attribute": subgroups.attribute,
                "unknown": list(subgroups.unknown),
                "groups": [dataclasses.asdict(summary) for summary in subgroups.summaries],
                "kruskal_wallis": [
                    {"model": model, "metric": metric, "name": name, "p": p}
                    for (model, metric, name), p in subgroups.p.items()
                ],
            }
            for subgroups in study.subgroups
        ],
        "worst": [
            {
                "metric": row.metric,
                "cases": [_place(r) for r in study.worst(row.metric, count=worst)],
            }
            for row in study.metrics
            if row.higher_is_better is not None
        ],
        "scores": [dataclasses.asdict(row) for row in study.scores],
        "lesions": [dataclasses.asdict(lesion) for lesion in study.lesions],
    }
    plain = _plain(document)
    assert isinstance(plain, dict)  # it was one
    return plain


def _cases(study: Study) -> list[dict[str, Any]]:
    refused = {(r.model, r.case): r for r in study.refusals}
    cases = []
    for pair in study.pairs:
        key = (pair.model, pair.case)
        case: dict[str, Any] = {"case": pair.case, "model": pair.model, "status": "done"}
        if key in refused:
            case["status"] = "failed" if refused[key].traceback else "refused"
            case["reason"] = refused[key].reason
        note = study.scores.notes.get(f"{pair.model}: {pair.case}" if pair.model else pair.case)
        if note:
            case["note"] = note
        if key in study.origins:
            case["origin"] = dict(study.origins[key])
        cases.append(case)
    return cases


def _place(row: Any) -> dict[str, Any]:
    return {
        "case": row.case,
        "model": row.model,
        "label": row.label,
        "name": row.name,
        "value": row.value,
        "state": row.state,
    }


def _plain(value: Any) -> Any:
    """Dictionaries, lists and numbers that every reader of JSON understands."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
