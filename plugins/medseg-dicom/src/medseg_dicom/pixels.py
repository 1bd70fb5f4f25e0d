"""Stored pixels of a file, frame by frame, from any transfer syntax that is read."""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import get_frame, parse_basic_offsets
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from medseg.errors import VolumeError
from medseg_dicom.codestream import check_codestream
from medseg_dicom.dataset import open_dataset
from medseg_dicom.header import Instance
from medseg_dicom.syntaxes import find_syntax

Stored = NDArray[Any]
"""(R, C) of int8, uint8, int16 or uint16, as stored: no bit masked, nothing rescaled."""


def read_stored(instance: Instance, numbers: Sequence[int]) -> Iterator[Stored]:
    """Read frames of one file; the file is opened once.

    Args:
        instance: passed the gate.
        numbers: of the frames, from 0, in the order in which they are wanted.

    Yields:
        (R, C), rows and columns.

    Raises:
        VolumeError: the file changed since its header was read, or a frame cannot be decoded.
    """
    with open_dataset(instance.source, instance.transfer_syntax) as stream:
        stream.seek(instance.offset)
        if find_syntax(instance.transfer_syntax).package:
            value = stream.read()
            _check_offsets(instance, value)
            for number in numbers:
                yield _decoded(instance, value, number)
        else:
            for number in numbers:
                yield _plain(instance, stream, number)


def _plain(instance: Instance, stream: BinaryIO, number: int) -> Stored:
    storage = instance.storage
    stream.seek(instance.offset + number * storage.frame_bytes)
    raw = stream.read(storage.frame_bytes)
    if len(raw) < storage.frame_bytes:
        raise VolumeError(
            f"file {instance.source.name} has become shorter while it was read. Wait until it is complete"
        )
    pixels = np.frombuffer(raw, _type(instance, ">" if instance.big_endian else "<"))
    if instance.big_endian:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    return pixels.reshape(storage.rows, storage.columns)


def _check_offsets(instance: Instance, value: bytes) -> None:
    """See whether the table of where the frames begin, which may be empty, names as many as there are."""
    try:
        offsets = parse_basic_offsets(value)
    except Exception:  # noqa: BLE001  # pydicom raises what the damage leads it into
        raise VolumeError(
            f"file {instance.source.name}: the table of its frames is damaged. Copy or export it again"
        ) from None
    if offsets and len(offsets) != instance.frames:
        raise VolumeError(
            f"file {instance.source.name}: PixelData (7fe0,0010) has a table of {len(offsets)} frames, the "
            f"header declares {instance.frames}. Export it again"
        )


def _decoded(instance: Instance, value: bytes, number: int) -> Stored:
    """One frame of encapsulated pixel data."""
    storage = instance.storage
    try:
        if find_syntax(instance.transfer_syntax).states_size:
            check_codestream(get_frame(value, number, number_of_frames=instance.frames), storage)
        pixels, _ = get_decoder(UID(instance.transfer_syntax)).as_array(
            value, index=number, raw=True, decoding_plugin="pylibjpeg", **_options(instance)
        )
    except VolumeError as error:
        raise VolumeError(f"file {instance.source.name}: {error}") from error
    except BaseException as error:
        # A codec raises what the damage leads it into; a panic of pylibjpeg-rle, in Rust, is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise VolumeError(
            f"file {instance.source.name}: frame {number + 1} cannot be decoded from "
            f"{find_syntax(instance.transfer_syntax).name}; it is damaged. Copy or export it again"
        ) from error
    if pixels.shape != (storage.rows, storage.columns) or pixels.dtype != _type(instance, "="):
        raise VolumeError(
            f"file {instance.source.name}: frame {number + 1} decodes to {pixels.shape} {pixels.dtype}, the "
            f"header declares {storage.rows} x {storage.columns} {_type(instance, '=')}. Export it again"
        )
    return pixels


def _options(instance: Instance) -> dict[str, Any]:
    """What pydicom's decoder must know of the pixels, which it would else take from a whole data set."""
    storage = instance.storage
    return {
        "number_of_frames": instance.frames,
        "rows": storage.rows,
        "columns": storage.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": storage.photometric,
        "pixel_representation": int(storage.signed),
        "bits_allocated": storage.bits_allocated,
        "bits_stored": storage.bits_stored,
        "pixel_keyword": "PixelData",
        "correct_unused_bits": False,
    }


def _type(instance: Instance, order: str) -> np.dtype[Any]:
    storage = instance.storage
    return np.dtype(f"{order}{'i' if storage.signed else 'u'}{storage.bits_allocated // 8}")
