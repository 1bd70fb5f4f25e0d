"""Frames of enhanced multi-frame files: each with its own position and rescale.

Reference: DICOM PS3.3, C.7.6.16 (multi-frame functional groups).
"""

from collections.abc import Hashable

from pydicom.dataset import Dataset

from medseg.errors import VolumeError
from medseg_dicom.header import Frame, Instance
from medseg_dicom.placement import place_frame
from medseg_dicom.values import Elements, named

FRAME_TAGS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_MARKS = {
    "time point": ("FrameContentSequence", "TemporalPositionIndex"),
    "stack": ("FrameContentSequence", "StackID"),
    "acquisition": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "echo time": ("MREchoSequence", "EffectiveEchoTime"),
    "b-value": ("MRDiffusionSequence", "DiffusionBValue"),
    "trigger time": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
}
_FRAME_TYPES = ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "PETFrameTypeSequence")
_NOTHING = Elements(Dataset())


def frames_of_enhanced(instance: Instance, elements: Elements) -> list[Frame]:
    """One frame for each item of the per-frame functional groups.

    Args:
        instance: the file.
        elements: its data set.

    Raises:
        VolumeError: the groups do not describe every frame, or one of them is incomplete.
    """
    shared = _only("SharedFunctionalGroupsSequence", elements.items("SharedFunctionalGroupsSequence"))
    own = elements.items("PerFrameFunctionalGroupsSequence")
    if len(own) != instance.frames:
        raise VolumeError(
            f"{named('PerFrameFunctionalGroupsSequence')} describes {len(own):,} frames, "
            f"{named('NumberOfFrames')} is {instance.frames:,}: where the frames are is not known. Export it "
            "again"
        )
    return [_frame(instance, number, shared, group) for number, group in enumerate(own)]


def _frame(instance: Instance, number: int, shared: Elements, own: Elements) -> Frame:
    def group(sequence: str) -> Elements:
        return _only(sequence, own.items(sequence) or shared.items(sequence))

    marks: dict[str, Hashable] = {}
    for mark, (sequence, keyword) in _MARKS.items():
        found = group(sequence)
        marks[mark] = found.text(keyword) if keyword == "StackID" else found.number(keyword)
    directions = group("MRDiffusionSequence").items("DiffusionGradientDirectionSequence")
    if directions:
        marks["gradient direction"] = directions[0].numbers("DiffusionGradientOrientation", 3)
    types = [text for text in (group(sequence).text("FrameType") for sequence in _FRAME_TYPES) if text]
    marks["image type"] = types[0].split("\\", 2)[-1] if types else None
    try:
        return place_frame(
            instance,
            number,
            position=group("PlanePositionSequence"),
            orientation=group("PlaneOrientationSequence"),
            measures=group("PixelMeasuresSequence"),
            rescale=group("PixelValueTransformationSequence"),
            marks={mark: value for mark, value in marks.items() if value is not None},
        )
    except VolumeError as error:
        raise VolumeError(f"frame {number + 1}: {error}") from error


def _only(sequence: str, items: list[Elements]) -> Elements:
    """The item of a sequence that has one or none."""
    if len(items) > 1:
        raise VolumeError(
            f"{named(sequence)} has {len(items):,} items; wanted one, as nothing says which is meant. Export "
            "it again"
        )
    return items[0] if items else _NOTHING
