"""Every transfer syntax gives the same voxels; a codec that is missing is named."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from medseg_dicom.instance import read_frames
from medseg_dicom.pixels import read_stored
from medseg_dicom.reader import read
from medseg_dicom.source import Source
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from medseg.errors import ResourceError, VolumeError

SMALL = {"size": (64, 64), "spacing": (0.4, 0.3)}  # openjpeg wants 32 pixels at least


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless]
)
def test_a_series_in_any_syntax_is_right_in_the_world(make_series, read_world, syntax):
    read_world(make_series(syntax=syntax, **SMALL))


def test_big_endian_is_right_in_the_world(make_series, read_world):
    def save(dataset, path, syntax):
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path, enforce_file_format=True)

    read_world(make_series(syntax=ExplicitVRBigEndian, save=save))


def test_jpeg_lossless_written_by_gdcm_is_right_in_the_world(make_series, read_world, tmp_path):
    import SimpleITK as sitk  # noqa: N813  # the name in its documentation

    def save(dataset, path, syntax):
        stored = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "gdcm.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.Execute(sitk.GetImageFromArray(stored))
        theirs = pydicom.dcmread(tmp_path / "gdcm.dcm")
        assert theirs.file_meta.TransferSyntaxUID == syntax
        dataset.BitsStored, dataset.HighBit = theirs.BitsStored, theirs.HighBit
        dataset.PixelData = theirs.PixelData
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path, enforce_file_format=True)

    read_world(make_series(syntax=JPEGLosslessSV1, save=save))


def test_a_file_without_preamble_meta_and_extension_is_read(make_series, read_world):
    def save(dataset, path, syntax):
        del dataset.file_meta
        dataset.save_as(path.with_suffix(""), implicit_vr=True, little_endian=True)

    read_world(make_series(save=save))


def test_high_throughput_jpeg_2000_written_by_openjph_is_right_in_the_world(bad, read_world):
    assert read_world(bad.parent / "htj2k").shape == (64, 64, 3)


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless"])
def test_a_compressed_sample_of_pydicom_equals_its_uncompressed_twin(name):
    twin = pydicom.dcmread(get_testdata_file("MR_small.dcm")).pixel_array
    assert np.array_equal(stored_in(get_testdata_file(f"{name}.dcm")), twin)


@pytest.mark.parametrize("name", ["693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm"])
def test_signed_jpeg_2000_decodes_as_with_simpleitk(name):
    import SimpleITK as sitk  # noqa: N813  # the name in its documentation

    path = get_testdata_file(name)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    values = sitk.GetArrayFromImage(sitk.ReadImage(path))[0].astype(float)
    assert np.array_equal(stored_in(path) * header.RescaleSlope + header.RescaleIntercept, values)


@pytest.mark.parametrize("name", ["JPGExtended", "JPEGLSNearLossless_16", "JPEGLSNearLossless_08"])
def test_lossy_code_streams_decode_as_with_simpleitk(make_series, name):
    import SimpleITK as sitk  # noqa: N813  # the name in its documentation

    path = get_testdata_file(f"{name}.dcm")
    sample = pydicom.dcmread(path)

    def borrow(dataset, number):
        for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelData"):
            setattr(dataset, keyword, sample[keyword].value)
        dataset["PixelData"].VR = "OB"
        dataset.RescaleIntercept = 0

    folder = make_series(edit=borrow, save=as_it_is, syntax=sample.file_meta.TransferSyntaxUID, count=2)
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(path)).squeeze()
    rounding = 1 if name == "JPGExtended" else 0  # the cosine transform may be rounded either way
    assert np.abs(read(folder).array[:, :, 1].T - theirs.astype(int)).max() <= rounding


def test_jpeg_baseline_decodes_as_with_pillow(make_series):
    from PIL import Image as image  # noqa: N813  # a module, used as one

    code, decoded = io.BytesIO(), np.tile(np.arange(0, 240, 4, np.uint8), (40, 1))
    image.fromarray(decoded).save(code, "JPEG", quality=95)

    def replace(dataset, number):
        dataset.Rows, dataset.Columns = decoded.shape
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.RescaleIntercept = 8, 8, 7, 0
        dataset.PixelData = encapsulate([code.getvalue()])

    volume = read(make_series(edit=replace, save=as_it_is, syntax=JPEGBaseline8Bit, count=2))
    theirs = np.asarray(image.open(code)).astype(int)
    assert (
        np.abs(volume.array[:, :, 0].T - theirs).max() <= 1
    )  # decoders may round the cosine transform either way


def test_a_missing_codec_is_named_with_what_to_install(make_series, monkeypatch):
    folder = make_series(syntax=JPEG2000Lossless, **SMALL)
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    with pytest.raises(
        ResourceError,
        match=r"^series: .*JPEG 2000 Lossless \(1\.2\.840\.10008\.1\.2\.4\.90\) needs: pip .*-openjpeg",
    ):
        read(folder)


@pytest.mark.parametrize(
    ("claimed", "message"),
    [
        (b"1.2.840.10008.1.2.5\0", r"PixelData \(7fe0,0010\) is not encapsulated.*syntax is RLE Lossless"),
        (b"1.2.840.10008.1.2.9\0", r"the transfer syntax is unknown; wanted .*Explicit VR Little Endian"),
        (b"1.2.840.10008.1.20\0\0", r"Papyrus 3 Implicit .*1\.2\.840\.10008\.1\.20"),
    ],
)
def test_a_syntax_that_is_false_or_not_read_is_named(make_series, claimed, message):
    folder = make_series()
    for path in folder.iterdir():
        content = path.read_bytes()
        path.write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", claimed))
    with pytest.raises(VolumeError, match=message):
        read(folder)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_a_damaged_code_stream_is_refused_by_its_file(make_series, syntax):
    path = make_series(syntax=syntax, **SMALL) / "IM005.dcm"
    content = bytearray(path.read_bytes())
    content[-600:-300] = bytes(300)
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"file IM005\.dcm: "):
        read(path.parent)


def test_a_code_stream_of_another_size_is_refused_before_it_is_decoded(make_series):
    folder = make_series(syntax=JPEG2000Lossless, **SMALL)
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.Columns = 32
        dataset.save_as(path)
    with pytest.raises(
        VolumeError, match=r"IM000\.dcm: the compressed image has 64 rows, 64 columns and 1 sam.*64, 32"
    ):
        read(folder, threads=1)


def as_it_is(dataset, path, syntax):
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset["PixelData"].is_undefined_length = dataset.PixelData[:4] == b"\xfe\xff\x00\xe0"
    dataset.save_as(path, enforce_file_format=False)


def stored_in(path):
    """The stored pixels of a sample with one frame, through the reader's own way."""
    frames = read_frames(Source.of_file(Path(path)))
    (pixels,) = read_stored(frames[0].instance, [0])
    return pixels


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_more_frames_than_the_header_declares_are_refused(make_series, syntax):
    def save(dataset, path, syntax):
        dataset.compress(syntax)
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = encapsulate([frame, frame])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path, enforce_file_format=True)

    with pytest.raises(
        VolumeError, match=r"IM000\.dcm: PixelData .* table of 2 frames, the header declares 1"
    ):
        read(make_series(syntax=syntax, save=save, **SMALL))


def test_a_damaged_table_of_frames_is_refused(make_series):
    def save(dataset, path, syntax):
        dataset.compress(RLELossless)
        dataset.PixelData = dataset.PixelData[:4] + b"\x03" + dataset.PixelData[5:]
        dataset.save_as(path, enforce_file_format=True)

    with pytest.raises(VolumeError, match=r"IM000\.dcm: (the table of its frames is damaged|frame 1 cannot)"):
        read(make_series(save=save, **SMALL))
