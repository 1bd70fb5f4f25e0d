"""A small cohort on disk: truths, two models, images and attributes."""

import numpy as np
import pytest

import medseg
from medseg import Volume

SHAPE, SPACING_MM = (24, 20, 16), (1.0, 1.0, 2.0)


def write(path, array, spacing_mm=SPACING_MM, kind="labels"):
    path.parent.mkdir(parents=True, exist_ok=True)
    medseg.save(Volume(array, np.diag([*spacing_mm, 1.0]), kind=kind), path)


@pytest.fixture(scope="session", name="write_volume")
def write_fixture():
    return write


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Eight cases with an organ (1) and a lesion (2); ``good`` is off by one voxel and ``poor`` by three.

    In case3 the lesion is a false alarm, in case5 it is missed, and case6 has none in either map.
    """
    root = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(0)
    for n in range(8):
        truth = np.zeros(SHAPE, np.uint8)
        truth[4:16, 4 : 14 + n % 3, 3:12] = 1
        truth[6 : 10 + n % 2, 6:10, 5:8] = 2
        found = truth.copy()
        if n in (3, 6):
            truth[truth == 2] = 1
        if n in (5, 6):
            found[found == 2] = 1
        write(root / "truth" / f"case{n}.nii.gz", truth)
        write(root / "good" / f"case{n}.nii.gz", np.roll(found, 1, axis=0))
        write(root / "poor" / f"case{n}.nii.gz", np.roll(found, 2 + n % 2, axis=1))
        image = truth * 100 + rng.normal(0, 20, SHAPE)
        write(root / "images" / f"case{n}.nii.gz", image.astype(np.float32), kind="image")
    lines = [f"case{n},{'FM'[n % 2]},{40 + n},{'' if n == 2 else 'A'}" for n in range(8)]
    (root / "attributes.csv").write_text("case,sex,age,site\n" + "\n".join(lines) + "\n")
    return root
