"""Contours on real volumes, and their speed beside scikit-image's; bad results are printed too.

python benchmarks/contours.py            all tables
python benchmarks/contours.py speed      one of: brain, tumour, grids, speed, memory
"""

import inspect
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from medseg_classics import graphs, seeds, snakes, thresholds
from medseg_contours.evolution import Evolution, evolve
from medseg_contours.refine import refine, refine_contour
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import morphological_chan_vese

import medseg
from medseg import Volume
from medseg.geometry import crop, resample, resample_to
from medseg.samples import find_sample
from medseg.volume import Grid

Mask = NDArray[np.bool_]
POINTWISE: dict[str, Any] = {"nu": 0.0, "hold": 0.0, "pool": 0.0}
PLAIN: dict[str, Any] = {**POINTWISE, "appearance": "intensity"}
LONG: dict[str, Any] = {**POINTWISE, "iterations": 300, "mu": 0.5}
REFINERS: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "nothing holds the border (hold 0)": {"hold": 0.0},
    "the pull is not pooled (pool 0)": {"pool": 0.0},
    "neither": POINTWISE,
    "neither, means within 12 mm": {**POINTWISE, "region": "local"},
    "the same with DALS weights": {**POINTWISE, "region": "local", "trust": True},
    "intensity, held and pooled": {"appearance": "intensity"},
    "Chan-Vese, means within 12 mm": {**PLAIN, "region": "local"},
    "Chan-Vese, means within 5 mm": {**PLAIN, "region": "local", "window_mm": 5.0},
    "Chan-Vese, means of the whole neighbourhood": PLAIN,
}


def dice(a: Mask, b: Mask) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def brain() -> None:
    """The brain mask of a real head, damaged and refined; Dice against the undamaged mask."""
    head = medseg.load(find_sample("itk_t1_head_2x2x3mm.nii.gz"))
    truth = medseg.segment(head, "brain-mask", device="cpu").labels
    mask = truth.array > 0
    damaged = {
        "dilated by 3": ndimage.binary_dilation(mask, iterations=3),
        "eroded by 3": ndimage.binary_erosion(mask, iterations=3),
        "shifted by 3": np.roll(mask, 3, axis=0),
        "undamaged": mask,
    }
    print("| refiner | " + " | ".join(damaged) + " |\n|" + "---|" * (len(damaged) + 1))
    print("| none | " + " | ".join(f"{dice(bad, mask):.3f}" for bad in damaged.values()) + " |")
    for name, options in REFINERS.items():
        cells = []
        for bad in damaged.values():
            after = refine(head, truth.with_array(bad.astype(np.uint8)), **options).array > 0
            cells.append(f"{dice(after, mask):.3f} ({dice(after, mask) - dice(bad, mask):+.3f})")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def tumour_and_ball() -> tuple[Volume, Volume, Volume, Volume]:
    """The neighbourhood of the tumour, its mask, a ball of 6 mm in it, and the ball with seeds outside."""
    whole = medseg.load(find_sample("tumour1_t1gd_head.nii.gz"))
    truth = medseg.load(find_sample("tumour1_mask.nii.gz"), kind="labels")
    found = ndimage.find_objects((truth.array > 0).astype(np.uint8))[0]
    margins = [round(25 / h) for h in whole.spacing_mm]
    start = [max(s.start - m, 0) for s, m in zip(found, margins, strict=True)]
    stop = [min(s.stop + m, n) for s, m, n in zip(found, margins, whole.shape, strict=True)]
    image, mask = crop(whole, start, stop)[0], crop(truth, start, stop)[0]
    depth = ndimage.distance_transform_edt(mask.array > 0, sampling=mask.spacing_mm)
    far = np.ones(mask.shape, bool)
    far[np.unravel_index(depth.argmax(), depth.shape)] = False
    distance = ndimage.distance_transform_edt(far, sampling=mask.spacing_mm)
    ball = mask.with_array((distance < 6).astype(np.uint8))
    drawn = ball.array.copy()
    drawn[distance > 0.9 * distance.max()] = 2
    return image, mask, ball, mask.with_array(drawn)


