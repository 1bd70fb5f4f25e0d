"""Read MetaImage and NRRD: the gate first, then ITK, and only where the two agree."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from medseg.errors import OptionError, ResourceError, VolumeError
from medseg.volume import Affine, Kind, Volume, corner_distance_mm
from medseg_itk import metaimage, nrrd
from medseg_itk.content import check_content
from medseg_itk.decode import check_values, decode
from medseg_itk.header import Header
from medseg_itk.placement import place

_AGREEMENT_MM = 1e-3


def read_metaimage(
    path: str | Path,
    *,
    kind: Kind = "image",
    assume_orientation: str = "",
    nonfinite: str = "",
    spacing: Literal["", "any"] = "",
    inflate: bool = False,
) -> Volume:
    """Read a MetaImage file: .mha, or .mhd with its data file beside it.

    Args:
        path: the file, or the header of a pair.
        kind: ``image`` or ``labels``.
        assume_orientation: axis codes, such as ``"LPS"``, for a file that states none.
        nonfinite: a number that replaces NaN and infinite voxels.
        spacing: ``"any"`` lets voxel sizes below 0.05 or above 20 mm pass.
        inflate: let a very small file become a very large volume.

    Raises:
        VolumeError: the file is refused; the message begins with its name.
        OptionError: ``nonfinite``, ``spacing`` or ``assume_orientation`` cannot be understood.
        ResourceError: not enough memory.
    """
    return _read(
        Path(path),
        kind,
        gate=metaimage.read_header,
        decoder="MetaImageIO",
        assume_orientation=assume_orientation,
        nonfinite=nonfinite,
        any_spacing=bool(spacing),
        inflate=inflate,
    )


def read_nrrd(
    path: str | Path,
    *,
    kind: Kind = "image",
    assume_orientation: str = "",
    nonfinite: str = "",
    spacing: Literal["", "any"] = "",
    inflate: bool = False,
) -> Volume:
    """Read an NRRD file: .nrrd, or .nhdr with its data file beside it; the rest as ``read_metaimage``."""
    return _read(
        Path(path),
        kind,
        gate=nrrd.read_header,
        decoder="NrrdImageIO",
        assume_orientation=assume_orientation,
        nonfinite=nonfinite,
        any_spacing=bool(spacing),
        inflate=inflate,
    )


def _read(
    path: Path,
    kind: Kind,
    *,
    gate: Callable[[Path], Header],
    decoder: str,
    assume_orientation: str,
    nonfinite: str,
    any_spacing: bool,
    inflate: bool,
) -> Volume:
    try:
        header = gate(path)
        affine, place_notes = place(header, assume_orientation=assume_orientation, any_spacing=any_spacing)
        check_content(header, inflate=inflate)
        array, decoded = decode(path, decoder, header)
        if header.is_placed:
            _check_agreement(affine, decoded, header)
        array, value_notes = check_values(array, kind=kind, nonfinite=nonfinite)
        return Volume(array, affine, kind, (*place_notes, *value_notes))
    except (VolumeError, OptionError, ResourceError) as error:
        raise type(error)(f"{path.name}: {error}") from error


def _check_agreement(affine: Affine, decoded: Affine, header: Header) -> None:
    """Two parsers, ours and ITK's, must find the voxels in the same place."""
    if corner_distance_mm(decoded, affine, header.shape) > _AGREEMENT_MM:
        raise VolumeError(
            "ITK understands its geometry in another way than its header states it; write the file again "
            "from its source"
        )
