"""Draw docs/pictures/losses/*.png and print every number that docs/reference/losses.md quotes.

Run: python docs/make_loss_pictures.py
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.patches import Circle
from numpy.typing import NDArray

from medseg.builtin.losses.border import border_weights
from medseg.builtin.losses.centreline import soft_skeleton
from medseg.builtin.losses.deep_supervision import nearest_labels
from medseg.builtin.losses.descriptions import LOSSES
from medseg.builtin.losses.distances import edge_distances
from medseg.plugin import Output

mpl.use("Agg")
import matplotlib.pyplot as plt  # after the backend is chosen

PICTURES = Path(__file__).parent / "pictures" / "losses"
FACTORIES = {loss.name: loss.factory.split(":") for loss in LOSSES}
Map = NDArray[Any]
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#595959"


def evaluate(name: str, logits: Map, target: Map, **options: Any) -> tuple[float, Map]:
    """The loss of one sigmoid channel, logits (*S) against labels (*S), and its gradient (*S)."""
    module, factory = FACTORIES[name]
    scores = torch.tensor(logits, dtype=torch.float64)[None, None].requires_grad_()
    loss = getattr(import_module(module), factory)(**options)(
        Output(logits=scores), torch.tensor(target, dtype=torch.int64)[None]
    )
    loss.backward()
    assert scores.grad is not None  # for mypy: it is a leaf
    return loss.item(), scores.grad[0, 0].numpy()


def of_mask(name: str, mask: Map, target: Map, **options: Any) -> float:
    """The loss of a prediction that is certain of a mask."""
    return evaluate(name, 80.0 * mask - 40, target, **options)[0]


def lesion(voxels: int, *, size: int = 100) -> Map:
    """A flat image of size x size pixels of which so many are lesion."""
    return (np.arange(size * size) < voxels).reshape(size, size).astype(int)


def sweep(name: str, target: Map, probabilities: Map, **options: Any) -> tuple[Map, Map]:
    """Loss, and gradient at one lesion pixel times the pixels, against the lesion's probability.

    The background is right with certainty throughout.
    """
    rows = []
    for p in probabilities:
        logits = np.where(target == 1, np.log(p / (1 - p)), -40.0)
        loss, gradient = evaluate(name, logits, target, **options)
        rows.append((loss, -gradient[0, 0] * target.size))
    losses, gradients = np.array(rows).T
    return losses, gradients


def voxel_losses() -> None:
    target, p = lesion(100), np.linspace(0.02, 0.98, 49)
    lines = {
        "ce": ("ce", {}, BLUE, "-"),
        "weighted-ce, n_neg / n_pos = 99": ("weighted-ce", {}, RED, "-"),
        "focal, alpha 0.25": ("focal", {}, GREEN, "-"),
        "focal, alpha 0.75": ("focal", {"alpha": 0.75}, GREEN, "--"),
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for label, (name, options, colour, style) in lines.items():
        losses, gradients = sweep(name, target, p, **options)
        left.semilogy(p, losses, style, color=colour, label=label)
        right.semilogy(p, gradients, style, color=colour)
        at = {q: gradients[np.argmin(abs(p - q))] for q in (0.1, 0.9)}
        print(f"{label}: gradient x N at p = 0.1: {at[0.1]:.4f}, at p = 0.9: {at[0.9]:.5f}")
    left.set(xlabel="probability p in the lesion (1 % of the image)", ylabel="loss", xlim=(0, 1))
    right.set(xlabel="probability p in the lesion (1 % of the image)", xlim=(0, 1))
    right.set_ylabel("gradient at a lesion pixel's logit,\nx number of pixels")
    left.legend(frameon=False, fontsize=8, loc="lower left")
    save(figure, "voxel-losses")


def overlap_losses() -> None:
    lines = {
        "dice": ("dice", {}, BLUE, "-"),
        "dice, squared": ("dice", {"squared": True}, BLUE, "--"),
        "iou": ("iou", {}, GREEN, "-"),
        "tversky": ("tversky", {}, RED, "-"),
        "focal-tversky": ("focal-tversky", {}, RED, "--"),
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    p = np.linspace(0.02, 0.98, 49)
    sizes = np.unique(np.geomspace(3, 5000, 25).astype(int))
    for label, (name, options, colour, style) in lines.items():
        left.plot(p, sweep(name, lesion(100), p, **options)[0], style, color=colour, label=label)
    for label, (name, colour) in {"ce": ("ce", GREY), "dice": ("dice", BLUE), "iou": ("iou", GREEN)}.items():
        pushes = [sweep(name, lesion(size), np.array([0.5]))[1][0] for size in sizes]
        right.loglog(sizes / 100, pushes, color=colour, label=label)
        print(
            f"{label}: gradient x N at p = 0.5, lesion of {sizes[0]} / {sizes[-1]} of 10000 pixels: "
            f"{pushes[0]:.3g} / {pushes[-1]:.3g}"
        )
    left.set(xlabel="probability p in the lesion (1 % of the image)", ylabel="loss", xlim=(0, 1), ylim=(0, 1))
    right.set(xlabel="size of the lesion, % of the image", title="at p = 0.5 in the lesion")
    right.set_ylabel("gradient at a lesion pixel's logit,\nx number of pixels")
    right.title.set_fontsize(9)
    left.legend(frameon=False, fontsize=8)
    right.legend(frameon=False, fontsize=8)
    save(figure, "overlap-losses")


def tversky_lesion() -> None:
    spacing_mm, observers = 0.1, np.linspace(3, 5, 21)
    axis = np.arange(-7 + spacing_mm / 2, 7, spacing_mm)
    distance = np.hypot(*np.meshgrid(axis, axis))
    truths = [(distance < radius).astype(int) for radius in observers]
    radii = np.arange(2.5, 5.51, 0.1)
    settings = {(0.7, 0.3): BLUE, (0.5, 0.5): GREEN, (0.3, 0.7): ORANGE, (0.1, 0.9): RED}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.0), layout="constrained", width_ratios=[1, 1.25])
    shown = left.imshow(np.mean(truths, axis=0), cmap="gray", extent=(-7, 7, -7, 7))
    figure.colorbar(shown, ax=left, label="share of the 21 outlines", shrink=0.8)
    for (alpha, beta), colour in settings.items():
        costs = [
            np.mean(
                [of_mask("tversky", distance < radius, truth, alpha=alpha, beta=beta) for truth in truths]
            )
            for radius in radii
        ]
        best = radii[np.argmin(costs)]
        left.add_patch(Circle((0, 0), best, fill=False, color=colour, lw=2))
        right.plot(radii, costs, color=colour, label=f"alpha {alpha}, beta {beta}: best {best:.1f} mm")
        right.plot(best, min(costs), "o", color=colour)
        found = np.mean([((distance < best) & (truth == 1)).sum() / truth.sum() for truth in truths])
        false = np.mean([((distance < best) & (truth == 0)).sum() * spacing_mm**2 for truth in truths])
        print(
            f"tversky alpha {alpha} beta {beta}: best radius {best:.1f} mm, finds {100 * found:.0f} % of "
            f"the lesion, {false:.1f} mm2 too many"
        )
    left.set(xlabel="mm", ylabel="mm", title="21 outlines of one lesion, and the best discs")
    right.set(xlabel="radius of the predicted disc, mm", ylabel="mean tversky loss", ylim=(0, 0.6))
    left.title.set_fontsize(9)
    right.legend(frameon=False, fontsize=8)
    save(figure, "tversky-lesion")


def sums() -> None:
    target, p = lesion(2000), np.linspace(0.02, 0.98, 49)
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    parts = {
        "dice-ce": ({"ce_weight": 0.0}, {"dice_weight": 0.0}, "dice", "ce"),
        "dice-focal": ({"focal_weight": 0.0}, None, "tversky", "focal"),
    }
    for panel, (name, (region, voxel, region_name, voxel_name)) in zip(panels, parts.items(), strict=True):
        total, of_region = sweep(name, target, p)[0], sweep(name, target, p, **region)[0]
        of_voxel = total - of_region if voxel is None else sweep(name, target, p, **voxel)[0]
        panel.plot(p, total, color="black", label=name)
        panel.plot(p, of_region, color=BLUE, label=f"its {region_name} term")
        panel.plot(p, of_voxel, color=RED, label=f"its {voxel_name} term")
        panel.set(xlabel="probability p in the lesion (20 % of the image)", xlim=(0, 1), ylim=(0, 1.8))
        panel.legend(frameon=False, fontsize=8)
        i = int(np.argmin(abs(p - 0.5)))
        print(f"{name} at p = {p[i]:.2f}: {total[i]:.4f} = {of_region[i]:.4f} + {of_voxel[i]:.4f}")
    panels[0].set_ylabel("loss")
    save(figure, "sums")


def unet_border() -> None:
    spacing_mm, shape = (0.5, 0.5), (100, 160)
    i, j = np.indices(shape) * 0.5
    instances = np.zeros(shape, np.int32)
    discs = [(14, 15, 10), (16, 38, 11.5), (35, 27, 10), (36, 52, 9), (12, 62, 9), (34, 72, 6)]
    for number, (ci, cj, radius) in enumerate(discs, start=1):
        instances[(np.hypot(i - ci, j - cj) < radius) & (instances == 0)] = number
    weights = border_weights(instances, spacing_mm)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained")
    extent = (0.0, shape[1] * 0.5, shape[0] * 0.5, 0.0)
    left.imshow(
        np.ma.masked_equal(instances, 0),
        cmap="tab10",
        vmin=1,
        vmax=10,
        extent=extent,
        interpolation="nearest",
    )
    shown = right.imshow(weights, cmap="magma", extent=extent, vmin=0, vmax=10)
    right.contour(j, i, instances > 0, levels=[0.5], colors="white", linewidths=0.6)
    figure.colorbar(shown, ax=right, label="border weight (w0 = 10)")
    left.set(xlabel="mm", ylabel="mm", title="instance map")
    right.set(xlabel="mm", title="border weight, sigma = 5 mm")
    save(figure, "unet-border")
    for gap in (1.0, 5.0, 10.0, 15.0):
        print(f"border weight in the middle of a gap of {gap:.0f} mm: {10 * np.exp(-(gap**2) / 50):.2f}")
    print(f"largest border weight in the picture: {weights.max():.2f}")


def deep_supervision() -> None:
    i, j = np.indices((64, 64))
    target = (np.hypot(i - 26, j - 28) < 17).astype(int) + 2 * (np.hypot(i - 46, j - 46) < 7)
    figure, panels = plt.subplots(1, 4, figsize=(9, 2.7), layout="constrained")
    weights = 0.5 ** np.arange(4)
    weights /= weights.sum()
    for level, (panel, weight) in enumerate(zip(panels, weights, strict=True)):
        size = 64 // 2**level
        labels = nearest_labels(torch.from_numpy(target)[None], (size, size))[0].numpy()
        panel.imshow(labels, cmap="viridis", extent=(0, 64, 64, 0), interpolation="nearest")
        name = f"side-{level}" if level else "main output"
        panel.set_title(f"{name}, {size} x {size}\nweight {weight:.3f}", fontsize=9)
        panel.set(xticks=[0, 32, 64], yticks=[0, 32, 64] if level == 0 else [], xlabel="pixels")
    print("deep-supervision weights, four outputs:", ", ".join(f"{weight:.3f}" for weight in weights))
    save(figure, "deep-supervision")


def distance_losses() -> None:
    spacing_mm = (0.5, 0.5)
    i, j = np.indices((80, 100)) * 0.5
    truth = np.hypot(i - 20, j - 18) < 9
    predicted = (np.hypot(i - 20, j - 21) < 9) | (np.hypot(i - 9, j - 42) < 2.5)
    inside, outside = from_edge(truth, spacing_mm)
    phi = outside - np.maximum(inside - 0.5, 0)
    cost = (sum(from_edge(predicted, spacing_mm)) ** 2 + (inside + outside) ** 2) * (predicted != truth)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
    extent, limit = (0.0, 50.0, 40.0, 0.0), abs(phi).max()
    shown = left.imshow(phi, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=extent)
    figure.colorbar(shown, ax=left, label="signed distance phi, mm", shrink=0.9)
    shown = right.imshow(np.ma.masked_equal(cost, 0), cmap="viridis_r", extent=extent)
    figure.colorbar(shown, ax=right, label="cost of the error, mm$^2$", shrink=0.9)
    for panel, title in (
        (left, "boundary: what a probability costs"),
        (right, "hausdorff-dt: what errors cost"),
    ):
        panel.contour(j, i, truth, levels=[0.5], colors="black", linewidths=1.5)
        panel.contour(j, i, predicted, levels=[0.5], colors="black", linewidths=1.5, linestyles="--")
        panel.set(xlabel="mm", ylabel="mm", title=title)
        panel.title.set_fontsize(9)
    left.plot([], [], color="black", label="truth")
    left.plot([], [], "--", color="black", label="prediction")
    left.legend(frameon=False, fontsize=8, loc="lower right")
    save(figure, "distance-losses")
    near = predicted & (j < 36)
    for name, options in {"boundary": {"boundary_weight": 1.0}, "hausdorff-dt": {}}.items():
        of = [
            of_mask(name, mask, truth, dice_weight=0.0, spacing_mm=spacing_mm, **options)
            for mask in (near, predicted)
        ]
        dice = [of_mask("dice", mask, truth) for mask in (near, predicted)]
        print(
            f"{name} without / with the far false positive: {of[0]:.3f} / {of[1]:.3f}; "
            f"dice {dice[0]:.3f} / {dice[1]:.3f}"
        )


def from_edge(mask: Map, spacing_mm: tuple[float, float]) -> tuple[Map, Map]:
    inside, outside = edge_distances(torch.from_numpy(mask)[None, None], spacing_mm)
    return inside[0, 0].numpy(), outside[0, 0].numpy()


def cldice() -> None:
    i, j = np.indices((48, 120))
    centre = 24 + 12 * np.sin(j / 18)
    truth = abs(i - centre) <= 3
    cut = truth & ~((j >= 56) & (j < 62))
    missing = int((truth & ~cut).sum())
    rim = np.argsort(np.where(truth, centre - i, -np.inf), axis=None)[::-1][:missing]
    thinned = truth.copy()
    thinned.flat[rim] = False
    figure, panels = plt.subplots(1, 2, figsize=(9, 2.4), layout="constrained", sharey=True)
    for panel, (name, mask) in zip(panels, {"cut": cut, "thinned": thinned}.items(), strict=True):
        skeleton = soft_skeleton(torch.from_numpy(mask.astype(float))[None, None], iterations=3)[0, 0]
        panel.imshow(np.where(mask, 0.6, np.where(truth, 0.85, 1)), cmap="gray", vmin=0, vmax=1)
        panel.imshow(np.ma.masked_less(skeleton.numpy(), 0.5), cmap="autumn", vmin=0, vmax=1)
        dice = of_mask("dice", mask, truth)
        centreline = of_mask("cldice", mask, truth, dice_weight=0.0, cldice_weight=1.0)
        panel.set_title(
            f"{name}: {missing} pixels missing\nDice {dice:.3f}, clDice term {centreline:.3f}", fontsize=9
        )
        panel.set_xlabel("pixels")
        print(f"tube {name}: {missing} pixels missing, dice {dice:.3f}, cldice term {centreline:.3f}")
    panels[0].set_ylabel("pixels")
    save(figure, "cldice")


def save(figure: Any, name: str) -> None:
    figure.savefig(PICTURES / f"{name}.png", dpi=110, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    voxel_losses()
    overlap_losses()
    tversky_lesion()
    sums()
    unet_border()
    deep_supervision()
    distance_losses()
    cldice()


if __name__ == "__main__":
    main()
