"""DICOM series for medseg: ``list_series`` says what a folder holds, ``read`` brings one of them."""

from medseg_dicom.listing import SeriesSummary, list_series
from medseg_dicom.reader import read

__all__ = ["SeriesSummary", "list_series", "read"]
