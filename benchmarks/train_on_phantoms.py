"""Does every network learn, and with every loss of the Dice and Tversky family?

    python benchmarks/train_on_phantoms.py

Each line is one training of 150 steps on textured balls and ellipsoids (32^3 voxels, two labels),
and the mean Dice of both labels on phantoms that were not trained on. Two threads, fixed seeds.
``train`` is also what the slow test calls.
"""

import sys
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from medseg import build
from medseg.plugin import Output
from medseg.registry import default_registry
from medseg.testing.phantoms import make_phantom

SHAPE = (32, 32, 32)
STEPS, BATCH = 150, 2
TRAINED, TESTED = range(12), range(1000, 1004)  # seeds of phantoms


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One training: a network with its options, and a loss with its own."""

    network: str
    options: dict[str, Any] = field(default_factory=dict)
    loss: str = "dice-ce"
    loss_options: dict[str, Any] = field(default_factory=dict)


# Narrow, so that a laptop does all of it in minutes; with the normalisation that the papers' authors
# use today, where the paper itself has none (without it 150 steps are too few for a network this deep).
NETWORKS = (
    Setting(network="unets:unet", options={"width": 8, "depth": 3, "norm": "batch", "dropout": 0.0}),
    Setting(network="unets:unet3d", options={"width": 8, "depth": 2}),
    Setting(network="unets:attention-unet", options={"width": 8, "depth": 3}),
    Setting(network="unets:unetpp", options={"width": 8, "depth": 3, "norm": "batch"}),
    Setting(
        network="unets:unetpp",
        options={"width": 8, "depth": 3, "norm": "batch", "deep_supervision": True},
        loss="deep-supervision",
    ),
    Setting(network="vnet:vnet", options={"width": 4, "norm": "batch"}),
)
SMALL = {"width": 8, "depth": 2}
LOSSES = tuple(
    Setting(network="unets:unet3d", options=SMALL, loss=loss, loss_options=options)
    for loss, options in (
        ("dice", {}),
        ("dice", {"squared": True}),
        ("iou", {}),
        ("tversky", {}),
        ("focal-tversky", {}),
        ("dice-ce", {}),
        ("dice-focal", {}),
    )
)
ALL = NETWORKS + LOSSES


def train(setting: Setting, *, steps: int = STEPS) -> float:
    """Train one setting and return the mean Dice of both labels on unseen phantoms."""
    torch.manual_seed(0)
    registry = default_registry()
    network = build(setting.network, in_channels=1, out_channels=3, options=setting.options)
    loss = registry.load(registry.find("loss", setting.loss))(**setting.loss_options)
    images, labels = _phantoms(TRAINED)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    order = np.random.default_rng(0)
    for _ in range(steps):
        chosen = order.choice(len(images), BATCH, replace=False)
        value = loss(network(images[chosen]), labels[chosen])
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return _test(network.eval())


def _phantoms(seeds: range) -> tuple[torch.Tensor, torch.Tensor]:
    made = [make_phantom(shape=SHAPE, seed=seed) for seed in seeds]
    images = np.stack([image.array[None] for image, _ in made])
    return torch.from_numpy(images), torch.from_numpy(np.stack([t.array for _, t in made])).long()


@torch.inference_mode()
def _test(network: torch.nn.Module) -> float:
    images, labels = _phantoms(TESTED)
    output: Output = network(images)
    found = output.logits.argmax(1)
    scores = [
        2 * ((found == label) & (labels == label)).sum() / ((found == label).sum() + (labels == label).sum())
        for label in (1, 2)
    ]
    return float(torch.stack(scores).mean())


def main() -> None:
    torch.set_num_threads(2)
    print("| network | options | loss | Dice on unseen phantoms | seconds |\n|---|---|---|---|---|")
    for setting in ALL:
        start = time.perf_counter()
        dice = train(setting)
        options = ", ".join(f"{k}={v}" for k, v in setting.options.items())
        loss = setting.loss + "".join(f", {k}={v}" for k, v in setting.loss_options.items())
        print(f"| {setting.network} | {options} | {loss} | {dice:.3f} | {time.perf_counter() - start:.0f} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
