"""A phantom whose values say where they are: HU = 8x + 12y + 20z in LPS mm, so 1 mm wrong is 8 HU or more.

The idea is that any grid a reader returns can be checked against the world, whatever its order,
flips or resampling.
"""

import copy
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from medseg_dicom.reader import read
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

FIELD = np.array([8.0, 12.0, 20.0])
ROOT = "1.2.826.0.1.3680043.8.498.9"
BAD = Path(__file__).parent / "data" / "bad"
SAMPLES = Path(__file__).parents[3] / "sample_volumes" / "dicom"


def pytest_generate_tests(metafunc):
    cases = json.loads((BAD / "MANIFEST.json").read_text())
    chosen = {
        "case": cases,
        "sound_case": [case for case in cases if case["expect"] == "read"],
        "series_case": [case for case in cases if not case["id"].endswith(".zip")],
    }
    for name in chosen.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(name, chosen[name], ids=[case["id"] for case in chosen[name]])


@pytest.fixture(scope="session")
def bad():
    """The folder of sound and broken series that came with the manifest."""
    return BAD


@pytest.fixture(scope="session")
def samples():
    """The repository's real DICOM."""
    return SAMPLES


@pytest.fixture(scope="session")
def wrong_by():
    """Largest error in HU of a volume's voxels against the field, in world coordinates."""

    def measure(volume, *, border=0, offset=0.0):
        inside = tuple(slice(border, n - border) for n in volume.shape[:2])
        index = np.indices(volume.shape).reshape(3, -1)
        x, y, z = volume.affine[:3, :3] @ index + volume.affine[:3, 3:]
        truth = (FIELD @ [-x, -y, z] + offset).reshape(volume.shape)
        return float(np.abs(volume.array - truth)[inside].max())

    return measure


@pytest.fixture
def make_series(tmp_path):
    """Write a series of the phantom, slice by slice, and return its folder."""

    def make(name="series", *, edit=None, syntax=ExplicitVRLittleEndian, save=None, **geometry):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for number, dataset in enumerate(slices(**geometry)):
            if edit:
                edit(dataset, number)
            path = folder / f"IM{number:03d}.dcm"
            (save or save_as)(dataset, path, syntax)
        return folder

    return make


@pytest.fixture
def make_enhanced(tmp_path):
    """Write the phantom as one Enhanced CT file and return its path."""

    def make(name="E.dcm", *, order=None, edit=None, slopes=None, compress=None, **geometry):
        frames = list(slices(**geometry))
        dataset = enhanced(frames, order or range(len(frames)), slopes)
        if edit:
            edit(dataset)
        if compress:
            dataset.compress(compress)
        dataset.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return make


@pytest.fixture
def read_world(wrong_by):
    """Read, and promise that every voxel is right to within 1 HU in the world."""

    def check(path, **options):
        volume = read(path, **options)
        assert wrong_by(volume) <= 1
        return volume

    return check


def slices(
    *,
    along_row=(1.0, 0.0, 0.0),
    along_column=(0.0, 1.0, 0.0),
    origin=(-15.0, -10.0, -12.0),
    count=8,
    gap=3.0,
    shear=(0.0, 0.0, 0.0),
    size=(16, 20),
    spacing=(1.25, 1.5),
):
    """Data sets of parallel slices; each is moved by gap along the normal, and by shear, in LPS mm."""
    row, column = np.array(along_row, float), np.array(along_column, float)
    step = np.cross(row, column) * gap + np.array(shear)
    for number in range(count):
        yield one_slice(number, np.array(origin) + number * step, row, column, size, spacing)


def one_slice(number, position, row, column, size, spacing):
    rows, columns = size
    i, j = np.meshgrid(np.arange(columns), np.arange(rows))
    world = position + i[..., None] * spacing[1] * row + j[..., None] * spacing[0] * column
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"{ROOT}.1.{number + 1}"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = f"{ROOT}.2", f"{ROOT}.3"
    dataset.FrameOfReferenceUID = f"{ROOT}.4"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID = "SYNTH^PHANTOM", "SYN001"
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.AcquisitionNumber = 1, number + 1, 1
    dataset.ImagePositionPatient = [f"{v:.10g}" for v in position]
    dataset.ImageOrientationPatient = [f"{v:.10g}" for v in (*row, *column)]
    dataset.PixelSpacing = list(spacing)
    dataset.SliceThickness = 3
    dataset.Rows, dataset.Columns = rows, columns
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
    dataset.PixelData = (np.rint(world @ FIELD) + 1024).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def stored(dataset):
    """(R, C) of a slice that was not compressed."""
    return np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)


def save_as(dataset, path, syntax):
    if pydicom.uid.UID(syntax).is_compressed and not pydicom.uid.UID(syntax).is_deflated:
        dataset.compress(syntax)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)


def enhanced(frames, order, slopes):
    """One Enhanced CT of slices, in any order, optionally with a slope for each frame."""
    shared, own, pixels = Dataset(), [], []
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = frames[0].PixelSpacing, 3
    orientation.ImageOrientationPatient = frames[0].ImageOrientationPatient
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    for number in order:
        frame, group = frames[number], Dataset()
        place, content, rescale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = frame.ImagePositionPatient
        content.StackID, content.InStackPositionNumber = "1", number + 1
        slope = slopes[number] if slopes else 1
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = slope, -1024, "HU"
        group.PlanePositionSequence = Sequence([place])
        group.FrameContentSequence = Sequence([content])
        group.PixelValueTransformationSequence = Sequence([rescale])
        own.append(group)
        pixels.append(np.rint(stored(frame) / slope).astype("<u2").tobytes())
    dataset = copy.deepcopy(frames[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        del dataset[keyword]
    del dataset.RescaleIntercept
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.NumberOfFrames = len(own)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(own)
    dataset.PixelData = b"".join(pixels)
    return dataset
