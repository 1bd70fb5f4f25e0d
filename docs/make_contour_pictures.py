"""Draw docs/pictures/contours/*.png and print the numbers that docs/concepts/active-contours.md quotes.

Run: python docs/make_contour_pictures.py
"""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from medseg_contours.refine import refine
from numpy.typing import NDArray
from scipy import ndimage

import medseg
from medseg import Volume
from medseg.samples import find_sample

mpl.use("Agg")
import matplotlib.pyplot as plt  # after the backend is chosen

PICTURES = Path(__file__).parent / "pictures" / "contours"
BLUE, ORANGE = "#0072B2", "#E69F00"


def dice(a: NDArray[Any], b: NDArray[Any]) -> float:
    return 2 * float(np.logical_and(a, b).sum()) / float((a > 0).sum() + (b > 0).sum())


def draw(name: str, image: Volume, reference: Volume, initial: Volume, **options: Any) -> None:
    """The contour at four moments in the slice where the reference is largest."""
    moments = [(0, initial)]
    refine(image, initial, every=5, on_iteration=lambda n, labels: moments.append((n, labels)), **options)
    k = int((reference.array > 0).sum(axis=(0, 1)).argmax())
    wanted = np.linspace(0, len(moments) - 1, 4).round().astype(int)
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
    aspect = image.spacing_mm[1] / image.spacing_mm[0]
    low, high = np.percentile(image.array, (1, 99))
    for axis, number in zip(axes, wanted, strict=True):
        done, labels = moments[number]
        axis.imshow(image.array[:, :, k].T, cmap="gray", vmin=low, vmax=high, aspect=aspect)
        axis.contour(reference.array[:, :, k].T > 0, [0.5], colors=BLUE, linewidths=1)
        axis.contour(labels.array[:, :, k].T > 0, [0.5], colors=ORANGE, linewidths=1.5)
        score = dice(labels.array, reference.array)
        axis.set_title(f"iteration {done}: Dice {score:.3f}", fontsize=10)
        axis.axis("off")
        print(f"{name}: iteration {done}, Dice {score:.3f}")
    figure.savefig(PICTURES / f"{name}.png", dpi=80, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    head = medseg.load(find_sample("itk_t1_head_2x2x3mm.nii.gz"))
    brain = medseg.segment(head, "brain-mask", device="cpu").labels
    mask = brain.array > 0
    dilated = ndimage.binary_dilation(mask, iterations=3)
    eroded = ndimage.binary_erosion(mask, iterations=3)
    draw("brain-too-large", head, brain, brain.with_array(dilated.astype(np.uint8)))
    draw("brain-too-small", head, brain, brain.with_array(eroded.astype(np.uint8)))
    whole = medseg.load(find_sample("tumour1_t1gd_head.nii.gz"))
    tumour = medseg.load(find_sample("tumour1_mask.nii.gz"), kind="labels")
    depth = ndimage.distance_transform_edt(tumour.array > 0, sampling=tumour.spacing_mm)
    centre = np.ones(tumour.shape, bool)
    centre[np.unravel_index(depth.argmax(), depth.shape)] = False
    ball = ndimage.distance_transform_edt(centre, sampling=tumour.spacing_mm) < 6
    draw(
        "tumour-from-a-ball", whole, tumour, tumour.with_array(ball.astype(np.uint8)), iterations=100, nu=0.0
    )


if __name__ == "__main__":
    main()
