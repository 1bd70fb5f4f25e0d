"""Read one CT series with medseg-dicom, gate included, and with SimpleITK's ImageSeriesReader, in one run.

    python plugins/medseg-dicom/benchmarks/read_series.py --threads 2 --slices 400

SimpleITK is timed for reading alone, its list of files being given, which is less than is asked of
medseg-dicom: that finds the files, checks every header and sorts the slices as well. All return the
same voxels, or the run fails. ``medseg.load``, and so the command line, reads in a child process: its
first call has to start one, which is counted; the others find it waiting.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813  # its documentation's name
from medseg_dicom.reader import read
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)
from scipy.ndimage import gaussian_filter

import medseg
from medseg import isolation

SYNTAXES = {"raw": ExplicitVRLittleEndian, "j2k": JPEG2000Lossless, "rle": RLELossless}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--syntax", choices=SYNTAXES, default="raw")
    args = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        write_series(Path(folder), args.slices, args.size, SYNTAXES[args.syntax])
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder)
        ways: dict[str, Callable[[], Any]] = {
            "SimpleITK, reading alone": lambda: read_with_simpleitk(names),
            "medseg-dicom, in this process": lambda: read(folder, threads=args.threads),
            "medseg.load, first call": lambda: load_first(folder, args.threads),
            "medseg.load, later calls": lambda: medseg.load(folder, threads=args.threads),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(args.repeats):  # in turn, so that a busy moment of the machine meets all
            for way, call in ways.items():
                seconds[way].append(timed(call))
        theirs = sitk.GetArrayFromImage(read_with_simpleitk(names))
        for call in (read, medseg.load):
            assert np.array_equal(call(folder).array.T, theirs), "the readers disagree about the voxels"
    what = f"{args.slices} slices of {args.size} x {args.size}, {args.syntax}"
    print(f"{what}, {args.threads} thread(s) each, {args.repeats} repeats, gate included but for SimpleITK")
    peer = statistics.median(seconds["SimpleITK, reading alone"])
    for way, taken in seconds.items():
        median = statistics.median(taken)
        print(
            f"{way + ':':31} median {median:.3f} s, {min(taken):.3f} to {max(taken):.3f}; "
            f"{median / peer:.2f} of SimpleITK's"
        )


def load_first(folder: str, threads: int) -> Any:
    """As the first call of a program, for which no child waits."""
    isolation._stop_all()  # no user needs this; a benchmark of the start does
    return medseg.load(folder, threads=threads)


def timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def read_with_simpleitk(names: tuple[str, ...]) -> Any:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    return reader.Execute()


def write_series(folder: Path, slices: int, size: int, syntax: UID) -> None:
    """A body-like disc with noise, under headers as long as a scanner's, with 64 private elements."""
    chance = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    body = np.where(rows**2 + columns**2 < 0.16, 1064, 24) + 200 * gaussian_filter(
        chance.normal(size=(size, size)), 4
    )
    noise = chance.normal(0, 10, (size, size))
    series, study, world = generate_uid(), generate_uid(), generate_uid()
    for number in range(slices):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = (
            study,
            series,
            world,
        )
        dataset.Modality, dataset.InstanceNumber = "CT", number + 1
        dataset.ImagePositionPatient = [-180, -180, 1.25 * number - 200]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [360 / size, 360 / size]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.Rows = dataset.Columns = size
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = (
            1,
            "MONOCHROME2",
            0,
        )
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        private = dataset.private_block(0x0019, "BENCHMARK", create=True)
        for element in range(0x10, 0x50):
            private.add_new(element, "DS", f"{element * 1.25:.4f}")
        pixels = (body + np.roll(noise, number)).clip(0, 4095).astype("<u2")
        dataset.PixelData = pixels.tobytes()
        dataset["PixelData"].VR = "OW"
        if syntax != ExplicitVRLittleEndian:
            dataset.compress(syntax)
        pydicom.dcmwrite(folder / f"{number:04d}.dcm", dataset, enforce_file_format=True)


if __name__ == "__main__":
    main()
