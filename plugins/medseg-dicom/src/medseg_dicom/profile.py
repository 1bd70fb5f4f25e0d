"""The Basic Application Level Confidentiality Profile: what becomes of each attribute.

The table is that of the standard, as the package dicom-anonymizer keeps it. What the table leaves open is
closed here: a text or a time that it does not name stays only if it describes the image or the machine.

Reference: DICOM PS3.15, annex E, table E.1-1, edition 2026c.
"""

import re
from functools import cache
from typing import Literal

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.tag import BaseTag

Action = Literal["keep", "remove", "empty", "replace", "map", "descend"]

EDITION = "2026c"
# Where the table leaves a choice that depends on the kind of object, a dummy is right for every kind.
_ACTIONS: tuple[tuple[Action, tuple[str, ...]], ...] = (
    ("remove", ("X_TAGS",)),
    ("empty", ("Z_TAGS", "X_Z_TAGS")),
    ("replace", ("D_TAGS", "Z_D_TAGS", "X_D_TAGS", "X_Z_D_TAGS")),
    ("map", ("U_TAGS",)),
    ("descend", ("X_Z_U_STAR_TAGS",)),
)
_REPEATING = (0x5000, 0x6000)  # curves and overlays: comments, and drawings that may hold text
_PIXELS = 0x7FE0
# Numbers, codes and identifiers; the values of the last two are looked at as well.
_KEPT = (
    "AT", "DS", "FD", "FL", "IS", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "SV", "UL", "US", "UV",
    "CS", "UI",
)  # fmt: skip
_TEXTS_AND_TIMES = ("AE", "AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")
# Texts outside of the table that an image is not understood without.
TECHNICAL = (
    "AttenuationCorrectionMethod", "CodeMeaning", "CodeValue", "CodingSchemeDesignator",
    "CodingSchemeVersion", "ConvolutionKernel", "FilterType", "ImagedNucleus", "Manufacturer",
    "ManufacturerModelName", "PulseSequenceName", "Radiopharmaceutical",
    "ReceiveCoilName", "ReconstructionMethod", "RescaleType",
    "ScatterCorrectionMethod", "SequenceName", "SoftwareVersions", "StackID", "TransmitCoilName",
    "TransmittingCoil", "WindowCenterWidthExplanation",
)  # fmt: skip
_TEXTS = frozenset(tag_for_keyword(keyword) for keyword in TECHNICAL)


def action_for(tag: BaseTag) -> Action:
    """What the profile does with an attribute, wherever it is nested."""
    if tag.is_private or not dictionary_has_tag(tag) or tag.group & 0xFF00 in _REPEATING:
        return "remove"
    return _listed().get(int(tag)) or _unlisted(tag)


def is_plain(representation: str, text: str) -> bool:
    """Whether a value that stays looks like what its representation is for, and not like a sentence."""
    if representation == "CS":
        return re.fullmatch(r"[A-Z0-9_ ]{0,16}", text) is not None
    if representation == "UI":
        return re.fullmatch(r"[0-9.]{0,64}", text) is not None
    if representation in ("DS", "IS"):
        return re.fullmatch(r"[-+0-9.eE ]*", text) is not None
    return text.isascii()


@cache
def _listed() -> dict[int, Action]:
    """The table; its repeating groups, curves and overlays, are those that are removed as a whole."""
    return {
        tag[0] << 16 | tag[1]: action
        for action, columns in _ACTIONS
        for column in columns
        for tag in getattr(table, column)
        if len(tag) == 2
    }


def _unlisted(tag: BaseTag) -> Action:
    representations = dictionary_VR(tag).split(" or ")
    if representations == ["SQ"]:
        return "descend"
    if tag.group == _PIXELS or representations[0] in _KEPT or int(tag) in _TEXTS:
        return "keep"
    # Not removed: the standard wants some of them present, if only empty.
    return "empty" if representations[0] in _TEXTS_AND_TIMES else "remove"
