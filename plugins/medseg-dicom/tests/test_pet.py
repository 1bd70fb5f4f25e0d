"""SUV only where every tag that it needs is there; Bq/ml otherwise."""

import numpy as np
import pytest
from medseg_dicom.reader import read
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import PositronEmissionTomographyImageStorage

from medseg.errors import VolumeError

HALF_LIFE = 6586.2  # of fluorine-18, in s


def pet(dataset, number):
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = PositronEmissionTomographyImageStorage
    dataset.Modality, dataset.Units, dataset.RescaleType = "PT", "BQML", "US"
    dataset.RescaleSlope, dataset.RescaleIntercept = 2.5 + number / 7, 0
    dataset.DecayCorrection, dataset.CorrectedImage = "START", ["ATTN", "DECY", "SCAT"]
    dataset.PatientWeight = 75
    dataset.SeriesDate = dataset.AcquisitionDate = "20240101"
    dataset.SeriesTime, dataset.AcquisitionTime = "130000", f"1300{number:02d}.500"
    given = Dataset()
    given.RadionuclideTotalDose, given.RadionuclideHalfLife = 3.7e8, HALF_LIFE
    given.RadiopharmaceuticalStartTime = "120000.00"
    dataset.RadiopharmaceuticalInformationSequence = Sequence([given])


def changed(change):
    def edit(dataset, number):
        pet(dataset, number)
        change(dataset, dataset.RadiopharmaceuticalInformationSequence[0])

    return edit


def test_each_slice_is_rescaled_by_its_own_slope_to_bq_per_ml(make_series):
    plain, activity = read(make_series("ct")), read(make_series("pt", edit=pet))
    slopes = 2.5 + np.arange(8) / 7
    expected = ((plain.array.astype(float) + 1024) * [float(f"{s:.14g}") for s in slopes]).astype(np.float32)
    assert np.allclose(activity.array, expected, rtol=1e-6)
    assert (activity.modality, activity.unit) == ("PT", "Bq/ml")


@pytest.mark.parametrize(
    ("change", "decayed"),
    [
        (lambda dataset, given: None, 3.7e8 * 2 ** (-3600 / HALF_LIFE)),
        (lambda dataset, given: setattr(dataset, "DecayCorrection", "ADMIN"), 3.7e8),
        (
            lambda dataset, given: setattr(given, "RadiopharmaceuticalStartDateTime", "20231231233000"),
            3.7e8 * 2 ** (-13.5 * 3600 / HALF_LIFE),
        ),
    ],
    ids=["corrected to the scan", "corrected to the injection", "injected the day before"],
)
def test_suv_is_activity_times_weight_over_decayed_dose(make_series, change, decayed):
    folder = make_series(edit=changed(change))
    suv, activity = read(folder, units="suv"), read(folder)
    assert np.allclose(suv.array, activity.array * (75_000 / decayed), rtol=1e-6)
    assert (suv.modality, suv.unit) == ("PT", "SUV")
    assert "to give SUV by body weight" in suv.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, g: d.pop("PatientWeight"), r"PatientWeight \(0010,1030\) is missing"),
        (lambda d, g: setattr(d, "PatientWeight", 0), r"PatientWeight .* is not above 0"),
        (lambda d, g: g.pop("RadionuclideTotalDose"), r"RadionuclideTotalDose \(0018,1074\) is missing"),
        (lambda d, g: setattr(g, "RadionuclideTotalDose", 370), "too small for Bq; is it in MBq"),
        (lambda d, g: g.pop("RadionuclideHalfLife"), r"RadionuclideHalfLife \(0018,1075\) is missing"),
        (lambda d, g: g.pop("RadiopharmaceuticalStartTime"), r"StartTime \(0018,1072\) is missing"),
        (lambda d, g: setattr(g, "RadiopharmaceuticalStartTime", "140000"), "not within the 24 hours"),
        (lambda d, g: d.pop("RadiopharmaceuticalInformationSequence"), "has 0 items; wanted one"),
        (lambda d, g: d.RadiopharmaceuticalInformationSequence.append(g), "has 2 items; wanted one"),
        (lambda d, g: setattr(d, "DecayCorrection", "NONE"), "neither START nor ADMIN"),
        (lambda d, g: setattr(d, "CorrectedImage", ["DECY"]), "does not name both ATTN and DECY"),
        (lambda d, g: d.pop("SeriesTime"), r"SeriesTime \(0008,0031\) is missing"),
        (lambda d, g: setattr(d, "SeriesTime", "150000"), "later than AcquisitionTime"),
        (lambda d, g: setattr(d, "SeriesTime", "1300"), "is no time to the second"),
        (lambda d, g: setattr(d, "Units", "CNTS"), r"Units \(0054,1001\) is not BQML"),
    ],
)
def test_suv_is_refused_where_a_tag_is_missing_or_doubtful(make_series, change, message):
    folder = make_series(edit=changed(change))
    with pytest.raises(VolumeError, match=rf"SUV cannot be computed: .*{message}.*without --allow units=suv"):
        read(folder, units="suv")
    read(folder)  # Bq/ml, or counts, are there all the same


def test_suv_of_another_modality_is_refused(make_series):
    with pytest.raises(VolumeError, match="SUV is computed for PET"):
        read(make_series(), units="suv")


def test_a_weight_that_differs_between_slices_is_refused(make_series):
    def edit(dataset, number):
        pet(dataset, number)
        dataset.PatientWeight = 75 + number

    with pytest.raises(VolumeError, match="weight, dose or times differ"):
        read(make_series(edit=edit), units="suv")
