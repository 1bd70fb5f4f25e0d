"""Names of the core that the viewer needs and that are not public yet; nothing else imports them.

When the core offers them, this file goes, and its importers change one line each.
"""

from medseg.contract import Problem, check
from medseg.formats import known_suffixes
from medseg.options import Option, check_options, options_of
from medseg.picture import draw
from medseg.progress import OnProgress
from medseg.registry import Registered, Registry, default_registry
from medseg.samples import FOLDER as SAMPLES

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
