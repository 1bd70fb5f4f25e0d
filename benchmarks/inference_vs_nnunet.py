"""medseg's command against nnU-Net's, from a cold start: the same weights, image, threads and run.

    benchmarks/peers/nnunet_environment.sh ../nnunet
    OMP_NUM_THREADS=2 python benchmarks/inference_vs_nnunet.py ../nnunet sample_volumes/HEAD.nii.gz

A model of random weights (features 16 to 256, windows of 96^3, 1.5 mm) is written with nnU-Net's own
classes, its last layer fitted so that labels are not chance. Each command then runs on a folder with the
image, on one with two copies of it, on the first again, and medseg on the file itself, which nnU-Net does not
take. "first" is the first of these, which for ``auto`` chooses the backend and keeps the compiled network;
"cold" is the last; "further" is what the second copy adds to the folder. Memory is the peak of what all
processes of a command hold together, shared pages counted once (PSS), seen four times a second.
``--cases`` compares the labels alone, over kinds of models: thick slices, transposed axes, CT, two folds;
with nnU-Net as it is, and with nnU-Net that adds its windows up in float32, not float16.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
# For --cases: name, options of the writer, folds, whether both tools mirror.
CASES = {
    "plain": ([], 1, False),
    "mirrored": ([], 1, True),
    "two folds": ([], 2, False),
    "thick": (["--spacing", "4.5", "1.5", "1.5"], 1, False),
    "transposed": (["--spacing", "1.4", "1.8", "1.5"], 1, False),
    "masked": ([], 1, False),
    "ct": ([], 1, False),
    "residual": ([], 1, False),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One command: wall seconds, processor seconds of all its processes, and the peak of their memory."""

    seconds: float
    processor: float
    megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("peer", type=Path, help="nnU-Net's environment")
    parser.add_argument("image", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--backend", action="append", help="medseg's, or a precision, such as int8; eager and auto"
    )
    parser.add_argument("--cases", nargs="*", choices=CASES, help="compare labels over these; all, if none")
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--weights", type=Path, help="of train_nnunet_network.sh, instead of random ones")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.cases is None:
            compare_speed(given, Path(folder))
        else:
            compare_labels(given, Path(folder))


def compare_speed(given: argparse.Namespace, folder: Path) -> None:
    model = write_model(given, folder / "model", "plain", [], folds=1)
    one, two = (copies(given.image, folder / str(n), n) for n in (1, 2))
    ways = {"nnU-Net": lambda i, o: nnunet(given.peer, model, i, o, folds=1, mirror=False)}
    for name in given.backend or ["eager", "auto"]:
        ways[f"medseg, {name}"] = lambda i, o, name=name: medseg(model, i, o, name, mirror=False)
    file = next(one.iterdir())
    found: dict[str, list[Run]] = {}
    for turn in range(given.rounds):
        for name, way in ways.items():
            alone = [one] if name == "nnU-Net" else [one, file]
            runs = [measure(way(i, folder / f"{turn} {n} {name}")) for n, i in enumerate((one, two, *alone))]
            print(name, [f"{run.seconds:.1f} s" for run in runs], flush=True)
            others = runs[1:]
            known = found.setdefault(name, runs)
            found[name] = [known[0], *map(least, known[1:], others)]
    truth = labels_in(folder / "0 0 nnU-Net")[0]
    peer, peer_further = found["nnU-Net"][-1], further(found["nnU-Net"])
    print(f"{os.environ.get('OMP_NUM_THREADS', 'all')} threads, {' x '.join(map(str, truth.shape))} voxels")
    heads = ("first s", "cold s", "ratio", "cpu s", "peak MB", "ratio", "further s", "ratio", "labels equal")
    print(f"{'':22}" + "".join(f"{head:>13}" for head in (*heads, "least Dice")))
    for name, runs in found.items():
        cold = runs[-1]
        labels = labels_in(folder / f"0 2 {name}")[0]
        values = [f"{runs[0].seconds:.1f}", f"{cold.seconds:.1f}", f"{cold.seconds / peer.seconds:.2f}"]
        values += [f"{cold.processor:.1f}", f"{cold.megabytes:.0f}"]
        values += [f"{cold.megabytes / peer.megabytes:.2f}", f"{further(runs):.1f}"]
        values += [f"{further(runs) / peer_further:.2f}", f"{(labels == truth).mean():.4%}"]
        values += [f"{least_dice(labels, truth):.5f}"]
        print(f"{name:22}" + "".join(f"{value:>13}" for value in values), flush=True)


