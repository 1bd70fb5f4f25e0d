"""Which label maps of probability are of, where nobody named it: the one that the truths hold."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from medseg.errors import OptionError, VolumeError
from medseg.evaluation.case import Settings
from medseg.evaluation.pairing import PairOfFiles
from medseg.formats import load
from medseg.registry import Registry


def settle_label(pairs: Sequence[PairOfFiles], settings: Settings, *, registry: Registry) -> Settings:
    """The settings with the label of a study's probabilities, for which its truths are read.

    A case alone does not say it: where its truth is empty, any label would do.

    Args:
        pairs: all of the study.
        settings: unchanged, if they name labels or if predictions are label maps.
        registry: whose formats read the truths.

    Raises:
        OptionError: the truths hold no label, or several.
    """
    if not settings.probabilities or settings.labels is not None:
        return settings
    case_of = {pair.truth: pair.case for pair in pairs}
    found: dict[int, str] = {}
    refused = 0
    for truth, case in case_of.items():
        try:
            array = load(truth, kind="labels", registry=registry).array
        except VolumeError:
            refused += 1  # its case is, too, with the reason
            continue
        for label in np.unique(array):
            found.setdefault(int(label), case)
    found.pop(0, None)
    if refused == len(case_of):
        return settings
    if not found:
        raise OptionError(
            "no truth holds a label, so that nothing says which one the probabilities are of; name the label "
            "with --labels, as in --labels 1"
        )
    if len(found) > 1:
        where = ", ".join(f"{label} (in {case})" for label, case in sorted(found.items())[:4])
        raise OptionError(
            f"the truths hold the labels {where}; probabilities are of one: name it with --labels, as in "
            f"--labels {max(found)}"
        )
    return dataclasses.replace(settings, labels={label: str(label) for label in found})
