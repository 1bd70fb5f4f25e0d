"""Values: their type, unused bits, padding, and what is remarked about them."""

import numpy as np
import pytest
from medseg_dicom.reader import read


def ramp(values, kind="<u2", **tags):
    """Replace the pixels by given values, repeated over each slice."""

    def edit(dataset, number):
        size = dataset.Rows * dataset.Columns
        dataset.PixelData = np.resize(np.asarray(values), size).astype(kind).tobytes()
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)

    return edit


WIDE = {"BitsStored": 16, "HighBit": 15}
RAW = {"RescaleSlope": 1, "RescaleIntercept": 0}


@pytest.mark.parametrize(
    ("edit", "kind", "expected"),
    [
        (ramp([0, 4095]), "int16", [-1024, 3071]),
        (ramp([0, 65535], **WIDE, **RAW), "float32", [0, 65535]),
        (ramp([0, 33000], **WIDE), "int16", [-1024, 31976]),
        (ramp([0, 100], RescaleSlope=0.5), "float32", [-1024, -974]),
        (ramp([0, 100], RescaleSlope=2, RescaleIntercept=-3), "int16", [-3, 197]),
        (ramp([0, 100], RescaleSlope=-2, RescaleIntercept=0), "int16", [0, -200]),
        (ramp([0, 100], RescaleSlope=1, RescaleIntercept=40000), "float32", [40000, 40100]),
        (ramp([0, 4000], RescaleSlope=100000, RescaleIntercept=0), "float32", [0, 4e8]),
        (ramp([-5, 7], "<i2", **WIDE, **RAW, PixelRepresentation=1), "int16", [-5, 7]),
        (ramp([-32768, 32767], "<i2", **WIDE, RescaleSlope=1, RescaleIntercept=-1, PixelRepresentation=1),
         "float32", [-32769, 32766]),
        (ramp([0, 255], "u1", BitsAllocated=8, BitsStored=8, HighBit=7, **RAW), "int16", [0, 255]),
        (ramp([-128, 127], "i1", BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=1, **RAW),
         "int16", [-128, 127]),
        (ramp([0x7005, 0xF00F], **RAW), "int16", [5, 15]),
        (ramp([0x0FFF, 0xF001], PixelRepresentation=1, **RAW), "int16", [-1, 1]),
    ],
    ids=["CT", "16 bits", "wraps", "half", "two", "negative", "offset", "huge slope", "signed", "edge",
         "8 bits", "8 signed", "overlay", "signed overlay"],
)  # fmt: skip
def test_whole_numbers_that_fit_are_int16_and_all_else_is_float32(make_series, edit, kind, expected):
    volume = read(make_series(edit=edit, size=(4, 4)))
    assert volume.array.dtype == kind
    assert volume.array[:2, 0, 0].tolist() == expected


def test_float32_rounds_the_exact_product_once(make_series):
    slope = 0.123456789
    volume = read(
        make_series(edit=ramp(range(4096), RescaleSlope=slope, RescaleIntercept=-7.5), size=(64, 64))
    )
    assert np.array_equal(volume.array[:, :, 0].T.ravel(), (np.arange(4096) * slope - 7.5).astype(np.float32))


@pytest.mark.parametrize(("modality", "air"), [("CT", -1000), ("MR", 0)])
def test_padding_becomes_air_and_is_counted(make_series, modality, air):
    pad = ramp([7, 0, 9], **RAW, **WIDE, PixelPaddingValue=0, Modality=modality)
    shifted = ramp([7, 60000, 9], **RAW, **WIDE, PixelPaddingValue=60000, Modality=modality)
    for name, edit in (("low", pad), ("high", shifted)):
        volume = read(make_series(name, edit=edit, size=(3, 3)))
        assert volume.array[:, 0, 0].tolist() == [7, air, 9]
        assert volume.array.dtype == "int16"  # 60000 is no value, so it does not need room
    assert f"24 padding voxels were set to {air}." in volume.notes


def test_a_range_of_padding_becomes_air(make_series):
    edit = ramp([5, 50, 55, 60, 65], **RAW, PixelPaddingValue=50, PixelPaddingRangeLimit=60)
    assert read(make_series(edit=edit, size=(5, 5))).array[:, 0, 0].tolist() == [5, -1000, -1000, -1000, 65]


def test_signed_padding_written_as_unsigned_is_understood(make_series):
    edit = ramp([5, -2000], "<i2", **RAW, **WIDE, PixelRepresentation=1, PixelPaddingValue=-2000)
    assert read(make_series(edit=edit, size=(4, 4))).array[:2, 0, 0].tolist() == [5, -1000]


def test_padding_that_is_air_already_is_no_news(make_series):
    volume = read(make_series(edit=ramp([7, 0], **RAW, PixelPaddingValue=0, Modality="MR"), size=(4, 4)))
    assert not any("padding" in note for note in volume.notes)


@pytest.mark.parametrize(
    ("edit", "note"),
    [
        (ramp([5, 90], **RAW), "from 5 to 90: display greys, not Hounsfield units?"),
        (
            ramp([0, 2000], RescaleIntercept=-3000),
            "from -3000 to -1000; CT is mostly within -1100 to 4000 HU",
        ),
        (ramp([7], **RAW), "Every voxel has the value 7."),
        (ramp([0, 2000], BurnedInAnnotation="YES"), "BurnedInAnnotation"),
        (ramp([0, 2000], LossyImageCompression="01"), "compressed with loss"),
    ],
)
def test_what_is_unusual_is_remarked(make_series, edit, note):
    assert any(note in remark for remark in read(make_series(edit=edit)).notes)


def test_values_without_rescale_are_kept_in_mr_alone(make_series):
    def mr(dataset, number):
        dataset.Modality = "MR"
        del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType

    volume = read(make_series(edit=mr))
    assert volume.array.dtype == "int16"
    assert (volume.modality, volume.unit, volume.notes) == ("MR", "", ())


def test_the_unit_is_that_of_the_file_and_its_absence_is_remarked(make_series):
    plain = read(make_series("plain"))
    assert (plain.modality, plain.unit, plain.notes) == ("CT", "HU", ())
    other = read(make_series("other", edit=ramp([0, 2000], RescaleType="MGML")))
    assert other.unit == ""
    assert any("RescaleType (0028,1054) is not HU" in note for note in other.notes)


def test_rescales_that_differ_are_applied_and_remarked(make_series, read_world):
    def steps(dataset, number):
        stored = np.frombuffer(dataset.PixelData, "<u2")
        dataset.PixelData = (stored + 100 * number).astype("<u2").tobytes()
        dataset.RescaleIntercept = -1024 - 100 * number

    assert any("differs between slices" in note for note in read_world(make_series(edit=steps)).notes)


def test_a_program_in_the_preamble_is_remarked_and_the_image_read(make_series, read_world):
    folder = make_series()
    path = folder / "IM002.dcm"
    path.write_bytes(b"MZ" + path.read_bytes()[2:])
    assert any("preamble of 1 file is the beginning of a program" in n for n in read_world(folder).notes)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(make_series, threads):
    folder = make_series()
    assert np.array_equal(read(folder, threads=threads).array, read(folder).array)
