"""Scores as a tidy table: a row for each case, label and metric."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

State = Literal["compared", "missed", "false alarm", "both empty"]
"""Whether both maps have a label (``compared``), or the truth alone, the prediction alone, or neither."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric of one label in one case.

    Args:
        case: its name.
        model: what made the prediction; empty if there is only one.
        label: None for a metric of the whole map.
        name: of the label.
        metric: its name, with the options that differ from their defaults.
        convention: all options of the metric, such as ``convention=pooled tolerance_mm=2.0``.
        unit: empty for a ratio, else ``mm`` or ``ml``.
        higher_is_better: None for a quantity.
        value: under the policy for empty masks; NaN where the case does not count.
        raw: as the metric returned it.
        state: whether there was something on both sides.
        tp, fp, fn: voxels of the label; None for a metric of the whole map.
        predicted_ml, truth_ml: volumes of the label; NaN for a metric of the whole map.
    """

    case: str
    model: str
    label: int | None
    name: str
    metric: str
    convention: str
    unit: str
    higher_is_better: bool | None
    value: float
    raw: float
    state: State
    tp: int | None
    fp: int | None
    fn: int | None
    predicted_ml: float
    truth_ml: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A table of scores, what was left out of it, and by which rule.

    Args:
        rows: scores, in the order of the cases.
        empty: the policy for empty masks that ``value`` follows.
        refused: why, for each case that could not be compared.
        unmatched_predictions: names of predictions without a truth.
        unmatched_truths: names of truths without a prediction.
        notes: for each case what had to be done to compare it, such as resampling.
    """

    rows: tuple[Score, ...]
    empty: str
    refused: Mapping[str, str] = field(default_factory=dict)
    unmatched_predictions: tuple[str, ...] = ()
    unmatched_truths: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Score]:
        return iter(self.rows)

    def select(self, **wanted: Any) -> "Scores":
        """The rows whose fields are these, such as ``metric="dice", label=1``."""
        kept = tuple(r for r in self.rows if all(getattr(r, key) == value for key, value in wanted.items()))
        return dataclasses.replace(self, rows=kept)

    def value(self, **wanted: Any) -> float:
        """The one value whose row has these fields.

        Raises:
            LookupError: no row has them, or several have.
        """
        found = self.select(**wanted).rows
        if len(found) != 1:
            raise LookupError(f"{len(found)} scores have {wanted}; wanted one. There are {self._outline()}")
        return found[0].value

    def to_pandas(self) -> "pd.DataFrame":
        """The table as a data frame, a column for each field of ``Score``."""
        import pandas as pd

        columns = [f.name for f in dataclasses.fields(Score)]
        frame = pd.DataFrame([dataclasses.astuple(row) for row in self.rows], columns=columns)
        return frame.astype(dict.fromkeys(("label", "tp", "fp", "fn"), "Int64"))

    def _outline(self) -> str:
        return (
            f"cases {_some(r.case for r in self.rows)}; labels {_some(r.label for r in self.rows)}; "
            f"metrics {_some(r.metric for r in self.rows)}"
        )

    def __str__(self) -> str:
        """A line for each case and label, a column for each metric."""
        metrics = list(dict.fromkeys(r.metric for r in self.rows))
        lines: dict[tuple[str, str, str], dict[str, float]] = {}
        for row in self.rows:
            lines.setdefault((row.model, row.case, row.name), {})[row.metric] = row.value
        table: list[Sequence[str]] = [("model", "case", "label", *metrics)]
        table += [
            (*key, *("" if m not in found else f"{found[m]:.4f}" for m in metrics))
            for key, found in lines.items()
        ]
        widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
        shown = [n for n, width in enumerate(widths) if n > 1 or any(line[n] for line in table[1:])]
        return "\n".join("  ".join(line[n].rjust(widths[n]) for n in shown).rstrip() for line in table)


def state_of(predicted: int, true: int) -> State:
    """The state of a label with so many predicted and true voxels."""
    if predicted and true:
        return "compared"
    return "false alarm" if predicted else "missed" if true else "both empty"


def finite(values: Iterable[float]) -> list[float]:
    """The values that count: all but NaN."""
    return [value for value in values if not math.isnan(value)]


def _some(values: Iterable[Any]) -> str:
    distinct = list(dict.fromkeys(map(str, values)))
    return ", ".join(distinct[:6]) + (f" and {len(distinct) - 6} more" if len(distinct) > 6 else "") or "none"
