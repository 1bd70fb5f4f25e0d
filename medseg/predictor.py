"""What segments an image: a model, a method without weights, or one of them with steps behind it."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Protocol

from medseg.plugin import Method, Model
from medseg.progress import CancelToken, OnProgress
from medseg.segmentation import Segmentation
from medseg.volume import Volume

Source = Volume | str | PathLike[str]


class Predictor(Protocol):
    """Ready for one image after the other."""

    @property
    def name(self) -> str:
        """Full name of the model or method."""
        ...  # pragma: no cover

    @property
    def description(self) -> Model | Method:
        """Of the model or method."""
        ...  # pragma: no cover

    def describe(self) -> dict[str, Any]:
        """What a result's provenance says of it and of where it runs; JSON values."""
        ...  # pragma: no cover

    def segment(
        self,
        image: Source | Sequence[Source],
        *,
        force: bool = False,
        progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
    ) -> Segmentation:
        """Segment one image; see ``medseg.segment``."""
        ...  # pragma: no cover
