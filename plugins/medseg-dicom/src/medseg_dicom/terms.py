"""What a label is, in coded terms and colours that other systems know."""

from highdicom.color import CIELabColor
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from medseg.plugin import Code, Label, Result
from medseg_dicom.identity import Identity, describe_maker, long_string

OWN_SCHEME = "99MEDSEG"
"""The standard leaves designators that begin with 99 to whoever needs terms of his own."""


def foreground(result: Result) -> tuple[Label, ...]:
    """The classes without the background; the first is segment 1."""
    return tuple(label for label in result.classes if label.value != 0)


def type_of(label: Label) -> CodedConcept:
    """The label's type; its name as a term of our own, if the model gives no better one."""
    return _concept(label.type or _own(f"label-{label.value}", label.name))


def category_of(label: Label) -> CodedConcept:
    """The label's category; a term of our own that says nothing, if the model gives none."""
    return _concept(label.category or _own("unspecified", "Unspecified category"))


def rgb_of(label: Label) -> tuple[int, int, int]:
    """The label's colour, three numbers from 0 to 255."""
    red, green, blue = bytes.fromhex(label.colour.removeprefix("#"))
    return red, green, blue


def track(identity: Identity, label: Label) -> UID:
    """The tracking UID of a label, by which systems match a measurement with its segment."""
    return identity.uid("label", str(label.value))


def describe_segments(result: Result, identity: Identity) -> list[SegmentDescription]:
    """The items of a segment sequence; their tracking UIDs are ``track(identity, label)``."""
    maker = describe_maker(result)
    algorithm = AlgorithmIdentificationSequence(
        name=maker.model,
        family=codes.DCM.ArtificialIntelligence,
        version=maker.version,
        source=maker.manufacturer,
    )
    return [
        SegmentDescription(
            segment_number=number,
            segment_label=long_string(label.name),
            segmented_property_category=category_of(label),
            segmented_property_type=type_of(label),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=track(identity, label),
            tracking_id=long_string(label.name),
            display_color=CIELabColor.from_rgb(*rgb_of(label)),
        )
        for number, label in enumerate(foreground(result), start=1)
    ]


def _own(value: str, meaning: str) -> Code:
    return Code(scheme=OWN_SCHEME, value=value, meaning=meaning)


def _concept(code: Code) -> CodedConcept:
    return CodedConcept(code.value, code.scheme, long_string(code.meaning))
