"""medseg's training loop against a plain MONAI pipeline: the same network, augmentations and threads.

    python benchmarks/training_vs_monai.py --patch 64 --steps 24

Both train medseg's 3D U-Net with AdamW on Dice and cross-entropy, on the same volumes. Two thirds of the
patches are centred on the foreground; elastic and affine deformation, mirroring, noise, blur, brightness,
bias field, low resolution and gamma come at the same chances. MONAI's pipeline is that of its tutorials:
CacheDataset, dictionary transforms, DataLoader. Each runs in a process of its own, round by round; the first
third of the steps is not counted. "waiting" is the share of the time in which the loop has no batch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

import medseg
from medseg.testing.phantoms import make_phantom

WAYS = ("medseg", "monai")
LABELS = ["background", "ball", "egg"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--patch", type=int, default=64, help="voxels along each axis")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--width", type=int, default=8, help="first width of the network")
    parser.add_argument("--steps", type=int, default=24, help="a multiple of 3")
    parser.add_argument("--size", type=int, default=160, help="voxels along each axis of a volume")
    parser.add_argument("--workers", type=int, default=1, help="processes that make patches")
    parser.add_argument("--threads", type=int, default=2, help="of the network")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, help="run one way, for this script itself")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.way:
        found = by_medseg(given) if given.way == "medseg" else by_monai(given)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_volumes(Path(folder), given.size)
        rows: dict[str, dict[str, float]] = {}
        for way in WAYS * given.rounds:
            row = alone(way, folder, given.threads)
            if way not in rows or row["rate"] > rows[way]["rate"]:
                rows[way] = row
    print(
        f"{given.threads} threads and {given.workers} workers on {os.cpu_count()} cores; U-Net of width "
        f"{given.width}, {given.batch} patches of {given.patch}^3"
    )
    print(f"{'':10}{'patches/s':>11}{'ratio':>8}{'waiting':>9}")
    for way, row in rows.items():
        ratio = row["rate"] / rows["monai"]["rate"]
        print(f"{way:10}{row['rate']:11.3f}{ratio:8.2f}{row['waiting']:9.1%}")


def write_volumes(folder: Path, size: int) -> None:
    """Four heads' worth of voxels, and a list that both read."""
    entries = []
    for seed in range(4):
        image, truth = make_phantom(shape=(size,) * 3, seed=seed)
        for name, volume in (("image", image), ("label", truth)):
            medseg.save(volume, folder / f"{name}{seed}.nii.gz")
        entries.append({"image": f"image{seed}.nii.gz", "label": f"label{seed}.nii.gz"})
    listed = {"labels": {str(n): name for n, name in enumerate(LABELS)}, "training": entries}
    (folder / "dataset.json").write_text(json.dumps(listed))


def alone(way: str, folder: str, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--way", way, "--folder", folder]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def by_medseg(given: argparse.Namespace) -> dict[str, float]:
    from medseg.training.checking import check_dataset
    from medseg.training.machine import Machine
    from medseg.training.plan import HISTORY, Plan
    from medseg.training.reading import read_dataset
    from medseg.training.running import run_training

    dataset = read_dataset(given.folder)
    plan = Plan(
        architecture="unets:unet3d",
        options={"width": given.width, "norm": "instance"},
        loss="builtin:dice-ce",
        spacing_mm=(1.0, 1.0, 1.0),
        patch=(given.patch,) * 3,
        batch=given.batch,
        steps=given.steps,
        epoch_steps=given.steps // 3,
    )
    machine = Machine(device="cpu", workers=given.workers)
    with tempfile.TemporaryDirectory() as out:
        run_training(dataset, check_dataset(dataset), plan, Path(out), machine=machine, say=lambda _: None)
        rows = np.genfromtxt(Path(out) / HISTORY, delimiter=",", names=True)[1:]
    seconds = plan.epoch_steps * plan.batch / rows["patches_per_second"]
    return {
        "rate": float(2 * plan.epoch_steps * plan.batch / seconds.sum()),
        "waiting": float((rows["waiting"] * seconds).sum() / seconds.sum()),
    }


def by_monai(given: argparse.Namespace) -> dict[str, float]:
    warnings.filterwarnings("ignore")
    from monai import transforms as t
    from monai.data import CacheDataset, DataLoader
    from monai.losses import DiceCELoss
    from monai.utils import set_determinism

    set_determinism(0)
    both, size = ["image", "label"], (given.patch,) * 3
    listed = json.loads((given.folder / "dataset.json").read_text())["training"]
    pipeline = t.Compose(
        [
            t.LoadImaged(both),
            t.EnsureChannelFirstd(both),
            t.Orientationd(both, axcodes="RAS", labels=None),
            t.Spacingd(both, pixdim=(1.0, 1.0, 1.0), mode=("bilinear", "nearest")),
            t.ScaleIntensityRangePercentilesd(["image"], 0.5, 99.5, 0, 1, clip=True),
            t.RandCropByPosNegLabeld(both, "label", size, pos=2, neg=1, num_samples=1),
            t.Rand3DElasticd(
                both,
                sigma_range=(5, 8),
                magnitude_range=(50, 150),
                prob=0.7,
                rotate_range=(0.35,) * 3,
                shear_range=(0.1,) * 3,
                scale_range=(0.2,) * 3,
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            t.RandFlipd(both, prob=0.5, spatial_axis=0),
            t.RandGaussianNoised(["image"], prob=0.15, std=0.1),
            t.RandGaussianSmoothd(
                ["image"], prob=0.2, sigma_x=(0.4, 1.0), sigma_y=(0.4, 1.0), sigma_z=(0.4, 1.0)
            ),
            t.RandScaleIntensityd(["image"], prob=0.3, factors=0.25),
            t.RandBiasFieldd(["image"], prob=0.15, degree=2, coeff_range=(0.0, 0.15)),
            t.RandSimulateLowResolutiond(["image"], prob=0.15, zoom_range=(0.5, 1.0)),
            t.RandAdjustContrastd(["image"], prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
        ]
    )
    files = [{key: str(given.folder / entry[key]) for key in both} for entry in listed]
    # As often as it takes: an epoch of MONAI's is one patch of each volume.
    epochs = -(-given.steps * given.batch // len(files))
    cached = CacheDataset(files, pipeline, progress=False, runtime_cache=False)
    loader = DataLoader(
        torch.utils.data.ConcatDataset([cached] * epochs),
        batch_size=given.batch,
        shuffle=True,
        num_workers=given.workers,
        persistent_workers=given.workers > 0,
    )
    network = medseg.build(
        "unets:unet3d",
        in_channels=1,
        out_channels=len(LABELS),
        options={"width": given.width, "norm": "instance"},
    )
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-4)
    waited = begun = 0.0
    ready = time.perf_counter()
    for step, batch in enumerate(loader):
        if step == given.steps // 3:
            waited, begun = 0.0, ready
        waited += time.perf_counter() - ready
        optimiser.zero_grad()
        loss = loss_of(network(batch["image"].as_tensor()).logits, batch["label"].as_tensor())
        loss.backward()
        optimiser.step()
        ready = time.perf_counter()
        if step + 1 == given.steps:
            break
    counted = given.steps - given.steps // 3
    seconds = ready - begun
    return {"rate": counted * given.batch / seconds, "waiting": waited / seconds}


if __name__ == "__main__":
    main()
