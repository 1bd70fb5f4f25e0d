"""Voxels as ITK decodes them, and then looked at."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from medseg.errors import OptionError, ResourceError, VolumeError
from medseg.volume import Affine, Kind, Voxels
from medseg_itk.header import Header
from medseg_itk.placement import LPS_TO_RAS

_itk: Any = SimpleITK  # its functions state no types


def decode(path: Path, decoder: str, header: Header) -> tuple[Voxels, Affine]:
    """Voxels (I, J, K), and the affine to RAS mm as ITK has it.

    Args:
        path: the file, or the header of a pair.
        decoder: ITK's name of the format.
        header: passed the gate.

    Raises:
        VolumeError: ITK cannot decode it, or finds something else than the header states.
        ResourceError: not enough memory.
    """
    reader = _itk.ImageFileReader()
    reader.SetImageIO(decoder)
    reader.SetFileName(str(path))
    display = _itk.ProcessObject.GetGlobalWarningDisplay()
    _itk.ProcessObject.SetGlobalWarningDisplay(False)  # noqa: FBT003  # its warnings quote the header
    try:
        image = reader.Execute()
    except MemoryError as error:
        raise ResourceError(
            f"its voxels need {header.voxel_bytes / 2**30:.1f} GiB of memory; use a machine with more"
        ) from error
    except RuntimeError:
        # Not "from": ITK's message may quote what the file holds.
        raise VolumeError("ITK cannot decode it; the file is damaged. Use the original") from None
    finally:
        _itk.ProcessObject.SetGlobalWarningDisplay(display)
    array = _itk.GetArrayFromImage(image).T
    if array.shape != header.shape or array.dtype != header.dtype.newbyteorder("="):
        raise VolumeError("ITK finds another size or type than the header states; write the file again")
    affine: Affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return array, LPS_TO_RAS @ affine


def check_values(array: Voxels, *, kind: Kind, nonfinite: str) -> tuple[Voxels, tuple[str, ...]]:
    """Finite voxels (I, J, K), and what is remarkable about them.

    Raises:
        VolumeError: NaN or infinite voxels, and no replacement.
        OptionError: the replacement is no number.
    """
    notes: tuple[str, ...] = ()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = ~np.isfinite(array)
        nans = int(np.isnan(array).sum())
        found = f"{nans:,} NaN and {int(bad.sum()) - nans:,} infinite voxels"
        if not nonfinite:
            raise VolumeError(
                f"it holds {found}; wanted numbers. To replace them all by 0, say, use --allow nonfinite=0"
            )
        array[bad] = value = _finite(nonfinite, array)
        notes += (f"{found} were replaced by {value:g}.",)
    low, high = array.min(), array.max()
    if low == high:
        notes += (f"Every voxel has the value {low:g}.",)
    if kind == "image" and array.dtype == np.uint8 and (low, high) == (0, 255):
        notes += ("The values fill 0 to 255: if this is CT, they are display greys, not Hounsfield units.",)
    return array, notes


def _finite(text: str, array: Voxels) -> float:
    try:
        with np.errstate(over="ignore"):
            value = float(array.dtype.type(text))  # 1e39 is infinite in float32
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise OptionError(
            f"--allow nonfinite={text}: wanted a number that is finite in {array.dtype.name}, such as 0 or "
            "-1024"
        )
    return value
