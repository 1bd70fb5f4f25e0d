"""Make the distribution medseg-brain-tissue from the runs of train.py.

    python benchmarks/brain_tissue/package.py RUNS -o plugins

Every folder in RUNS that holds a model becomes brain-tissue-NAME. Weights are stored in 16 bits, and the
labels on the probe, subject S1, must stay the same; that subject's Dice of grey matter (2; 1 in the truth)
goes into each contract, and the conformance kit repeats it.
"""

import argparse
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NOTICES = (
    *(REPOSITORY / "sample_volumes/licences" / name for name in ("colin27_MNI.txt", "itk_Apache2.txt")),
    REPOSITORY / "plugins/medseg-linknet/src/medseg_linknet/weights/LICENSE.deepbet.txt",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    found = sorted(path.parent for path in given.runs.glob("*/contract.json"))
    command = [
        *(str(Path(sys.executable).with_name("medseg")), "package", "--name", "medseg-brain-tissue"),
        *("-o", str(given.out), "--probe", "s1_t1_head_defaced.nii.gz", "s1_surface_gm1_wm2.nii.gz", "2=1"),
        *(word for notice in NOTICES for word in ("--notice", str(notice))),
        *(f"brain-tissue-{run.name}={run}" for run in found),
    ]
    sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
