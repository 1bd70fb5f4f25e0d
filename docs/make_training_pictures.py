"""The pictures of docs/concepts/synthetic-images.md: samples of the generator, painted from label maps.

    python docs/make_training_pictures.py LABELS...

LABELS are label maps of whole heads, as benchmarks/brain_tissue/heads.json describes them: 0 to 3 are
background, CSF, grey and white matter, 4 to 6 what is around the brain. A sample's number is its seed.
Shown is one slice of each, and below it the same slice with the borders of the classes.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import medseg
from medseg.geometry import reorient, resample
from medseg.training.manifest import read_recipe
from medseg.training.synthesis import Regions, synthesise

HERE = Path(__file__).parent
SAMPLES, COLUMNS, SIZE, SPACING_MM = 16, 8, (128, 144, 128), 1.5
CLASSES = (0, 1, 2, 3, 0, 0, 0)
CONTOURS = {1: "#4e9de8", 2: "#e8554e", 3: "#f2c14e"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("labels", nargs="+", type=Path)
    given = parser.parse_args()
    heads = json.loads((HERE.parent / "benchmarks/brain_tissue/heads.json").read_text(encoding="utf-8"))
    recipe = read_recipe(heads["synthesis"])
    maps = [regions_of(path) for path in given.labels]
    figure = Figure(figsize=(COLUMNS * 1.1, 2 * SAMPLES / COLUMNS * 1.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 * SAMPLES // COLUMNS, COLUMNS)
    for number in range(SAMPLES):
        regions = maps[number % len(maps)]
        image, classes = synthesise(
            regions,
            centre=[(n - 1) / 2 for n in regions.labels.shape],
            shape=SIZE,
            spacing_mm=(SPACING_MM,) * 3,
            recipe=recipe,
            rng=np.random.default_rng(number),
        )
        row, column = divmod(number, COLUMNS)
        middle = int(SIZE[2] * 0.55)
        slices = image.numpy()[:, :, middle].T, classes.numpy()[:, :, middle].T
        for axis in axes[2 * row : 2 * row + 2, column]:
            low, high = np.percentile(slices[0], (0.5, 99.5))
            axis.imshow(slices[0], cmap="gray", origin="lower", vmin=low, vmax=high)
            axis.set_axis_off()
        for value, colour in CONTOURS.items():
            if (slices[1] == value).any():
                below = axes[2 * row + 1, column]
                below.contour(slices[1] == value, levels=[0.5], colors=colour, linewidths=0.5)
    target = HERE / "pictures" / "training" / "synthetic-samples.jpg"
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, pil_kwargs={"quality": 80})
    print(f"wrote {target.relative_to(HERE.parent)}, {target.stat().st_size / 1000:.0f} kB")


def regions_of(path: Path) -> Regions:
    """A head's label map along R, A, S at 1 mm."""
    labels = resample(reorient(medseg.load(path, kind="labels"), "RAS")[0], (1.0,) * 3)[0]
    return Regions(
        labels=np.ascontiguousarray(labels.array, dtype=np.uint8),
        spacing_mm=(1.0,) * 3,
        classes=CLASSES,
    )


if __name__ == "__main__":
    main()
