"""Where the network will look: the box that a locator finds in each case, as when the model is used."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medseg.errors import ContractError
from medseg.geometry import crop
from medseg.inference.execution import Execution
from medseg.loaded import LoadedModel
from medseg.model import Locator
from medseg.predict import load_network
from medseg.registry import Registry
from medseg.training.dataset import Case, Dataset
from medseg.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Locating:
    """A locator that is loaded.

    Args:
        model: it.
        use: its label, and the margin.
    """

    model: LoadedModel
    use: Locator

    @property
    def key(self) -> list[object]:
        """What boxes depend on, beside the images."""
        return [self.model.describe_settings(), self.use.label, self.use.margin]

    def around(self, case: Case, volumes: Sequence[Volume], dataset: Dataset) -> list[Volume]:
        """What a case's images and labels hold within its box.

        Args:
            case: its images are what is looked at; without any, what is learnt stands for what is found.
            volumes: of the case, on one grid, along any of its axes; of a case without images, its labels.
            dataset: what labels mean.

        Raises:
            ContractError: nothing is found in the images, or there is nothing to learn.
        """
        if case.images:
            try:
                start, stop = self.model.find_box(case.read_images(), self.use, home=volumes[0].grid)
            except ContractError as error:
                raise ContractError(f"{case.name}: {error}") from error
            return [crop(volume, start, stop)[0] for volume in volumes]
        (labels,) = volumes
        corners = np.argwhere(dataset.learnt(labels.array) > 0)
        if not len(corners):
            raise ContractError(f"{case.name} has neither an image to find a box in, nor anything to learn")
        low, high = corners.min(0), corners.max(0) + 1
        widen = self.use.margin * (high - low)
        low, high = np.floor(low - widen).clip(0), np.ceil(high + widen).clip(0, labels.shape)
        return [crop(labels, low.astype(int).tolist(), high.astype(int).tolist())[0]]


def load_locating(use: Locator | None, *, device: str, registry: Registry) -> Locating | None:
    """Load a plan's locator, if it has one."""
    if use is None:
        return None
    found = registry.find("model", use.model)
    plain = Execution(mirror=False)  # as a locator runs in use
    return Locating(model=load_network(found, device=device, execution=plain, registry=registry), use=use)
