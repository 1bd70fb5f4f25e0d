"""What leaves the grid or the values in doubt is refused, with file, tag, found, wanted and remedy."""

import tracemalloc

import numpy as np
import pytest
from medseg_dicom.reader import read

from medseg.errors import ResourceError, VolumeError


def one(number, **values):
    """Set tags of one slice, or remove those that are None."""

    def edit(dataset, index):
        if number in (index, "all"):
            for keyword, value in values.items():
                if value is None:
                    del dataset[keyword]
                else:
                    setattr(dataset, keyword, value)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (one(4, Rows=8, Columns=40), r"Rows and Columns \(0028,0010-0011\) differs.*16 x 20.*8 x 40.*IM004"),
        (one("all", PhotometricInterpretation="MONOCHROME1"), r"is MONOCHROME1; wanted MONOCHROME2"),
        (one("all", ImagePositionPatient=None, ImageOrientationPatient=None), r"no geometry: ImagePosition"),
        (one("all", PixelSpacing=None), r"no geometry: PixelSpacing \(0028,0030\)"),
        (one(5, PixelSpacing=[1.3, 1.5]), r"PixelSpacing .*1\.25\\1\.5 in IM000.*1\.3\\1\.5 in IM005"),
        (one("all", PixelSpacing=[0, 1.5]), r"PixelSpacing .* is 0\\1\.5; wanted two sizes above 0"),
        (one("all", ImageOrientationPatient=[1, 0, 0, 0.5, 1, 0]), r"1\\0\\0\\0\.5\\1\\0; wanted two perp"),
        (one(3, ImageOrientationPatient=[-1, 0, 0, 0, -1, 0]), r"ImageOrientationPatient .* differs.*IM003"),
        (one(3, ImageOrientationPatient=[0.8, 0.6, 0, -0.6, 0.8, 0]), r"ImageOrientation.* differs.*IM003"),
        (one(2, PixelRepresentation=1), r"PixelRepresentation \(0028,0103\) differs"),
        (one(2, RescaleSlope=0), r"IM002\.dcm: RescaleSlope \(0028,1053\) is 0"),
        (one(2, RescaleIntercept=None), r"RescaleIntercept \(0028,1052\) is missing though RescaleSlope"),
        (one("all", RescaleIntercept=None, RescaleSlope=None), "missing in every image of a CT series"),
        (one("all", Modality="US"), r"Modality \(0008,0060\) is not CT, MR, PT"),
        (one(6, Modality="MR"), r"Modality .* differs between slices: CT in IM000\.dcm, MR in IM006\.dcm"),
        (one(6, PixelPaddingValue=63536), r"PixelPaddingValue .*none in IM000\.dcm, 63536 in IM006"),
        (one("all", BitsAllocated=32, BitsStored=32, HighBit=31), r"are 32, 32, 31; wanted 8 or 16"),
        (one("all", HighBit=15), r"are 16, 12, 15; wanted"),
        (one("all", NumberOfFrames=2_000_000_000), r"NumberOfFrames \(0028,0008\) is 2,000,000,000"),
        (one(4, Rows=8), r"has 640 bytes, more than the 320"),
        (one(4, SOPClassUID="1.2.840.10008.5.1.4.1.1.1"), r"Computed Radiography.* yet of this series"),
        (one(4, SOPInstanceUID=None), r"SOPInstanceUID \(0008,0018\) is missing"),
        (one(4, StudyInstanceUID="1.2.3"), r"StudyInstanceUID \(0020,000d\) differs.*IM004"),
        (one(7, SOPClassUID="1.2.840.10008.5.1.4.1.1.9999"), r"IM007\.dcm"),
    ],
)  # fmt: skip
def test_a_doubt_about_grid_or_values_is_refused(make_series, edit, message):
    with pytest.raises(VolumeError, match=rf"^series: .*{message}"):
        read(make_series(edit=edit))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"-15\\-10\\9", b"-15\\-10\\NaN", r"ImagePositionPatient \(0020,0032\) is not a number: 'NaN'"),
        (b"-15\\-10\\9", b"-15\\-10\\inf", r"is not a number: 'inf'"),
        (b"-15\\-10\\9", b"-15\\-1,0\\9", r"is not a number: '-1,0'"),
        (b"-15\\-10\\9", b"DOE^JANE^1", r"is not a number: 10 characters of text"),
        (b"-15\\-10\\9", b"-15\\-10", r"has 2 values; wanted 3"),
        (b"-15\\-10\\9", b"1e999\\0\\9", r"is not finite"),
        (b"CT", b"", r"Modality \(0008,0060\) is missing"),
    ],
)
def test_a_value_that_is_no_number_is_refused_by_its_tag(make_series, old, new, message):
    folder = make_series()
    path = folder / "IM007.dcm"
    content = path.read_bytes()
    at = content.index(old)
    assert content[at - 2] + 256 * content[at - 1] == len(old) + len(old) % 2  # an explicit length
    padded, length = new + b" " * (len(new) % 2), len(old) + len(old) % 2
    head = content[: at - 2] + len(padded).to_bytes(2, "little")
    path.write_bytes(head + padded + content[at + length :])
    with pytest.raises(VolumeError, match=rf"IM007\.dcm: .*{message}"):
        read(folder)


