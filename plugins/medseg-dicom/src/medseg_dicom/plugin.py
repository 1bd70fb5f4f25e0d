"""What this plugin offers: the format ``dicom``, for reading, and exports. It imports nothing heavy."""

from collections.abc import Iterator

from medseg.plugin import Export, Format, hookimpl

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
        deidentify="medseg_dicom.deidentify:deidentify",
        suffixes=(".dcm", ".zip"),
        summary="DICOM series of CT, MR and PET: a folder, a file or a zip archive",
        reference="https://www.dicomstandard.org/current",
    )


@hookimpl
def medseg_exports() -> Iterator[Export]:
    """Results as DICOM objects of the study that was segmented."""
    yield Export(
        name="dicom-seg",
        factory="medseg_dicom.export_seg:write",
        suffix=".seg.dcm",
        image_format="dicom:dicom",
        summary="DICOM Segmentation on the images of the series, for PACS and viewers",
        reference="DICOM PS3.3, A.51",
    )
    yield Export(
        name="dicom-sr",
        factory="medseg_dicom.export_report:write",
        suffix=".sr.dcm",
        image_format="dicom:dicom",
        summary="DICOM measurement report: mL of each segment; goes with dicom-seg",
        reference="DICOM PS3.16, TID 1500",
    )
    yield Export(
        name="rtstruct",
        factory="medseg_dicom.export_rtstruct:write",
        suffix=".rtstruct.dcm",
        image_format="dicom:dicom",
        summary="DICOM RT Structure Set: contours on the images of the series",
        reference="DICOM PS3.3, A.19.3",
    )
