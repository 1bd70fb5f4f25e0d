"""Dice, HD95, ASSD and NSD of three labels, against DeepMind's surface-distance and MONAI, in one run.

python benchmarks/evaluation_vs_peers.py                  speed, 197 x 233 x 189 voxels, one thread
python benchmarks/evaluation_vs_peers.py --maps spheres   other maps, see ``MAPS``
python benchmarks/evaluation_vs_peers.py --memory         peak memory, 512 x 512 x 400 voxels, 100 labels

Every tool is timed on the same masks, and medseg once in the convention of each: ``voxels`` is MONAI's,
``area-weighted`` is DeepMind's, and the numbers that they find are printed and the same. Of MONAI, its four
functions; of surface-distance, one call for the distances, from which its four metrics are read.

surface-distance is 0.1 of the Python Package Index (``pip install surface-distance``, with the development
requirements). What it computes is what the head of github.com/google-deepmind/surface-distance does; they
differ in how they spell NumPy's bool and infinity, and the spelling is mended below.

Everything runs on one thread, and what is compared is processor seconds in one run: other programs on the
machine make them longer by a little, and wall time, printed beside them, by much.
"""

import argparse
import resource
import time
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import medseg
from medseg import Volume

SHAPE, SPACING_MM, TOLERANCE_MM = (197, 233, 189), (1.0, 1.0, 1.0), 1.0


