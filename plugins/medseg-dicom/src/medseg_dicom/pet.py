"""Standardised uptake value by body weight, only where every tag that it needs is there.

SUV = activity concentration [Bq/ml] * body weight [g] / injected dose [Bq], the dose decayed to the
time to which the images are decay-corrected. Messages name tags, never a weight, a dose or a date.

Reference: QIBA, SUV computation for FDG-PET (vendor-neutral); DICOM PS3.3, C.8.9.1, C.8.9.2.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from medseg.errors import VolumeError
from medseg_dicom.dataset import read_content
from medseg_dicom.header import Frame
from medseg_dicom.values import Elements, named

SUV = "SUV"
"""The unit: g/ml, by body weight."""
_CLASSIC_PET = "1.2.840.10008.5.1.4.1.1.128"
_TAGS = (
    *("DecayCorrection", "CorrectedImage", "PatientWeight", "SeriesDate", "SeriesTime"),
    *("AcquisitionDate", "AcquisitionTime", "RadiopharmaceuticalInformationSequence"),
)
_SMALLEST_DOSE_BQ = 1e5  # below, it was written in MBq
_MOMENT = re.compile(r"\d{14}(\.\d{1,6})?")
_LONGEST_UPTAKE = timedelta(hours=24)
_REMEDY = "Read it in Bq/ml, without --allow units=suv"


def suv_factor(frames: Sequence[Frame]) -> tuple[float, tuple[str, ...]]:
    """The number by which Bq/ml are multiplied to give SUV, and a note that says so.

    Args:
        frames: a PET series that passed the gate.

    Raises:
        VolumeError: it is no PET in Bq/ml, or a tag is missing or doubtful; nothing is assumed.
    """
    instance = frames[0].instance
    if instance.sop_class != _CLASSIC_PET:
        raise VolumeError("SUV is computed for PET with one slice a file; this is another class of image")
    if instance.unit != "BQML":
        raise _refused(f"{named('Units')} is not BQML")
    factors = {_factor(Elements(read_content(frame.instance.source, _TAGS).dataset)) for frame in frames}
    if len(factors) > 1:
        raise _refused("weight, dose or times differ between the slices")
    factor = factors.pop()
    return factor, (f"Bq/ml were multiplied by {factor:.6g} to give SUV by body weight.",)


def _factor(elements: Elements) -> float:
    corrections = (elements.text("CorrectedImage") or "").split("\\")
    if not {"ATTN", "DECY"} <= set(corrections):
        raise _refused(f"{named('CorrectedImage')} does not name both ATTN and DECY")
    administrations = elements.items("RadiopharmaceuticalInformationSequence")
    if len(administrations) != 1:
        raise _refused(
            f"{named('RadiopharmaceuticalInformationSequence')} has {len(administrations)} items; wanted one"
        )
    (given,) = administrations
    weight_kg = _positive(elements, "PatientWeight")
    dose = _positive(given, "RadionuclideTotalDose")
    if dose < _SMALLEST_DOSE_BQ:
        raise _refused(f"{named('RadionuclideTotalDose')} is too small for Bq; is it in MBq?")
    half_life_s = _positive(given, "RadionuclideHalfLife")
    correction = elements.text("DecayCorrection")
    if correction == "START":
        uptake = _scan_start(elements) - _injection(elements, given)
        if not timedelta(0) <= uptake <= _LONGEST_UPTAKE:
            raise _refused("the injection is not within the 24 hours before the scan, by its tags")
        dose *= 2 ** (-uptake.total_seconds() / half_life_s)
    elif correction != "ADMIN":
        raise _refused(f"{named('DecayCorrection')} is neither START nor ADMIN")
    return weight_kg * 1000 / dose


def _scan_start(elements: Elements) -> datetime:
    """The time to which slices are corrected: the series', unless it was made after the scan."""
    series = _moment(elements, "SeriesDate", "SeriesTime")
    if series > _moment(elements, "AcquisitionDate", "AcquisitionTime"):
        raise _refused(
            f"{named('SeriesTime')} is later than AcquisitionTime (0008,0032), as in images made afterwards, "
            "so the time of the decay correction is not known"
        )
    return series


def _injection(elements: Elements, given: Elements) -> datetime:
    complete = given.text("RadiopharmaceuticalStartDateTime")
    if complete:
        return _parsed("RadiopharmaceuticalStartDateTime", complete)
    # Only a time of day: the day is that of the series; an injection before midnight is refused later.
    return _moment(elements, "SeriesDate", "RadiopharmaceuticalStartTime", given)


def _moment(elements: Elements, date: str, time: str, times: Elements | None = None) -> datetime:
    parts = elements.text(date), (times or elements).text(time)
    for keyword, part in zip((date, time), parts, strict=True):
        if not part:
            raise _refused(f"{named(keyword)} is missing")
    return _parsed(time, f"{parts[0]}{parts[1]}")


def _parsed(keyword: str, text: str) -> datetime:
    if _MOMENT.fullmatch(text):  # strptime alone would read 1305 as five seconds past one
        form = "%Y%m%d%H%M%S.%f" if "." in text else "%Y%m%d%H%M%S"
        with suppress(ValueError):
            return datetime.strptime(text, form).replace(tzinfo=UTC)  # all are local: only differences count
    raise _refused(f"{named(keyword)} is no time to the second, or has a zone")


def _positive(elements: Elements, keyword: str) -> float:
    value = elements.number(keyword)
    if value is None or value <= 0:
        raise _refused(f"{named(keyword)} is {'missing' if value is None else 'not above 0'}")
    return value


def _refused(why: str) -> VolumeError:
    return VolumeError(f"SUV cannot be computed: {why}. {_REMEDY}")
