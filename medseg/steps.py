"""Steps by name, as functions that are ready to be called; what they promise is in ``medseg.plugin``."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from medseg.options import check_options
from medseg.plugin import Step
from medseg.registry import Registered, Registry
from medseg.volume import Volume

OnLabels = Callable[[Volume, Volume], Volume]
"""Labels and the image that they were drawn on, on one grid -> labels on that grid."""


def load_post_step(found: Registered, options: Mapping[str, Any], registry: Registry) -> OnLabels:
    """A step after the network as a function of labels and image, whether it looks at the image or not.

    Raises:
        OptionError: the step has no such option.
    """
    step = make_step(found, options, registry)
    if cast(Step, found.component).needs_image:
        return lambda labels, image: cast(Volume, step(labels, image)[0])
    return lambda labels, _: cast(Volume, step(labels)[0])


def make_step(found: Registered, options: Mapping[str, Any], registry: Registry) -> Callable[..., Any]:
    """What a step's factory gives for these options.

    Raises:
        OptionError: the step has no such option.
    """
    factory = registry.load(found)
    made = factory(**check_options(factory, options, owner=f"step {found.full_name}"))
    return cast(Callable[..., Any], made)
