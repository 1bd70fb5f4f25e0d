"""Names of the core that the viewer needs and that are not public yet; nothing else imports them.

When the core offers them, this file goes, and its importers change one line each.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from medseg.contract import Problem, check
from medseg.formats import known_suffixes
from medseg.options import Option, check_options, options_of
from medseg.progress import OnProgress
from medseg.registry import Registered, Registry, default_registry
from medseg.samples import FOLDER as SAMPLES

if TYPE_CHECKING:
    from medseg import Segmentation, Volume

__all__ = [
    "SAMPLES",
    "OnProgress",
    "Option",
    "Problem",
    "Registered",
    "Registry",
    "check",
    "check_options",
    "default_registry",
    "draw",
    "known_suffixes",
    "options_of",
]


def draw(image: "Volume", result: "Segmentation", path: Path, *, title: str) -> None:
    """``medseg.picture.draw``, which imports torch and matplotlib, for the one task that needs them."""
    from medseg.picture import draw as draw_now

    draw_now(image, result, path, title=title)
