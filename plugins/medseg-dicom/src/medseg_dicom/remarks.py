"""What a user should know of a series that was read: the unit, and what is unusual about it.

No remark names a file: the record of a result keeps them, and a file may be named for its patient.
"""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from medseg_dicom.header import Frame, Instance
from medseg_dicom.voxels import AIR

_UNITS = {"BQML": "Bq/ml", "HU": "HU", "CNTS": "counts"}
_LOWEST_CT, _HIGHEST_CT = -1100, 4000


def unit_of(instance: Instance) -> str:
    """The unit of a file's values after rescaling, as medseg writes it; empty if it is not known."""
    return _UNITS.get(instance.unit, "")


def files(count: int) -> str:
    """How many files, in words: a number and the noun."""
    return f"{count:,} file" if count == 1 else f"{count:,} files"


def remarks_on_headers(frames: Sequence[Frame]) -> tuple[str, ...]:
    """Remarks that the headers give rise to.

    Args:
        frames: of the series, in the order of the grid.
    """
    first = frames[0].instance
    instances = list({id(frame.instance): frame.instance for frame in frames}.values())
    remarks = []
    if first.modality == "CT" and unit_of(first) != "HU":
        remarks.append("RescaleType (0028,1054) is not HU: these may be no Hounsfield units.")
    expected = max((instance.images_in_acquisition or 0 for instance in instances), default=0)
    if expected > len(frames):
        remarks.append(
            f"ImagesInAcquisition (0020,1002) is {expected}, but {len(frames)} images are here; some at an "
            "end of the stack may be missing."
        )
    pieces = max((instance.files_of_image or 0 for instance in instances), default=0)
    if pieces > len(instances):
        remarks.append(
            f"InConcatenationTotalNumber (0020,9163) is {pieces}, but {len(instances)} of these files are "
            "here: frames at an end of the stack may be missing."
        )
    if any(instance.burned_in for instance in instances):
        remarks.append(
            "BurnedInAnnotation (0028,0301) is YES: text, perhaps the patient's name, is in the image."
        )
    if any(instance.lossy for instance in instances):
        remarks.append("The images were once compressed with loss (tag LossyImageCompression (0028,2110)).")
    rescales = {(frame.slope, frame.intercept) for frame in frames}
    if len(rescales) > 1 and first.modality != "PT":  # where every slice has its own
        remarks.append(
            "RescaleSlope or RescaleIntercept differs between slices; each was rescaled by its own."
        )
    if executable := sum(instance.executable for instance in instances):
        remarks.append(
            f"The preamble of {files(executable)} is the beginning of a program; it was ignored. Do not run "
            "what is in the folder."
        )
    return tuple(remarks)


def remarks_on_values(slices: NDArray[Any], instance: Instance, *, padded: int) -> tuple[str, ...]:
    """Remarks that the values give rise to.

    Args:
        slices: (K, R, C).
        instance: one file of the series.
        padded: voxels that were padding.
    """
    low, high = slices.min(), slices.max()
    remarks = []
    if padded:
        remarks.append(f"{padded:,} padding voxels were set to {AIR[instance.modality]}.")
    if low == high:
        remarks.append(f"Every voxel has the value {low:g}.")
    elif instance.modality == "CT" and (low < _LOWEST_CT or high > _HIGHEST_CT):
        remarks.append(
            f"Values reach from {low:g} to {high:g}; CT is mostly within {_LOWEST_CT} to {_HIGHEST_CT} HU."
        )
    elif instance.modality == "CT" and low >= 0 and high <= 255:
        remarks.append(f"Values reach from {low:g} to {high:g}: display greys, not Hounsfield units?")
    return tuple(remarks)
