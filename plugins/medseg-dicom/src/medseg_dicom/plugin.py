"""What this plugin offers: the format ``dicom``, for reading. This module imports nothing heavy."""

from collections.abc import Iterator

from medseg.plugin import Format, hookimpl

MEDSEG_API = 1


@hookimpl
def medseg_formats() -> Iterator[Format]:
    """DICOM, by folder, file or zip archive."""
    yield Format(
        name="dicom",
        factory="medseg_dicom.reader:read",
        sniff="medseg_dicom.reader:sniff",
        contents="medseg_dicom.listing:contents",
        folders=True,
        isolate=True,
        suffixes=(".dcm", ".zip"),
        summary="DICOM series of CT, MR and PET: a folder, a file or a zip archive",
        reference="https://www.dicomstandard.org/current",
    )
