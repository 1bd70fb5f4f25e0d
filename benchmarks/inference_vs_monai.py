r"""medseg's windows against MONAI's sliding_window_inference: the same module, image, threads and run.

    OMP_NUM_THREADS=2 python benchmarks/inference_vs_monai.py --size 160 --backend openvino
    OMP_NUM_THREADS=2 python benchmarks/inference_vs_monai.py --backend openvino-int8 \
        --run RUN --image sample_volumes/s1_t1_head_defaced.nii.gz --classes 4

The weights and the image are random, or those of a run of ``train_nnunet_network.sh`` and the middle of a
head. Each way runs in a process of its own, so that its peak of memory is its own, one after the other and
round by round; what counts is the least of the rounds. Seconds of the processor are those of all
threads: on a machine that others use too they are the better measure.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

import medseg
from medseg.allocator import keep_freed_blocks
from medseg.geometry import fit, reorient, resample
from medseg.inference.calibration import windows_of
from medseg.inference.labels import label_map
from medseg.inference.network import LogitsOf, central_window, stream_logits
from medseg.plugin import Windows
from medseg.registry import default_registry
from medseg.segmenter import build
from medseg.volume import Volume

ROI = (96, 96, 96)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=160, help="voxels along each axis of the network's grid")
    parser.add_argument("--home", type=int, default=240, help="voxels along each axis of the input's grid")
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument(
        "--network", default="nnunet:plain-unet", choices=["nnunet:plain-unet", "unets:unet3d"]
    )
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--run", type=Path, help="whose trained weights to take")
    parser.add_argument("--image", type=Path, help="instead of noise")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--way", help="run one way, for this script itself")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    torch.manual_seed(0)
    if given.way:
        run(given)
    else:
        compare(given)


def compare(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        ways = dict.fromkeys(("monai", "eager", given.backend))
        for way in [way for _ in range(given.rounds) for way in ways]:
            arguments = [sys.executable, __file__, *sys.argv[1:], "--way", way, "--folder", folder]
            done = subprocess.run(arguments, check=True, capture_output=True, text=True)
            row = json.loads(done.stdout.splitlines()[-1])
            known = found.get(way, row)
            found[way] = {name: min(value, known[name]) for name, value in row.items()}
            found[way]["labels"] = np.load(Path(folder) / f"{way}.npy")
    peer = found["monai"]
    print(
        f"{torch.get_num_threads()} threads, {given.network} width {given.width}, "
        f"{given.size}^3 in windows of 96^3, "
        f"overlap 0.5, Gaussian; {given.classes} classes to {given.home}^3"
    )
    print(
        f"{'':24}{'seconds':>9}{'ratio':>7}{'cpu s':>9}{'ratio':>7}{'peak MB':>9}{'ratio':>7}"
        f"{'labels equal':>14}{'least Dice':>12}"
    )
    for way, row in found.items():
        equal = float((row["labels"] == peer["labels"]).mean())
        name = "MONAI" if way == "monai" else f"medseg, {way}"
        print(
            f"{name:24}{row['seconds']:9.2f}{row['seconds'] / peer['seconds']:7.2f}"
            f"{row['processor']:9.2f}{row['processor'] / peer['processor']:7.2f}"
            f"{row['megabytes']:9.0f}{row['megabytes'] / peer['megabytes']:7.2f}{equal:14.5%}"
            f"{least_dice(row['labels'], peer['labels']):12.5f}"
        )


def run(given: argparse.Namespace) -> None:
    options = {"width": given.width} if given.network == "unets:unet3d" else nnunet_like(given.width)
    network = build(given.network, in_channels=1, out_channels=given.classes, options=options).eval()
    if given.run:
        weights = load_file(given.run / "weights.safetensors")
        network.backbone.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    image = torch.from_numpy(image_of(given))
    home = Volume(np.zeros((given.home,) * 3, np.uint8), np.eye(4))
    before = peak_megabytes()
    with torch.inference_mode():
        way = by_monai if given.way == "monai" else by_medseg
        labels, seconds, processor = way(given, network, image, home)
    np.save(given.folder / f"{given.way}.npy", labels)
    found = {"seconds": seconds, "processor": processor, "megabytes": peak_megabytes() - before}
    print(json.dumps(found))


def image_of(given: argparse.Namespace) -> NDArray[np.float32]:
    """Noise, or the middle of a head at 1.5 mm, its values from 0 to 1: (1, size, size, size)."""
    if not given.image:
        return np.random.default_rng(0).normal(size=(1, *(given.size,) * 3)).astype(np.float32)
    volume = reorient(resample(medseg.load(given.image), (1.5,) * 3)[0], "RAS")[0]
    array = np.asarray(volume.array, np.float32)
    low, high = np.percentile(array, (0.5, 99.5)).astype(np.float32)  # float64 would make the image so
    array = np.clip((array - low) / (high - low), 0, 1)
    array = np.pad(array, [(max(0, given.size - n + 1) // 2,) * 2 for n in array.shape])
    return array[None, *(slice((n - given.size) // 2, (n + given.size) // 2) for n in array.shape)]


def least_dice(labels: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Of the labels, the Dice of the one that agrees least."""
    pairs = [(labels == value, truth == value) for value in np.unique(truth) if value]
    return min(2 * float((a & b).sum()) / float(a.sum() + b.sum()) for a, b in pairs)


def nnunet_like(width: int) -> dict[str, Any]:
    """What nnU-Net plans for one channel and windows of 96^3, its features cut down to this width."""
    return {
        "features": [width * 2**level for level in range(5)],
        "kernels": [[3, 3, 3]] * 5,
        "strides": [[1, 1, 1], *([[2, 2, 2]] * 4)],
        "convs": [2] * 5,
        "decoder_convs": [2] * 4,
        "norm": "instance",
        "bias": True,
    }


def by_medseg(
    given: argparse.Namespace, network: nn.Module, image: Tensor, home: Volume
) -> tuple[np.ndarray, float, float]:
    patch = Windows(size=ROI, overlap=0.5)
    module = LogitsOf(network, (1, 1, 1), patch)
    item = default_registry().find("backend", given.way)
    lower = item.component.precision != "float32"
    call = default_registry().load(item)(
        module, windows_of(image, patch) if lower else central_window(image, patch)
    )
    grid = fit(home, image.shape[1:])[0].grid
    begin, busy = time.perf_counter(), time.process_time()
    with keep_freed_blocks():  # as medseg segment does
        labels = label_map(stream_logits(call, image, patch), grid, home.grid, range(given.classes))
    return labels.array, time.perf_counter() - begin, time.process_time() - busy


def by_monai(
    given: argparse.Namespace, network: nn.Module, image: Tensor, home: Volume
) -> tuple[np.ndarray, float, float]:
    from monai.inferers import sliding_window_inference

    del given
    begin, busy = time.perf_counter(), time.process_time()
    logits = sliding_window_inference(
        image[None], ROI, 1, lambda x: network(x).logits, overlap=0.5, mode="gaussian"
    )
    full = nn.functional.interpolate(logits, size=home.shape, mode="trilinear", align_corners=False)
    labels = full.argmax(1)[0].numpy()
    return labels, time.perf_counter() - begin, time.process_time() - busy


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
