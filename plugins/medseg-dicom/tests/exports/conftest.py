"""Results on the phantom, whose labels are balls in the world, and what reads and validates their objects."""

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from medseg_dicom.reader import read

from medseg.plugin import Code, Label, Result

CLASSES = (
    Label(value=0, name="background", colour="#000000"),
    Label(
        value=1,
        name="brain",
        colour="#e8554e",
        category=Code(scheme="SCT", value="123037004", meaning="Anatomical Structure"),
        type=Code(scheme="SCT", value="12738006", meaning="Brain"),
    ),
    Label(
        value=2,
        name="lesion",
        colour="#10c0ff",
        category=Code(scheme="SCT", value="49755003", meaning="Morphologically Abnormal Structure"),
        type=Code(scheme="SCT", value="52988006", meaning="Lesion"),
    ),
)
DCIODVFY_2022_ON_LABEL_MAPS = [
    (
        "Error - SegmentNumber not monotonically increasing from one by one - "
        "have SegmentSequence item number 1 (from one) with SegmentNumber of 0"
    ),
    "Error - Information Object Not found",
]
ENCODINGS = ["binary", "labelmap", "fractional"]
WEIGHTS = "c0ffee" + "0" * 58


class Balls:
    """Label 1 is a ball about a point in RAS mm; label 2 is a smaller ball in it, to one side."""

    def __init__(self, centre, radius=8.0):
        self.spheres = {
            1: (np.asarray(centre), radius),
            2: (centre + np.array([radius / 2, 1, 1]), radius / 3),
        }

    def __call__(self, points):
        """(..., 3) points -> (...) labels."""
        labels = np.zeros(points.shape[:-1], np.uint8)
        for label, (centre, radius) in self.spheres.items():
            labels[np.linalg.norm(points - centre, axis=-1) < radius] = label
        return labels

    def certain(self, points, margin_mm):
        """Where the label is the same all around a point."""
        away = [np.linalg.norm(points - centre, axis=-1) - radius for centre, radius in self.spheres.values()]
        return (np.abs(away) > margin_mm).all(axis=0)


def world_of(affine, shape):
    """(*shape, 3): where voxels are."""
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


@pytest.fixture(scope="session")
def oblique():
    """Directions of a series that is turned about two axes."""
    return {
        "along_row": (0.955336489, 0.295520207, 0.0),
        "along_column": (-0.289627, 0.936293, 0.198669),
    }


@pytest.fixture(params=ENCODINGS)
def encoding(request):
    return request.param


@pytest.fixture
def segmented():
    """A result on a series, and its balls: what is where in the world."""

    def segment(path, *, array=None, classes=CLASSES, provenance=None, **options):
        volume = read(path, **options)
        world = world_of(volume.affine, volume.shape)
        balls = Balls(world.reshape(-1, 3).mean(axis=0))
        labels = balls(world) if array is None else array(volume)
        result = Result(
            labels=volume.with_array(labels, kind="labels"),
            classes=classes,
            model="toy:balls",
            provenance={"weights_sha256": WEIGHTS} if provenance is None else provenance,
            source=Path(path),
            read_options=options,
        )
        return result, balls

    return segment


@pytest.fixture(scope="session")
def errors_of():
    """The lines of dciodvfy that begin with Error."""
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy is missing; on Debian and Ubuntu: apt-get install dicom3tools")

    def validate(path):
        # It also exits with 1 for what it reports, and reports on standard error.
        done = subprocess.run(["dciodvfy", str(path)], check=False, capture_output=True, text=True)
        lines = (done.stdout + done.stderr).splitlines()
        assert lines, "dciodvfy said nothing, not even the name of the object"
        return [line for line in lines if line.startswith("Error")]

    return validate


@pytest.fixture(scope="session")
def dcmqi():
    """Run one of dcmqi's programs."""
    folder = Path(sys.executable).parent

    def run(program, *arguments):
        command = [str(folder / program), *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def dcmqi_segments(dcmqi, tmp_path):
    """A segmentation as dcmqi reads it: RAS positions of the voxels of each segment, by its number."""

    def load(path):
        out = tmp_path / "dcmqi"
        out.mkdir()
        arguments = ("--inputDICOM", path, "--outputDirectory", out, "--prefix", "s", "--outputType", "nii")
        dcmqi("segimage2itkimage", *arguments)
        found = {}
        for file in sorted(out.glob("s-*.nii.gz")):
            image = nibabel.load(file)
            array = np.asarray(image.dataobj)
            for value in set(np.unique(array).tolist()) - {0}:
                # Fractions keep their scale, 0 to 255; the segment is in the name of the file.
                number = int(file.name.split("-")[1].split(".")[0]) if value == 255 else value
                found[number] = nibabel.affines.apply_affine(image.affine, np.argwhere(array == value))
        return found

    return load


@pytest.fixture(scope="session")
def frames_of():
    """Of each frame: its segment (None in a label map), where its pixels are in RAS mm, and their values."""

    def read_frames(path):
        dataset = pydicom.dcmread(path)
        shared = dataset.SharedFunctionalGroupsSequence[0]
        axes = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        row, column = np.reshape(axes, (2, 3)).astype(float)
        down, across = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
        i, j = np.meshgrid(np.arange(dataset.Columns), np.arange(dataset.Rows))
        pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
        for group, values in zip(dataset.PerFrameFunctionalGroupsSequence, pixels, strict=True):
            position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            lps = position + i[..., None] * across * row + j[..., None] * down * column
            found = group.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
            yield found[0].ReferencedSegmentNumber if found else None, lps * [-1, -1, 1], values

    return read_frames


@pytest.fixture(scope="session")
def check_world(frames_of):
    """Every pixel of a segmentation is what the world has there, and all that was segmented is in it."""

    def check(path, balls, result):
        counts = dict.fromkeys(balls.spheres, 0)
        for number, world, values in frames_of(path):
            truth = balls(world)
            for label in counts if number is None else [number]:
                pixels = values == label if number is None else values > 0
                assert np.array_equal(pixels, truth == label)
                counts[label] += int(pixels.sum())
        assert counts == {label: (result.labels.array == label).sum() for label in counts}

    return check


@pytest.fixture(scope="session")
def check_valid(errors_of):
    """dciodvfy finds no error; of a label map it says only that it does not know the class."""

    def check(path, encoding="binary"):
        assert errors_of(path) == (DCIODVFY_2022_ON_LABEL_MAPS if encoding == "labelmap" else [])

    return check
