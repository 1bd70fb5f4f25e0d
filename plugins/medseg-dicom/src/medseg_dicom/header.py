"""What is kept of a header: how the pixels are stored, where each frame lies, nothing of the patient."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from medseg_dicom.source import Source

Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Storage:
    """How pixels are stored: equal for all slices of a volume.

    Args:
        rows, columns: size of one frame.
        samples: values a pixel; 1 for grey.
        photometric: ``MONOCHROME2`` if larger is brighter.
        bits_allocated, bits_stored, high_bit: the pixel's cell, and the value within it.
        signed: two's complement.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, not compressed."""
        return self.rows * self.columns * self.samples * (self.bits_allocated // 8)


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One file, as far as a volume needs it.

    Args:
        source: its bytes.
        sop_uid, sop_class, study_uid, series_uid, frame_of_reference: UIDs.
        series_number, modality: of its series.
        localizer: it is a scout image.
        storage: how its pixels are stored.
        frames: number of frames.
        transfer_syntax: UID.
        big_endian: byte order.
        offset, length: where the pixels lie in the data set's stream.
        padding: lowest and highest stored value that stand for "nothing was measured here".
        unit: of the values after rescaling, as the file calls it: ``HU``, ``BQML``, ...
        images_in_acquisition, files_of_image: how many images, and files of this image, there should be.
        burned_in, lossy, executable: what the user should know of it.
    """

    source: Source
    sop_uid: str
    sop_class: str
    study_uid: str
    series_uid: str
    frame_of_reference: str
    series_number: int
    modality: str
    localizer: bool
    storage: Storage
    frames: int
    transfer_syntax: str
    big_endian: bool
    offset: int
    length: int
    padding: tuple[int, int] | None
    unit: str
    images_in_acquisition: int | None
    files_of_image: int | None
    burned_in: bool
    lossy: bool
    executable: bool


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One image in space: a classic file, or one frame of an enhanced one.

    Args:
        instance: the file.
        number: of the frame in its file, from 0.
        position: of the first pixel's centre, LPS mm.
        along_row, along_column: unit vectors, LPS, in the direction of growing column and row index.
        row_spacing_mm, column_spacing_mm: distance between rows, between columns.
        slope, intercept: value = stored * slope + intercept; None if the file states none.
        marks: what tells frames at one position apart, by name: time point, echo time, ...
    """

    instance: Instance
    number: int
    position: Vector
    along_row: Vector
    along_column: Vector
    row_spacing_mm: float
    column_spacing_mm: float
    slope: float | None
    intercept: float | None
    marks: Mapping[str, Hashable] = field(repr=False)

    @property
    def name(self) -> str:
        """For messages: the file, and the frame if there are several."""
        name = self.instance.source.name
        return name if self.instance.frames == 1 else f"frame {self.number + 1} of {name}"


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A file that is no image of a volume, and why; harmless, unless it claims to be of the same series."""

    name: str
    reason: str
    series_uid: str = ""


@dataclass(frozen=True, kw_only=True)
class Broken:
    """An image that cannot be used, and why; its series is refused, every series if it is unknown."""

    name: str
    reason: str
    series_uid: str = ""