def least_dice(labels: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Of the labels, the Dice of the one that agrees least."""
    pairs = [(labels == value, truth == value) for value in np.unique(truth) if value]
    return min(2 * float((a & b).sum()) / float(a.sum() + b.sum()) for a, b in pairs)


def further(runs: list[Run]) -> float:
    """Seconds that a second case adds to a folder: both cases less the one alone."""
    return runs[1].seconds - runs[2].seconds


def compare_labels(given: argparse.Namespace, folder: Path) -> None:
    image = copies(given.image, folder / "image", 1)
    for name in given.cases or CASES:
        options, folds, mirror = CASES[name]
        case = "plain" if name == "two folds" else name
        model = write_model(given, folder / name, case, options, folds=folds)
        subprocess_run(nnunet(given.peer, model, image, folder / f"{name} peer", folds=folds, mirror=mirror))
        exact = folder / f"{name} peer in float32"
        exact.mkdir()
        subprocess_run(in_float32(given.peer, model, next(image.iterdir()), exact / "c0", mirror=mirror))
        truths = [labels_in(folder / f"{name} peer")[0], labels_in(exact)[0]]
        print(f"{name:12} nnU-Net, as it is: {(truths[0] == truths[1]).mean():.5%} of nnU-Net in float32")
        for backend in given.backend or ["eager", "openvino"]:
            out = folder / f"{name} {backend}"
            subprocess_run(medseg(model, image, out, backend, mirror=mirror))
            plain, full = ((labels_in(out)[0] == truth).mean() for truth in truths)
            print(f"{name:12} medseg, {backend}: {plain:.5%} of nnU-Net, {full:.5%} in float32", flush=True)


def write_model(
    given: argparse.Namespace, folder: Path, case: str, options: list[str], *, folds: int
) -> Path:
    command = [given.peer / "bin/python", HERE / "peers/write_nnunet_model.py", given.image, folder]
    command += ["--case", case, "--folds", str(folds), "--patch", str(given.patch), *options]
    command += ["--weights", given.weights] if given.weights else []
    subprocess_run(list(map(str, command)))
    return folder


def nnunet(peer: Path, model: Path, given: Path, out: Path, *, folds: int, mirror: bool) -> list[str]:
    command = [peer / "bin/nnUNetv2_predict_from_modelfolder", "-device", "cpu", "-i", given, "-o", out]
    command += ["-m", model, "-f", *range(folds), *([] if mirror else ["--disable_tta"])]
    return list(map(str, command))


def in_float32(peer: Path, model: Path, image: Path, out: Path, *, mirror: bool) -> list[str]:
    command = [peer / "bin/python", HERE / "peers/nnunet_in_float32.py", image, model, out]
    return list(map(str, [*command, *(["--mirror"] if mirror else [])]))


def medseg(model: Path, given: Path, out: Path, backend: str, *, mirror: bool) -> list[str]:
    target = out if given.is_dir() else out / "c0.nii.gz"
    command = [Path(sys.executable).parent / "medseg", "segment", given, "-m", model, "-o", target]
    how = ["--precision" if backend in ("int8", "bfloat16", "float16") else "--backend", backend]
    return list(map(str, [*command, *how, *(["--mirror"] if mirror else [])]))


def copies(image: Path, folder: Path, count: int) -> Path:
    """A folder with an image under names that nnU-Net takes; each a case of its own."""
    folder.mkdir()
    voxels = nibabel.as_closest_canonical(nibabel.load(image))  # the axes that trained weights want
    for n in range(count):
        # A voxel within the head differs, so that no tool takes one for another, and each crops the same.
        array = np.asanyarray(voxels.dataobj).copy()
        array[tuple(size // 2 for size in array.shape)] += n
        nibabel.save(nibabel.Nifti1Image(array, voxels.affine, voxels.header), folder / f"c{n}_0000.nii.gz")
    return folder


def labels_in(folder: Path) -> list[NDArray[np.uint8]]:
    return [np.asanyarray(nibabel.load(path).dataobj) for path in sorted(folder.glob("*.nii.gz"))]


def subprocess_run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def environment() -> dict[str, str]:
    """nnU-Net's compilation is off, as it is on a CPU by default; its three folders need not exist."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    return {**os.environ, "nnUNet_compile": "f", **dict.fromkeys(names, tempfile.gettempdir())}


def measure(command: list[str]) -> Run:
    """Run a command to its end."""
    begin, before = time.perf_counter(), os.times()
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            peak[0] = max(peak[0], held_by(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    said = process.communicate()[0]
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{said.decode()[-4000:]}")
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(seconds=time.perf_counter() - begin, processor=busy, megabytes=peak[0])


def held_by(root: int) -> float:
    """Megabytes of a process and of all that it started, in whatever sessions these are."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            if entry.name.isdigit():
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, total = [root], 0.0
    for process in found:
        found += children.get(process, [])
        with contextlib.suppress(OSError):  # as above
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
            total += (
                next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1000
            )
    return total


def least(a: Run, b: Run) -> Run:
    return Run(
        seconds=min(a.seconds, b.seconds),
        processor=min(a.processor, b.processor),
        megabytes=min(a.megabytes, b.megabytes),
    )


if __name__ == "__main__":
    main()