def tissues(shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Three folded shells, true and predicted: the second ones are moved by noise of about a voxel."""
    rng = np.random.default_rng(0)
    axes = [np.linspace(-1.1, 1.1, n) for n in shape]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True)))
    folds = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 4)
    depth = 1 - radius + 0.12 * folds / folds.std()
    jitter = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 2)
    edges = (0.0, 0.12, 0.3)
    truth = np.digitize(depth, edges).astype(np.uint8)
    predicted = np.digitize(depth + 0.02 * jitter / jitter.std(), edges).astype(np.uint8)
    return truth, predicted


def spheres(shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Three balls in an empty image, the predicted ones a little larger and two voxels away."""
    truth, predicted = np.zeros((2, *shape), np.uint8)
    axes = np.ogrid[tuple(slice(-1, 1, complex(0, n)) for n in shape)]
    balls = (((-0.4, -0.4, 0), 0.35), ((0.4, 0.3, 0.2), 0.45), ((0, 0.5, -0.5), 0.25))
    for label, (centre, radius) in enumerate(balls, start=1):
        for array, moved, larger in ((truth, 0.0, 1.0), (predicted, 0.02, 1.03)):
            distance = np.sqrt(sum((a - c - moved) ** 2 for a, c in zip(axes, centre, strict=True)))
            array[distance < radius * larger] = label
    return truth, predicted


def wrong(shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The tissues, and as a prediction their mirror image, so that surfaces are far from each other."""
    truth, predicted = tissues(shape)
    return truth, np.ascontiguousarray(predicted[::-1])


MAPS = {"tissues": tissues, "spheres": spheres, "wrong": wrong}


def ours(predicted: Volume, truth: Volume, convention: str | None) -> list[float]:
    metrics = ["dice", "hd95", "assd", f"nsd tolerance_mm={TOLERANCE_MM}"]
    return [row.value for row in medseg.evaluate(predicted, truth, metrics=metrics, convention=convention)]


def deepmind(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> list[float]:
    import surface_distance as sd

    found = []
    for label in (1, 2, 3):
        p, t = predicted == label, truth == label
        distances = sd.compute_surface_distances(t, p, SPACING_MM)
        both = np.concatenate([distances["distances_gt_to_pred"], distances["distances_pred_to_gt"]])
        areas = np.concatenate([distances["surfel_areas_gt"], distances["surfel_areas_pred"]])
        sd.compute_average_surface_distance(distances)
        found += [
            sd.compute_dice_coefficient(t, p),
            sd.compute_robust_hausdorff(distances, 95),
            float((both * areas).sum() / areas.sum()),
            sd.compute_surface_dice_at_tolerance(distances, TOLERANCE_MM),
        ]
    return found


def monai(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> list[float]:
    import torch
    from monai import metrics

    labels = (1, 2, 3)
    p, t = (torch.from_numpy(np.stack([m == n for n in labels]))[None] for m in (predicted, truth))
    tables = [
        metrics.compute_dice(p, t),
        metrics.compute_hausdorff_distance(p, t, include_background=True, percentile=95, spacing=SPACING_MM),
        metrics.compute_average_surface_distance(
            p, t, include_background=True, symmetric=True, spacing=SPACING_MM
        ),
        metrics.compute_surface_dice(p, t, [TOLERANCE_MM] * 3, include_background=True, spacing=SPACING_MM),
    ]
    return [float(table[0, n]) for n in range(3) for table in tables]


def timed(call: Callable[[], list[float]]) -> tuple[float, float, list[float]]:
    """Processor seconds, wall seconds, and what was found."""
    start, wall = time.process_time(), time.perf_counter()
    found = call()
    return time.process_time() - start, time.perf_counter() - wall, found


def speed(maps: str, rounds: int) -> None:
    import torch

    torch.set_num_threads(1)
    setattr(np, "Inf", np.inf)  # noqa: B010  # surface-distance 0.1 on PyPI is older than NumPy 2
    truth, predicted = MAPS[maps](SHAPE)
    volumes = [Volume(array, np.eye(4), kind="labels") for array in (predicted, truth)]
    ours(*volumes, None)  # imports, and what is made once per process
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, call in (
            ("medseg, voxels", lambda: ours(*volumes, None)),
            ("medseg, area-weighted", lambda: ours(*volumes, "area-weighted")),
            ("MONAI", lambda: monai(predicted, truth)),
            ("surface-distance", lambda: deepmind(predicted, truth)),
        ):
            seconds, wall, found = timed(call)
            best[name] = min(seconds, best.get(name, seconds))
            values = " ".join(f"{v:.5f}" for v in found)
            print(f"{name:22} {seconds:6.2f} s (wall {wall:6.2f} s)  {values}", flush=True)
    size = " x ".join(map(str, SHAPE))
    print(f"processor time, fastest of {rounds}, {maps}, {size} voxels, 3 labels, one thread:")
    for own in ("medseg, voxels", "medseg, area-weighted"):
        for peer in ("surface-distance", "MONAI"):
            print(f"{own}: {best[peer] / best[own]:.1f} times as fast as {peer}")


def memory() -> None:
    """Peak over the inputs, in a process that has done nothing else."""
    shape = (512, 512, 400)
    truth = np.zeros(shape, np.uint8)
    rng = np.random.default_rng(0)
    grid = [(i, j, k) for i in range(5) for j in range(5) for k in range(4)]
    for label, corner in enumerate(grid, start=1):
        start = np.array(corner) * 100 + rng.integers(0, 8, 3)
        size = rng.integers(60, 92, 3)
        ball = sum(a**2 for a in np.ogrid[tuple(slice(-1, 1, complex(0, n)) for n in size)]) <= 1
        place = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        truth[place][ball] = label
    predicted = np.roll(truth, (1, 2, 0), (0, 1, 2))
    predicted[predicted == 7] = 0
    volumes = [Volume(array, np.eye(4), kind="labels") for array in (predicted, truth)]
    medseg.evaluate(np.ones((3, 3, 3), int), np.ones((3, 3, 3), int), spacing_mm=(1, 1, 1))  # imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    start = time.perf_counter()
    scores = medseg.evaluate(*volumes, metrics=["dice", "hd95", "assd", "nsd"])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{' x '.join(map(str, shape))} voxels, {len({r.label for r in scores})} labels: {seconds:.1f} s, "
        f"peak {peak:.2f} GB, {peak - before:.2f} GB over the {before:.2f} GB before"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--maps", choices=MAPS, default="tissues")
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        memory() if chosen.memory else speed(chosen.maps, chosen.rounds)
