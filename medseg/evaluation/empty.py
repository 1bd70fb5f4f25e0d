"""What a label is worth that the prediction, the truth or both lack.

A mean over cases must say what it did with them: to leave them out rewards a model that finds
nothing in the hard cases, and to give an infinite distance spoils every mean.

====================  =============================  ===================
policy                missed, false alarm            both empty
====================  =============================  ===================
``exclude``           left out                       left out
``penalise``          0; the image's diagonal in mm  left out
``inf``               0; infinite                    left out
``brats``             0; the image's diagonal in mm  1; 0 mm
====================  =============================  ===================

Beside every mean stand the numbers of such cases. ``brats`` is the rule of the BraTS challenges (373.13 mm
is the diagonal of their images).
"""

import math
from typing import Literal, get_args

from medseg.errors import OptionError
from medseg.evaluation.scores import State
from medseg.plugin import Metric

Empty = Literal["exclude", "penalise", "inf", "brats"]
POLICIES: tuple[Empty, ...] = get_args(Empty)


def apply_policy(raw: float, metric: Metric, state: State, *, empty: Empty, diagonal_mm: float) -> float:
    """The value that enters a mean; NaN if none does.

    Args:
        raw: what the metric returned.
        metric: its description.
        state: of the label.
        empty: the policy.
        diagonal_mm: of the image.
    """
    if state == "compared" or metric.defined_if_empty or metric.higher_is_better is None:
        return raw
    if empty == "exclude":
        return math.nan
    if state == "both empty":
        return math.nan if empty != "brats" else 1.0 if metric.higher_is_better else 0.0
    if metric.higher_is_better:
        return 0.0
    return diagonal_mm if metric.unit == "mm" and empty != "inf" else math.inf


def as_policy(name: str) -> Empty:
    """The policy of this name.

    Raises:
        OptionError: there is none.
    """
    for policy in POLICIES:
        if policy == name:
            return policy
    raise OptionError(f"there is no policy {name!r} for empty masks; there are {', '.join(POLICIES)}")
