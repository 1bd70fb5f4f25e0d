"""Who made an object, under which numbers; and putting it on the disk, whole or not at all."""

import hashlib
import io
import json
import uuid
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID

from medseg.atomic import write_bytes_whole
from medseg.plugin import Result
from medseg_dicom.origin import Origin

_LONG_STRING = 64  # of the representation LO: characters, which some readers take for bytes
SERIES_NUMBERS = {"SEG": 9001, "SR": 9002, "RTSTRUCT": 9003}
"""High, so that lists show derived series after the images; a number need not be unique in a study."""


@dataclass(frozen=True)
class Identity:
    """What makes one result on one series unique; all UIDs of its objects follow from it.

    So a report and the segmentation that it refers to agree, though each is written without the other,
    and sending a result a second time adds no second copy.
    """

    digest: bytes

    def uid(self, *purpose: str) -> UID:
        """The UID for a purpose, such as ``("SEG", "binary")``: a UUID as DICOM PS3.5, B.2 writes it."""
        digest = hashlib.sha256(b"\0".join([self.digest, *(part.encode() for part in purpose)])).digest()
        return UID(f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}")


def identify(result: Result, origin: Origin) -> Identity:
    """Identify a result by all that is in it, and by the images that it was made from."""
    labels = result.labels
    digest = hashlib.sha256(labels.array.tobytes())
    digest.update(f"{labels.array.dtype} {labels.shape} {labels.affine.tolist()}".encode())
    digest.update(f"{result.model} {result.classes}".encode())
    digest.update(json.dumps(dict(result.provenance), sort_keys=True).encode())
    for value, volume in sorted((result.probabilities or {}).items()):
        digest.update(f"probabilities of {value}".encode() + volume.array.tobytes())
    for metric in result.metrics:
        digest.update(f"{metric.name} {sorted(metric.values.items())}".encode())
    for frame in origin.frames:
        digest.update(f"{frame.instance.sop_uid} {frame.number}".encode())
    return Identity(digest.digest())


@dataclass(frozen=True, kw_only=True)
class Maker:
    """The equipment that made a result; the serial number tells one set of weights from another."""

    manufacturer: str
    model: str
    version: str
    serial: str


def describe_maker(result: Result) -> Maker:
    """The model as equipment; its serial number is the sha256 of its weights, if that is known."""
    return Maker(
        manufacturer="medseg",
        model=long_string(result.model),
        version=version("medseg"),
        serial=long_string(str(result.provenance.get("weights_sha256", "unknown"))),
    )


def long_string(text: str) -> str:
    """A text as the representation LO allows it: one line, no backslash, at most 64 bytes in UTF-8."""
    line = " ".join(text.replace("\\", "/").split())
    return line.encode()[:_LONG_STRING].decode(errors="ignore").rstrip() or "unnamed"


def store(dataset: Dataset, path: str | Path) -> None:
    """Write an object, without a preamble's content, and read it back.

    Raises:
        ResourceError: the disk refused it, or gave something else back.
    """
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    write_bytes_whole(path, stream.getvalue())