@pytest.mark.parametrize("kept", [0.6, 0.999])
def test_a_cut_file_names_the_bytes_it_has(make_series, kept):
    path = make_series() / "IM004.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - round(640 * (1 - kept))])
    with pytest.raises(
        VolumeError, match=rf"IM004\.dcm: PixelData \(7fe0,0010\) has {round(640 * kept)} of 640"
    ):
        read(path.parent)


def test_a_short_pixel_element_is_refused(make_series):
    def shorten(dataset, number):
        if number == 4:
            dataset.PixelData = dataset.PixelData[:384]

    with pytest.raises(VolumeError, match=r"IM004\.dcm: PixelData \(7fe0,0010\) has 384 of 640 bytes"):
        read(make_series(edit=shorten))


@pytest.mark.parametrize("kept", [40, 130, 200, 400])
def test_a_file_cut_in_its_header_is_never_left_out_in_silence(make_series, kept):
    path = make_series() / "IM007.dcm"  # the last: no gap would tell
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(VolumeError, match=r"file IM007\.dcm: "):
        read(path.parent)


@pytest.mark.parametrize("edit", [one(4, Rows=65535, Columns=65535), one(4, Columns=65535)])
def test_a_header_that_declares_too_much_is_refused_before_memory_is_taken(make_series, edit):
    folder = make_series(edit=edit)
    tracemalloc.start()
    try:
        with pytest.raises(VolumeError, match=r"IM004\.dcm: PixelData .* the file has 1\.\d kB"):
            read(folder)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_single_slice_is_no_volume(make_series):
    with pytest.raises(VolumeError, match=r"a single slice \(IM000\.dcm\).*Give the folder"):
        read(make_series(count=1))
    with pytest.raises(VolumeError, match="a single slice"):
        read(make_series() / "IM003.dcm")


def test_a_single_slice_is_read_as_thick_as_it_says_where_that_is_allowed(
    make_series, make_enhanced, read_world
):
    tilted = {"along_row": (0.955336489, 0.295520207, 0.0), "along_column": (-0.289627, 0.936293, 0.198669)}
    for path in (
        make_series("axial", count=1),
        make_series("oblique", count=1, **tilted),
        make_series("whole") / "IM003.dcm",
        make_enhanced(count=1),
    ):
        volume = read_world(path, single="thickness")
        assert volume.shape[2] == 1
        assert volume.spacing_mm[2] == pytest.approx(3)
        assert "A single slice, 3 mm thick by its SliceThickness, was read" in volume.notes[0]


@pytest.mark.parametrize(
    ("values", "found"), [({"SliceThickness": 0}, "0"), ({"SliceThickness": None}, "missing")]
)
def test_a_single_slice_that_does_not_say_how_thick_it_is_stays_refused(make_series, values, found):
    with pytest.raises(VolumeError, match=rf"SliceThickness \(0018,0050\) of .*IM000\.dcm is {found}"):
        read(make_series(count=1, edit=one(0, **values)), single="thickness")


def test_the_permission_for_a_single_slice_changes_nothing_else(make_series, read_world):
    volume = read_world(make_series(), single="thickness")
    assert volume.shape[2] == 8
    assert volume.notes == ()


def test_a_preamble_that_is_a_program_is_noted(bad, read_world):
    volume = read_world(bad / "70_pe_preamble", single="thickness")
    assert "The preamble of 1 file is the beginning of a program" in " ".join(volume.notes)


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    (tmp_path / "a.txt").write_text("notes")
    (tmp_path / "empty.dcm").write_bytes(b"")
    with pytest.raises(
        VolumeError, match=r"no CT, MR or PET.*a\.txt \(text, not DICOM\), empty\.dcm \(empty\)"
    ):
        read(tmp_path)


def test_a_volume_that_does_not_fit_into_memory_is_the_machines_fault(make_series, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("medseg_dicom.reader.read_values", full)
    with pytest.raises(ResourceError, match=r"^series: its voxels need .* GiB of memory"):
        read(make_series())


def test_a_file_that_shrinks_while_it_is_read_is_refused(make_series, monkeypatch):
    folder = make_series()
    honest = np.frombuffer

    def late(raw, *args):
        path = folder / "IM007.dcm"
        path.write_bytes(path.read_bytes()[:-100])
        return honest(raw, *args)

    monkeypatch.setattr("medseg_dicom.pixels.np.frombuffer", late)
    with pytest.raises(VolumeError, match=r"IM007\.dcm has become shorter"):
        read(folder, threads=1)
