"""Record what nnU-Net itself says of small volumes; run by hand in an environment that has nnU-Net v2.

    peer/bin/python plugins/medseg-nnunet/tests/record.py

Writes tests/data: three small volumes (a part of a sample; the same with thick slices; the same as if it
were CT), for each case a model folder with nnU-Net's own classes, the labels of nnU-Net's own command, and
those of the same code adding windows up in float32.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
DATA = HERE / "data"
# For each recording: volume, case, spacing in the plans' order, folds, whether it is mirrored.
CASES = {
    "plain": ("head", "plain", (3.0, 2.5, 2.5), 2, False),
    "mirrored": ("head", "mirrored", (3.0, 2.5, 2.5), 1, True),
    "thick_plans": ("head", "thick", (9.5, 2.5, 2.5), 1, False),
    "thick_file": ("thick", "thick", (4.0, 2.5, 2.5), 1, False),
    "transposed": ("head", "transposed", (2.4, 3.6, 2.2), 1, True),
    "ct": ("ct", "ct", (3.0, 2.5, 2.5), 1, False),
    "masked": ("head", "masked", (3.0, 2.5, 2.5), 1, False),
    "regions": ("head", "regions", (3.0, 2.5, 2.5), 1, False),
    "residual": ("head", "residual", (3.0, 2.5, 2.5), 1, False),
    "old": ("head", "old", (3.0, 2.5, 2.5), 1, False),
}


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    write_volumes()
    for name, (volume, case, spacing, folds, mirrored) in CASES.items():
        folder, image = DATA / name, DATA / f"{volume}.nii.gz"
        writer = [sys.executable, ROOT / "benchmarks/peers/write_nnunet_model.py", image, folder]
        sizes = ["--patch", "32", "--features", "4", "6", "--folds", str(folds)]
        subprocess.run([*writer, "--case", case, *sizes, "--spacing", *map(str, spacing)], check=True)
        with tempfile.TemporaryDirectory() as temporary:
            given, found = Path(temporary) / "in", Path(temporary) / "out"
            given.mkdir()
            shutil.copy(image, given / f"{volume}_0000.nii.gz")
            command = [Path(sys.executable).parent / "nnUNetv2_predict_from_modelfolder", "-device", "cpu"]
            command += ["-i", given, "-o", found, "-m", folder, "-f", *map(str, range(folds))]
            command += ["-npp", "1", "-nps", "1", *([] if mirrored else ["--disable_tta"])]
            subprocess.run(command, check=True, env={**os.environ, "nnUNet_compile": "f"})
            shutil.copy(found / f"{volume}.nii.gz", folder / "labels.nii.gz")
        exact = [sys.executable, ROOT / "benchmarks/peers/nnunet_in_float32.py", image, folder]
        exact += [folder / "labels_float32", *(["--mirror"] if mirrored else [])]
        subprocess.run(exact, check=True)


def write_volumes() -> None:
    whole = nibabel.load(ROOT / "sample_volumes/itk_t1_head_2x2x3mm.nii.gz")
    array = np.asarray(whole.dataobj)[36:84, 40:84, 14:46].astype(np.int16)
    array[array < 12] = 0  # air, so that there is something to crop
    array = np.pad(array, [(4, 1), (2, 3), (1, 2)])
    affine = whole.affine
    thick = affine @ np.diag([1, 1, 3, 1])
    for name, values, place in (
        ("head", array, affine),
        ("thick", array, thick),
        ("ct", array * 6 - 700, affine),
    ):
        nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), place), DATA / f"{name}.nii.gz")


if __name__ == "__main__":
    main()