def tumour() -> None:
    """The tumour of a real head from a ball inside it; Dice against the reader's mask."""
    image, truth, ball, drawn = tumour_and_ball()
    mask = truth.array > 0
    methods: dict[str, Callable[[], Volume]] = {
        "none (the ball)": lambda: ball,
        "refine, the defaults": lambda: refine(image, ball),
        "refine, likeness, global": lambda: refine(image, ball, region="global", **LONG),
        "refine, likeness, local 12 mm": lambda: refine(image, ball, region="local", **LONG),
        "Chan-Vese contour, global": lambda: refine(image, ball, region="global", **{**LONG, **PLAIN}),
        "Chan-Vese contour, local 12 mm": lambda: refine(image, ball, region="local", **{**LONG, **PLAIN}),
        "morphological Chan-Vese": lambda: snakes.morphological_chan_vese(image, ball),
        "morphological geodesic": lambda: snakes.morphological_geodesic(image, ball),
        "geodesic (ITK)": lambda: snakes.geodesic(image, ball),
        "region growing": lambda: seeds.grow_regions(image, ball),
        "watershed": lambda: seeds.watershed(image, drawn),
        "random walker": lambda: seeds.random_walker(image, drawn, tolerance=1e-3),
        "graph cut": lambda: graphs.graph_cut(image, drawn),
        "Otsu": lambda: thresholds.otsu(image),
        "hysteresis": lambda: thresholds.hysteresis(image),
        "k-means (brightest of 3)": lambda: _brightest(thresholds.k_means(image), 2),
    }
    print("| method | Dice | s |\n|---|---|---|")
    for name, method in methods.items():
        began = time.perf_counter()
        found = method().array == 1
        print(f"| {name} | {dice(found, mask):.3f} | {time.perf_counter() - began:.1f} |", flush=True)


def _brightest(labels: Volume, value: int) -> Volume:
    return labels.with_array((labels.array == value).astype(np.uint8))


def grids() -> None:
    """The tumour refined on several grids; Dice with the result at 1.5 mm, as masks and as contours.

    The floor is what is left of a mask that is only brought to the other grid and back.
    """
    image, _, ball, _ = tumour_and_ball()
    cubes, _ = resample(image, (1.5, 1.5, 1.5))
    options = {**LONG, **PLAIN, "region": "global"}
    print("| spacing | masks | floor of masks | contours |\n|---|---|---|---|")
    first: Volume | None = None
    for spacing in ((1.5, 1.5, 1.5), (1.5, 1.5, 3.0), (3.0, 1.5, 1.5), (1.5, 1.5, 4.5)):
        there, _ = resample(cubes, spacing)
        begin, _ = resample_to(ball, there.grid)
        phi = refine_contour(there, begin, **options)
        first = phi if first is None else first
        wanted = first.array > 0
        masks = [
            dice(resample_to(_inside(contour), cubes.grid)[0].array > 0, wanted)
            for contour in (phi, _brought(first, there.grid))
        ]
        contours = dice(_brought(phi, cubes.grid).array > 0, wanted)
        cells = f"{masks[0]:.3f} | {masks[1]:.3f} | {contours:.3f}"
        print(f"| {' x '.join(map(str, spacing))} mm | {cells} |", flush=True)


def _inside(contour: Volume) -> Volume:
    return contour.with_array((contour.array > 0).astype(np.uint8), kind="labels")


def _brought(contour: Volume, grid: Grid) -> Volume:
    return resample_to(contour, grid, interpolation="cubic")[0]


def speed() -> None:
    """Iterations a second at 96^3 on one thread, beside scikit-image's morphological Chan-Vese."""
    image, phi = _ball_of_96()
    start = (phi[0, 0] > 0).numpy()
    rows: dict[str, Callable[[], object]] = {
        "scikit-image, morphological Chan-Vese": lambda: morphological_chan_vese(
            image[0, 0].numpy(), 10, init_level_set=start
        )
    }
    for region in ("global", "local"):
        evolution = Evolution(region=region)
        rows[f"medseg-contours, {region}"] = lambda evolution=evolution: evolve(
            phi, image, torch.ones(3), evolution=evolution, iterations=10
        )
    print("| 96^3, 10 iterations | its/s |\n|---|---|")
    for name, call in rows.items():
        with torch.inference_mode():
            began = time.perf_counter()
            call()
            print(f"| {name} | {10 / (time.perf_counter() - began):.2f} |", flush=True)


def memory() -> None:
    """Extra memory of forward and backward in training, 96^3, 20 iterations, one class."""
    image, phi = _ball_of_96()
    small = phi[..., :8, :8, :8].clone().requires_grad_()  # what is imported at first use is no part of it
    settings: dict[str, Any] = {"evolution": Evolution(), "checkpoint_every": 5}
    evolve(small, image[..., :8, :8, :8], torch.ones(3), iterations=10, **settings).sum().backward()
    before = _peak_gb()
    phi = phi.requires_grad_()
    end = evolve(phi, image, torch.ones(3), iterations=20, **settings)
    forward = _peak_gb() - before
    end.square().mean().backward()
    print(f"forward {forward:.2f} GB, with backward {_peak_gb() - before:.2f} GB more than before")


def _ball_of_96() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    axis = torch.arange(96.0) - 47.5
    r = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    image = ((r < 30) + 0.2 * torch.randn_like(r))[None, None]
    return (image - image.mean()) / image.std(), (25 - r)[None, None]


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


TABLES = {"memory": memory, "speed": speed, "tumour": tumour, "grids": grids, "brain": brain}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for table in sys.argv[1:] or TABLES:
        print(f"\n## {inspect.getdoc(TABLES[table])}\n")
        TABLES[table]()
