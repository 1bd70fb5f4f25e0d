"""A model that is made of others: each segments the image, and their labels are laid over one another."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from medseg.errors import ContractError, OptionError
from medseg.inference.backends import Trial
from medseg.inference.engine import Answer
from medseg.inference.execution import Execution
from medseg.inference.run import Run
from medseg.loaded import LoadedModel, Maps
from medseg.plugin import Locator, Model
from medseg.predictor import Source
from medseg.registry import Registered, Registry
from medseg.volume import Grid, Volume, smallest_integer_type


class ComposedModel(LoadedModel):
    """Several loaded models under one contract; made by ``load_model``."""

    def __init__(
        self,
        *,
        found: Registered,
        description: Model,
        parts: Sequence[LoadedModel],
        device: torch.device,
        registry: Registry,
        execution: Execution,
    ) -> None:
        self._identify(found, description, device=device, registry=registry, execution=execution)
        if execution.probabilities or execution.attention:
            raise OptionError(
                f"model {self.name} is made of {len(parts)} others, whose maps do not add up to any of its "
                f"own; run a part: {', '.join(part.model for part in description.parts)}"
            )
        self._parts = parts
        for part, loaded in zip(description.parts, parts, strict=True):
            here = {label.value for label in description.labels}
            there = {label.value for label in loaded.description.labels}
            wrong = [pair for pair in part.labels if pair[0] not in there or pair[1] not in here]
            if wrong:
                raise ContractError(
                    f"model {self.name}: part {loaded.name} maps labels {wrong} that it or the whole has not"
                )

    def describe(self) -> dict[str, Any]:
        """As of any model, and which labels of which parts it is made of."""
        described = super().describe()
        uses = zip(self.description.parts, self._parts, strict=True)
        parts = [
            {
                "labels": [list(p) for p in use.labels],
                "mirror": part.describe()["execution"]["mirror"],
                **part.describe_settings(),
            }
            for use, part in uses
        ]
        return {**described, "settings": {**described["settings"], "parts": parts}}

    def compare_backends(
        self, image: Source | Sequence[Source] | None = None, *, patient: bool = False
    ) -> list[Trial]:
        """Time every backend for the first part; see ``LoadedModel``."""
        return self._parts[0].compare_backends(image, patient=patient)

    def box(
        self,
        volumes: Sequence[Volume],  # noqa: ARG002  # it refuses
        locator: Locator,
        run: Run,  # noqa: ARG002  # as above
        *,
        home: Grid,  # noqa: ARG002  # as above
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Refuses: see ``LoadedModel``.

        Raises:
            ContractError: always.
        """
        names = ", ".join(part.model for part in self.description.parts)
        raise ContractError(
            f"the locator {self.name} is made of {len(self._parts)} models, and a locator is one network; "
            f"name the part that finds label {locator.label}: {names}"
        )

    def _labels(self, volumes: Sequence[Volume], run: Run) -> tuple[Volume, Maps, Answer]:
        kind = smallest_integer_type(max(label.value for label in self.description.labels))
        total = np.zeros(volumes[0].shape, kind)
        answer: Answer | None = None
        for part, loaded in zip(self.description.parts, self._parts, strict=True):
            found, _, answer = loaded._labels(volumes, run)  # parts are loaded models like itself
            table = np.zeros(max(label.value for label in loaded.description.labels) + 1, kind)
            for own, whole in part.labels:
                table[own] = whole
            mapped = table[found.array]
            np.copyto(total, mapped, where=mapped != 0)
        assert answer is not None  # a contract with parts has at least one
        labels = Volume(total, volumes[0].affine, kind="labels")
        for step in self._post:
            labels = step(labels, volumes[0])
        return labels, Maps(probabilities=None, entropy=None, attention=None), replace(answer, labels=labels)
