"""Train one of the brain-tissue models that medseg ships, as it was trained.

    python benchmarks/brain_tissue/train.py unet --data DATA -o RUNS
    python benchmarks/brain_tissue/train.py unet-t1 --data DATA -o RUNS          goes on from RUNS/unet
    python benchmarks/brain_tissue/train.py unet-t1-1mm --data DATA -o RUNS      goes on from RUNS/unet-t1,
                                             and so on by unet-t1-box-first to unet-t1-box, the best
    python benchmarks/brain_tissue/train.py unet --data DATA -o RUNS --steps 300 --patch 80

DATA holds ``volumes/`` and ``labels/`` with the files that heads.json names. The run is RUNS/NAME, with the
plan, the log (train.log), curves and history in it; started again after a kill it goes on. What is not set
here follows from the data and is in the run's plan.json. All seeds are the plan's.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).parent

# Optimiser and shares are the same for all, unless a recipe says otherwise.
SHARED = (
    *("--batch", "1", "--epoch-steps", "100", "--foreground", "0.5", "--synthetic", "0.4"),
    *("--learning-rate", "0.002", "--schedule", "poly", "--ema", "0.99", "--seed", "0"),
)
# Half an hour on two cores that multiply bfloat16 (AVX-512 BF16, AMX), where a step takes half as long as in
# float32; and, for networks that cost more a voxel, a coarser grid and a few minutes.
LARGE = (
    *("--spacing", "1.5", "--patch", "80", "--steps", "4000"),
    *("--ema", "0.995", "--precision", "bf16-mixed"),
)
SMALL = ("--spacing", "2", "--patch", "64", "--steps", "1000", "--precision", "bf16-mixed")
# A second time for one that needs more steps than those of SMALL, at smaller rates.
FURTHER = ("--steps", "1500", "--learning-rate", "0.001", "--ema", "0.995", "--seed", "1")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained.

    Args:
        settings: options of medseg train.
        start: the recipe whose weights it starts from, or a model's full name; ``--from
            brain-tissue:brain-tissue-NAME`` takes those that ship.
        synthesis: what is painted otherwise than heads.json says.
        cases: those of heads.json that are learnt from; all, if none is named.
        licence: of the weights that it starts from, beside that of the heads.
        origin: what those learnt from, for the model's card.
    """

    settings: Sequence[str]
    start: str | None = None
    synthesis: Mapping[str, float] = field(default_factory=dict)
    cases: Sequence[str] = ()
    licence: str = ""
    origin: str = ""


def small(architecture: str, *more: str) -> Recipe:
    return Recipe(settings=(*SMALL, "--architecture", architecture, *more))


LINKNET = Recipe(
    settings=(
        *("--spacing", "1", "--patch", "96", "--steps", "2400", "--synthetic", "0.1"),
        *("--precision", "bf16-mixed", "--locator", "linknet:brain-locator", "--post", "main-body"),
    ),
    synthesis={"contrast_share": 0.9, "thick_share": 0.1},
    cases=("colin27", "icbm2009c"),
    licence="MIT",
    origin="It began with the weights of linknet:brain-mask, which learnt from 7,837 heads of OpenNeuro "
    "(deepbet 1.0.2).",
)

