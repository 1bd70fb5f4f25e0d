"""Steps by name, as functions that are ready to be called; what they promise is in ``medseg.plugin``."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import numpy as np

from medseg.options import check_options
from medseg.plugin import Step
from medseg.registry import Registered, Registry
from medseg.volume import Volume

Show = Callable[[int, Volume], None]


class OnLabels(Protocol):
    """A step after the network, ready to be called."""

    def __call__(
        self,
        labels: Volume,
        image: Volume,
        on_labels: Show | None = None,
        fixed: Volume | None = None,
    ) -> Volume:
        """Labels and the image that they were drawn on, on one grid -> labels on that grid.

        ``on_labels`` is called with iterations and labels by a step that shows them on the way; where the
        mask ``fixed`` is set, labels stay as they are.
        """
        ...  # pragma: no cover


def load_post_step(found: Registered, options: Mapping[str, Any], registry: Registry) -> OnLabels:
    """A step after the network as a function of labels and image, whether it looks at the image or not.

    Raises:
        OptionError: the step has no such option.
    """
    step = make_step(found, options, registry)
    needs_image = cast(Step, found.component).needs_image
    known = inspect.signature(step).parameters

    def apply(
        labels: Volume, image: Volume, on_labels: Show | None = None, fixed: Volume | None = None
    ) -> Volume:
        given = (labels, image) if needs_image else (labels,)
        wanted = {"on_labels": on_labels, "fixed": fixed}
        named = {name: value for name, value in wanted.items() if value is not None and name in known}
        changed = cast(Volume, step(*given, **named)[0])
        if fixed is None:
            return changed
        kept = np.where(fixed.array != 0, labels.array, changed.array)
        return changed.with_array(kept.astype(changed.array.dtype))

    return apply


def make_step(found: Registered, options: Mapping[str, Any], registry: Registry) -> Callable[..., Any]:
    """What a step's factory gives for these options.

    Raises:
        OptionError: the step has no such option.
    """
    factory = registry.load(found)
    made = factory(**check_options(factory, options, owner=f"step {found.full_name}"))
    return cast(Callable[..., Any], made)
