"""Scores of groups of cases: by sex, scanner, site, age."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from medseg.errors import OptionError
from medseg.evaluation.scores import Scores
from medseg.evaluation.statistics import Summary, summarise

MOST_GROUPS = 8  # values of one attribute; numbers with more are cut at their quartiles
_DIGITS, _MOST_DIGITS = 6, 17  # of an edge between groups in their names; the most say a float64 in full


@dataclass(frozen=True, kw_only=True)
class Subgroups:
    """One attribute of the cases.

    Args:
        attribute: its column.
        summaries: of each group, whose ``group`` is ``attribute = value``.
        p: for each (model, metric, label name) the Kruskal-Wallis test of whether groups differ; not
            corrected for the number of tests.
        unknown: cases without a value.
    """

    attribute: str
    summaries: tuple[Summary, ...]
    p: Mapping[tuple[str, str, str], float]
    unknown: tuple[str, ...]


def read_attributes(path: Path) -> dict[str, dict[str, str]]:
    """Attributes by case from a CSV file whose first row names the columns, one of them ``case``.

    Raises:
        OptionError: no such column, or a case has no name or is there twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} cannot be read as a CSV file: {error}") from error
    table = csv.DictReader(text.splitlines())
    rows = [(table.line_num, row) for row in table]
    if not rows or "case" not in rows[0][1]:
        raise OptionError(
            f"{path.name}: wanted a column named case beside those of the attributes; "
            f"found {', '.join(map(str, rows[0][1])) if rows else 'no rows'}"
        )
    found: dict[str, dict[str, str]] = {}
    for line, row in rows:
        case = (row.pop("case") or "").strip()  # a row that ends early has no text there
        if not case:
            raise OptionError(
                f"{path.name}, line {line}: the case has no name; write it in the column case, or remove the "
                "row"
            )
        if case in found:
            raise OptionError(f"{path.name}, line {line}: the case {case} is there twice; keep one row of it")
        found[case] = {str(k): (v or "").strip() for k, v in row.items() if isinstance(v, str | None) and k}
    return found


def summarise_groups(scores: Scores, attributes: Mapping[str, Mapping[str, str]]) -> list[Subgroups]:
    """A table for each attribute.

    Args:
        scores: of all cases.
        attributes: by case, from ``read_attributes``.

    Raises:
        OptionError: no case of the table is among the scored ones, or an attribute has a value for each.
    """
    cases = list(dict.fromkeys(row.case for row in scores))
    known = [case for case in cases if case in attributes]
    if not known:
        raise OptionError(
            f"none of the cases has attributes: scored are {', '.join(cases[:4])}; the table has "
            f"{', '.join(list(attributes)[:4])}"
        )
    columns = dict.fromkeys(column for case in known for column in attributes[case])
    return [_by_attribute(scores, cases, attributes, column) for column in columns]


def _by_attribute(
    scores: Scores, cases: list[str], attributes: Mapping[str, Mapping[str, str]], column: str
) -> Subgroups:
    values = {case: attributes.get(case, {}).get(column, "") for case in cases}
    groups = _groups({case: value for case, value in values.items() if value}, column)
    summaries = [
        summary
        for name in dict.fromkeys(groups.values())
        for summary in summarise(scores, group=name, keep=lambda case, name=name: groups.get(case) == name)  # type: ignore[misc]  # mypy sees no type for a default
    ]
    return Subgroups(
        attribute=column,
        summaries=tuple(summaries),
        p=_tests(scores, groups),
        unknown=tuple(case for case, value in values.items() if not value),
    )


def _groups(values: Mapping[str, str], column: str) -> dict[str, str]:
    """Name of the group of each case, the groups in order."""
    distinct = sorted(set(values.values()))
    numbers = {value: _number(value) for value in distinct}
    numeric = not any(math.isnan(number) for number in numbers.values())
    if len(distinct) <= MOST_GROUPS:
        order = sorted(distinct, key=lambda value: numbers[value]) if numeric else distinct
        ordered = sorted(values.items(), key=lambda item: order.index(item[1]))
        return {case: f"{column} = {value}" for case, value in ordered}
    if not numeric:
        raise OptionError(
            f"the attribute {column} has {len(distinct)} values that are no numbers, as {distinct[0]!r}; "
            f"wanted at most {MOST_GROUPS}. Leave the column out of the table, or put its values together"
        )
    edges = np.quantile([numbers[value] for value in values.values()], [0.25, 0.5, 0.75])
    low, middle, high = _spell(edges, list(numbers.values()))
    names = [
        f"{column} up to {low}",
        f"{column} over {low} up to {middle}",
        f"{column} over {middle} up to {high}",
        f"{column} over {high}",
    ]
    ordered = sorted(values.items(), key=lambda item: numbers[item[1]])
    return {case: names[int(np.searchsorted(edges, numbers[value]))] for case, value in ordered}


def _spell(edges: NDArray[np.float64], numbers: Sequence[float]) -> list[str]:
    """Edges of groups with so many digits that they part the numbers as the edges themselves do."""
    for digits in range(_DIGITS, _MOST_DIGITS):
        texts = [f"{edge:.{digits}g}" for edge in edges]
        if np.array_equal(
            np.searchsorted(np.array(texts, np.float64), numbers), np.searchsorted(edges, numbers)
        ):
            return texts
    return [f"{edge:.{_MOST_DIGITS}g}" for edge in edges]


def _tests(scores: Scores, groups: Mapping[str, str]) -> dict[tuple[str, str, str], float]:
    samples: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in scores:
        if row.case in groups and not math.isnan(row.value):
            by_group = samples.setdefault((row.model, row.metric, row.name), {})
            by_group.setdefault(groups[row.case], []).append(row.value)
    return {key: _kruskal(list(by_group.values())) for key, by_group in samples.items()}


def _kruskal(samples: list[list[float]]) -> float:
    if len(samples) < 2 or len({value for sample in samples for value in sample}) < 2:
        return math.nan
    return float(stats.kruskal(*samples).pvalue)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
