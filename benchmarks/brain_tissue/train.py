"""Train one of the brain-tissue models that medseg ships, as it was trained.

    python benchmarks/brain_tissue/train.py unet3d --data DATA -o RUNS
    python benchmarks/brain_tissue/train.py unet3d --data DATA -o RUNS --steps 300 --patch 80

DATA holds ``volumes/`` and ``labels/`` with the files that heads.json names. The run is RUNS/NAME, with the
plan, the log (train.log), curves and history in it; started again after a kill it goes on. What is not set
here follows from the data and is in the run's plan.json. All seeds are the plan's.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

# Grid, patch and optimiser are the same for all, so that the leaderboard compares networks.
SHARED = (
    *(
        "--spacing",
        "1.5",
        "--patch",
        "96",
        "--batch",
        "1",
        "--epoch-steps",
        "25",
        "--foreground",
        "0.5",
        "--synthetic",
        "0.4",
    ),
    *("--learning-rate", "0.002", "--schedule", "poly", "--ema", "0.99", "--seed", "0"),
)
# Widths that leave each at some 0.5 to 4 million parameters: what two cores can train and a wheel can carry.
NETWORKS = {
    "unet": ("--architecture", "unets:unet", "-o", "width=8", "-o", "dropout=0"),
    "unet3d": ("--architecture", "unets:unet3d", "-o", "width=8"),
    "vnet": ("--architecture", "vnet:vnet", "-o", "width=4"),
    "attention-unet": ("--architecture", "unets:attention-unet", "-o", "width=8"),
    "unetpp": ("--architecture", "unets:unetpp", "-o", "width=8"),
    "linknet": ("--architecture", "linknet:linknet", "-o", "width=16"),
    "unet3d-tdac": ("--architecture", "unets:unet3d", "-o", "width=8", "--head", "contours:tdac"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--steps", default="1000")
    parser.add_argument("--device", default="auto")
    given, more = parser.parse_known_args()  # further options are those of medseg train
    run = given.out / given.network
    run.mkdir(parents=True, exist_ok=True)
    command = [
        *(str(Path(sys.executable).with_name("medseg")), "train", str(HERE / "heads.json")),
        *("--root", str(given.data), "-o", str(run), "--device", given.device, "--steps", given.steps),
        *(*SHARED, *NETWORKS[given.network], *more),
    ]
    with (run / "train.log").open("a") as log:
        log.write(" ".join(("medseg train heads.json --root DATA", *command[5:])) + "\n")
        log.flush()
        running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert running.stderr is not None  # it was asked for
        for line in running.stderr:
            sys.stderr.write(line)
            log.write(line)
            log.flush()
    sys.exit(running.wait())


if __name__ == "__main__":
    main()
