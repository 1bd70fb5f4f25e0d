"""Whole cases segmented while training goes on, by the code and the metrics that users have."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from medseg.evaluation.evaluate import evaluate
from medseg.inference.execution import Execution
from medseg.loaded import LoadedModel
from medseg.model import Model, Windows
from medseg.registry import Registered, Registry
from medseg.segmenter import Segmenter
from medseg.training.dataset import Case, Dataset
from medseg.training.locating import Locating

MEAN = "dice"
"""Name of the score that decides which weights are kept: the mean over labels and cases."""


class Validation:
    """Scores cases with a network that is still learning.

    Args:
        cases: with images.
        dataset: what their values mean.
        model: the contract of what is trained.
        registry: where steps and metrics are looked up.
        pictures: folder for one picture of each validation.
        locating: the contract's locator.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        dataset: Dataset,
        model: Model,
        registry: Registry,
        *,
        pictures: Path,
        locating: Locating | None = None,
    ) -> None:
        self.cases = list(cases)
        self._dataset, self._registry, self._pictures = dataset, registry, pictures
        self._locator = locating.model if locating else None
        assert isinstance(model.input.patch, Windows)  # a plan has no other
        # Windows that overlap less are twice as fast, and say as much about which weights are better.
        patch = replace(model.input.patch, overlap=0.25)
        self._model = replace(model, input=replace(model.input, patch=patch))

    def score(self, number: int, network: Segmenter, device: torch.device, *, step: int) -> dict[str, float]:
        """Dice of each label of one case, and their mean.

        A label that neither the truth nor the network has there has no Dice, and is left out; so is the mean
        where no label has one.
        """
        case = self.cases[number]
        loaded = LoadedModel(
            found=Registered(component=self._model, kind="model", plugin="training"),
            description=self._model,
            network=network,
            device=device,
            registry=self._registry,
            execution=Execution(),
            locator=self._locator,
        )
        images = case.read_images()
        with torch.autocast(device.type, enabled=False):  # in the precision in which it is used
            segmentation = loaded.segment(images)
        names = {label.value: label.name for label in self._dataset.labels[1:]}
        truth = case.read_labels()
        scores = evaluate(
            segmentation.labels,
            truth.with_array(self._dataset.learnt(truth.array)),
            metrics=["dice"],
            labels=names,
            registry=self._registry,
        )
        if number == 0:
            from medseg.picture import draw

            self._pictures.mkdir(exist_ok=True)
            draw(
                images[0],
                segmentation,
                self._pictures / f"step-{step:06d}.png",
                title=f"{case.name}, step {step}",
            )
        by_label = {
            f"{MEAN} {name}": scores.value(metric="dice", label=value) for value, name in names.items()
        }
        found = {name: dice for name, dice in by_label.items() if math.isfinite(dice)}
        return found | ({MEAN: sum(found.values()) / len(found)} if found else {})
