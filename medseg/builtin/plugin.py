"""What the core offers through its own hooks. This module imports nothing heavy."""

from collections.abc import Iterator

from medseg.plugin import Format, hookimpl

MEDSEG_API = 1


@hookimpl
def medseg_formats() -> Iterator[Format]:
    """NIfTI."""
    yield Format(
        name="nifti",
        factory="medseg.builtin.nifti:read",
        write="medseg.builtin.nifti:write",
        sniff="medseg.builtin.nifti:sniff",
        suffixes=(".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"),
        summary="NIfTI-1 and NIfTI-2, single files and pairs, plain or gzipped",
        reference="https://nifti.nimh.nih.gov",
    )
