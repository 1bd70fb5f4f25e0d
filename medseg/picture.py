"""One picture of a result: three planes through its middle, with the labels' outlines.

Radiological convention: the patient's right is on the left of the axial and coronal planes.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medseg.atomic import write_whole
from medseg.geometry import reorient
from medseg.plugin import Label
from medseg.segmentation import Segmentation
from medseg.volume import Volume

BACKGROUND, TEXT, FAINT = "#0b0e14", "#e8eaf0", "#8b93a7"

# Title, axis that is cut, axes shown across and up, letters at the left, right, top and bottom.
_PLANES = (
    ("Axial", 2, (0, 1), ("R", "L", "A", "P")),
    ("Coronal", 1, (0, 2), ("R", "L", "S", "I")),
    ("Sagittal", 0, (1, 2), ("A", "P", "S", "I")),
)


def draw(image: Volume, result: Segmentation, path: str | Path, *, title: str = "") -> None:
    """Write a PNG of a result over its image.

    Args:
        image: what was segmented.
        result: its segmentation, on the same grid.
        path: of the PNG; written whole or not at all.
        title: a line above the planes; the labels and their volumes stand below them.
    """
    figure = _figure(image, result, title)
    write_whole(path, lambda part: _save(figure, part))


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)  # no window system, whatever the user has configured
    figure.savefig(path, format="png")


def _figure(image: Volume, result: Segmentation, title: str) -> Figure:
    # Axes that grow to the left of the patient, to the back and up: what a radiologist sees on screen.
    seen, labels = reorient(image, "LPS")[0], reorient(result.labels, "LPS")[0]
    centre = _middle(labels.array)
    low, high = np.percentile(seen.array, [1, 99.7])
    sizes = np.array(seen.shape) * np.array(seen.spacing_mm)
    widths = [float(sizes[horizontal]) for _, _, (horizontal, _), _ in _PLANES]
    height = min(15 * float(sizes.max()) / sum(widths), 30)  # a needle of voxels would make miles of PNG
    figure = Figure(figsize=(15, height + 1.7), dpi=120, facecolor=BACKGROUND)
    grid = figure.add_gridspec(
        1, 3, width_ratios=widths, left=0.015, right=0.985, top=0.9, bottom=0.12, wspace=0.03
    )
    for column, (name, axis, (horizontal, vertical), letters) in enumerate(_PLANES):
        axes = figure.add_subplot(grid[0, column])
        extent_mm = (0.0, float(sizes[horizontal]), 0.0, float(sizes[vertical]))
        picture = np.take(seen.array, centre[axis], axis).T
        axes.imshow(
            picture,
            cmap="gray",
            vmin=low,
            vmax=max(high, low + 1e-6),
            extent=extent_mm,
            origin="lower",
            interpolation="bicubic",
        )
        cut = np.take(labels.array, centre[axis], axis).T
        for measure in result.measures:
            _outline(axes, cut == measure.label.value, extent_mm, measure.label)
        # The axial plane is drawn with the patient's front at the top.
        axes.set(xlim=extent_mm[:2], ylim=extent_mm[3:1:-1] if vertical == 1 else extent_mm[2:])
        _letter(axes, letters)
        axes.set_title(name, color=FAINT, fontsize=13, pad=8)
        axes.axis("off")
        axes.set_aspect("equal")
    _scale_bar(figure.axes[0])
    # Names are shown as they are: a dollar sign in one is no formula.
    figure.text(
        0.5,
        0.965,
        title,
        color=TEXT,
        fontsize=19,
        ha="center",
        va="center",
        weight="bold",
        parse_math=False,
    )
    _legend(figure, result)
    return figure


def _middle(labels: NDArray[np.integer]) -> tuple[int, int, int]:
    """The voxel nearest to the centre of all labels; of the image, if there are none."""
    occupied = [np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not occupied[0].size:
        i, j, k = (n // 2 for n in labels.shape)
        return i, j, k
    i, j, k = (int((indices[0] + indices[-1]) // 2) for indices in occupied)
    return i, j, k


def _outline(
    axes: Axes, mask: NDArray[np.bool_], extent_mm: tuple[float, float, float, float], label: Label
) -> None:
    if not mask.any():
        return
    rows, columns = mask.shape
    x = (np.arange(-1, columns + 1) + 0.5) * extent_mm[1] / columns
    y = (np.arange(-1, rows + 1) + 0.5) * extent_mm[3] / rows
    level = np.pad(mask, 1).astype(np.float32)  # a rim of zeros closes outlines at the border
    axes.contourf(x, y, level, levels=[0.5, 1.5], colors=[label.colour], alpha=0.16)
    axes.contour(x, y, level, levels=[0.5], colors=[label.colour], linewidths=1.8)


def _letter(axes: Axes, letters: tuple[str, str, str, str]) -> None:
    left, right, top, bottom = letters
    for letter, x, y in ((left, 0.02, 0.5), (right, 0.98, 0.5), (top, 0.5, 0.975), (bottom, 0.5, 0.025)):
        axes.text(x, y, letter, transform=axes.transAxes, color=TEXT, fontsize=12, ha="center", va="center")


def _scale_bar(axes: Axes, *, mm: float = 50) -> None:
    x, y = axes.get_xlim(), axes.get_ylim()
    start, height = x[0] + 0.04 * (x[1] - x[0]), y[0] + 0.05 * (y[1] - y[0])
    axes.plot([start, start + mm], [height, height], color=TEXT, linewidth=2.5, solid_capstyle="butt")
    axes.text(
        start + mm / 2, height + 0.012 * (y[1] - y[0]), f"{mm:.0f} mm", color=TEXT, ha="center", va="bottom"
    )


def _legend(figure: Figure, result: Segmentation) -> None:
    entries = [(m.label.colour, f"{m.label.name}  {m.ml:,.1f} mL") for m in result.measures]
    shown = [*entries[:6], *([(FAINT, f"and {len(entries) - 6} more")] if len(entries) > 6 else [])]
    for n, (colour, text) in enumerate(shown):
        x = (n + 0.5) / len(shown)
        figure.text(
            x,
            0.072,
            f"\N{BLACK SQUARE}  {text}",
            color=colour,
            fontsize=15,
            ha="center",
            va="center",
            parse_math=False,
        )
    note = f"{result.provenance['model']} \N{MIDDLE DOT} medseg {result.provenance['medseg']} \N{MIDDLE DOT} "
    figure.text(
        0.5, 0.024, note + "research only, not for clinical use", color=FAINT, fontsize=10, ha="center"
    )