RECIPES = {
    "unet": Recipe(settings=(*LARGE, "--architecture", "unets:unet", "-o", "width=8", "-o", "dropout=0")),
    # A finer grid, mostly the contrast of T1, and more of the real images.
    "unet-t1": Recipe(
        settings=(
            *("--spacing", "1.25", "--patch", "80", "--steps", "2400", "--synthetic", "0.25"),
            *("--ema", "0.99", "--learning-rate", "0.001", "--seed", "1", "--precision", "bf16-mixed"),
        ),
        start="unet",
        synthesis={"contrast_share": 0.9, "thick_share": 0.2},
    ),
    "unet-t1-1mm": Recipe(
        settings=(
            *("--spacing", "1", "--patch", "80", "--steps", "5000", "--synthetic", "0.3"),
            *("--ema", "0.995", "--learning-rate", "0.001", "--seed", "2", "--precision", "bf16-mixed"),
            *("--foreground", "0.4"),
        ),
        start="unet-t1",
        synthesis={"contrast_share": 0.9, "thick_share": 0.1},
    ),
    # All of the network for the brain and its surroundings, and only label maps of 1 mm.
    "unet-t1-box-first": Recipe(
        settings=(
            *("--spacing", "1", "--patch", "96", "--steps", "3600", "--synthetic", "0.1"),
            *("--ema", "0.995", "--learning-rate", "0.001", "--seed", "3", "--precision", "bf16-mixed"),
            *("--foreground", "0.5", "--locator", "linknet:brain-locator", "--post", "main-body"),
        ),
        start="unet-t1-1mm",
        synthesis={"contrast_share": 0.9, "thick_share": 0.1},
        cases=("colin27", "icbm2009c"),
    ),
    # Its weights once more, at smaller steps and averaged over more of them.
    "unet-t1-box": Recipe(
        settings=(
            *("--spacing", "1", "--patch", "96", "--steps", "2400", "--synthetic", "0.2"),
            *("--ema", "0.998", "--learning-rate", "0.0007", "--seed", "4", "--precision", "bf16-mixed"),
            *("--foreground", "0.5", "--locator", "linknet:brain-locator", "--post", "main-body"),
            "--mirror-in-use",
        ),
        start="unet-t1-box-first",
        synthesis={"contrast_share": 0.9, "thick_share": 0.1},
        cases=("colin27", "icbm2009c"),
    ),
    # From random weights to T1 in half an hour.
    "unet-t1-30min": Recipe(
        settings=(
            *(*LARGE, "--spacing", "1.25", "--synthetic", "0.3"),
            *("--architecture", "unets:unet", "-o", "width=8", "-o", "dropout=0"),
        ),
        synthesis={"contrast_share": 0.9, "thick_share": 0.2},
    ),
    "unet3d": small("unets:unet3d", "-o", "width=4", "-o", "norm=instance"),
    "vnet-first": small("vnet:vnet", "-o", "width=4"),
    "vnet": replace(small("vnet:vnet", *FURTHER), start="vnet-first"),
    "attention-unet": small("unets:attention-unet", "-o", "width=8"),
    "unetpp": small("unets:unetpp", "-o", "width=4", "--steps", "700"),
    # It works on half the grid, and scores voxels by place in what is left of that: cortex wants 1 mm.
    "linknet-first": replace(LINKNET, start="linknet:brain-mask"),
    "linknet": replace(
        LINKNET,
        settings=(
            *LINKNET.settings,
            "--steps",
            "3600",
            "--learning-rate",
            "0.001",
            "--ema",
            "0.998",
            "--seed",
            "1",
        ),
        start="linknet-first",
    ),
    # A step of the contour costs seconds, so the network that places it is there before, and goes slowly.
    "unet3d-tdac": Recipe(
        settings=(
            *(*SMALL, "--head", "contours:tdac", "--head-option", "n_iter=10"),
            *("--patch", "48", "--steps", "240", "--epoch-steps", "20", "--learning-rate", "0.0005"),
        ),
        start="unet3d",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    given, more = parser.parse_known_args()  # further options are those of medseg train
    run = given.out / given.network
    run.mkdir(parents=True, exist_ok=True)
    heads = json.loads((HERE / "heads.json").read_text(encoding="utf-8"))
    recipe = RECIPES[given.network]
    heads["synthesis"] |= recipe.synthesis
    heads["description"] = " ".join(filter(None, (heads["description"], recipe.origin)))
    heads["licence"] = " AND ".join(filter(None, (heads["licence"], recipe.licence)))
    heads["cases"] = [case for case in heads["cases"] if case["name"] in recipe.cases or not recipe.cases]
    start = (
        ("--from", recipe.start if ":" in recipe.start else str(given.out / recipe.start))
        if recipe.start
        else ()
    )
    (run / "heads.json").write_text(json.dumps(heads, indent=1), encoding="utf-8")
    command = [
        *(str(Path(sys.executable).with_name("medseg")), "train", str(run / "heads.json")),
        *("--root", str(given.data), "-o", str(run), "--device", given.device),
        *(*SHARED, *recipe.settings, *start, *more),
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
