"""What this plugin offers: the formats ``mha`` and ``nrrd``. This module imports nothing heavy."""

from collections.abc import Iterator

from medseg.plugin import Format, hookimpl

MEDSEG_API = 1


@hookimpl
def medseg_formats() -> Iterator[Format]:
    """The two formats of ITK and 3D Slicer."""
    yield Format(
        name="mha",
        factory="medseg_itk.reader:read_metaimage",
        write="medseg_itk.writer:write_metaimage",
        sniff="medseg_itk.metaimage:sniff",
        suffixes=(".mha", ".mhd"),
        isolate=True,
        summary="MetaImage, in one file (.mha) or with a data file beside it (.mhd)",
        reference="https://itk.org/Wiki/ITK/MetaIO/Documentation",
    )
    yield Format(
        name="nrrd",
        factory="medseg_itk.reader:read_nrrd",
        write="medseg_itk.writer:write_nrrd",
        sniff="medseg_itk.nrrd:sniff",
        suffixes=(".nrrd", ".nhdr"),
        isolate=True,
        summary="NRRD, in one file (.nrrd) or with a data file beside it (.nhdr)",
        reference="https://teem.sourceforge.net/nrrd/format.html",
    )
