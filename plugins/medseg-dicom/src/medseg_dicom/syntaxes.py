"""Transfer syntaxes that are read, and the package that decodes each.

Reference: DICOM PS3.6, table A-1; PS3.5, section 10.
"""

from dataclasses import dataclass

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from medseg.errors import ResourceError, VolumeError
from medseg_dicom.dataset import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE


@dataclass(frozen=True, kw_only=True)
class Syntax:
    """How pixels are compressed.

    Args:
        name: for people.
        package: what decodes it; empty for pixels that are not compressed.
        states_size: its code stream says how large the image is.
    """

    name: str
    package: str = ""
    states_size: bool = True


_JPEG = "pylibjpeg pylibjpeg-libjpeg"
_JPEG_2000 = "pylibjpeg pylibjpeg-openjpeg"
_STEM = "1.2.840.10008.1.2"
SYNTAXES = {
    "": Syntax(name="not stated"),
    IMPLICIT_LITTLE: Syntax(name="Implicit VR Little Endian"),
    EXPLICIT_LITTLE: Syntax(name="Explicit VR Little Endian"),
    EXPLICIT_BIG: Syntax(name="Explicit VR Big Endian"),
    DEFLATED: Syntax(name="Deflated Explicit VR Little Endian"),
    f"{_STEM}.5": Syntax(name="RLE Lossless", package="pylibjpeg pylibjpeg-rle", states_size=False),
    f"{_STEM}.4.50": Syntax(name="JPEG Baseline", package=_JPEG),
    f"{_STEM}.4.51": Syntax(name="JPEG Extended", package=_JPEG),
    f"{_STEM}.4.57": Syntax(name="JPEG Lossless, process 14", package=_JPEG),
    f"{_STEM}.4.70": Syntax(name="JPEG Lossless, process 14, first-order prediction", package=_JPEG),
    f"{_STEM}.4.80": Syntax(name="JPEG-LS Lossless", package=_JPEG),
    f"{_STEM}.4.81": Syntax(name="JPEG-LS Near-lossless", package=_JPEG),
    f"{_STEM}.4.90": Syntax(name="JPEG 2000 Lossless", package=_JPEG_2000),
    f"{_STEM}.4.91": Syntax(name="JPEG 2000", package=_JPEG_2000),
    f"{_STEM}.4.201": Syntax(name="High-Throughput JPEG 2000 Lossless", package=_JPEG_2000),
    f"{_STEM}.4.202": Syntax(name="High-Throughput JPEG 2000 RPCL Lossless", package=_JPEG_2000),
    f"{_STEM}.4.203": Syntax(name="High-Throughput JPEG 2000", package=_JPEG_2000),
}
"""By UID; a file without meta information is not compressed."""


def find_syntax(uid: str) -> Syntax:
    """The transfer syntax of a UID.

    Raises:
        VolumeError: it is not one that is read.
    """
    if uid in SYNTAXES:
        return SYNTAXES[uid]
    name = UID(uid).name
    found = f"{name} ({uid})" if name != uid else "unknown"
    raise VolumeError(
        f"the transfer syntax is {found}; wanted one that medseg-dicom reads. Have the file exported as "
        "Explicit VR Little Endian"
    )


def check_codec(uid: str) -> None:
    """See whether the package that decodes a transfer syntax is installed.

    Raises:
        ResourceError: it is not.
    """
    syntax = find_syntax(uid)
    if syntax.package and not get_decoder(UID(uid)).is_available:
        raise ResourceError(f"the transfer syntax {syntax.name} ({uid}) needs: pip install {syntax.package}")
