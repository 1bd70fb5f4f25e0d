"""One table of all installed tissue models on one head that none of them was trained on.

    python benchmarks/leaderboard_of_models.py                         the table
    python benchmarks/leaderboard_of_models.py -o docs/reference/leaderboard.md
    python benchmarks/leaderboard_of_models.py --stability             also other resolutions and contrasts
    python benchmarks/leaderboard_of_models.py RUN...                  model folders too, say of medseg train

The head is sample S1 and its FreeSurfer surfaces. Each model runs in a process of its own, so that the
peak of memory is its own, with two threads.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import edt
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

import medseg
from medseg.geometry import resample, resample_to
from medseg.picture import draw
from medseg.plugin import Model, WholeGrid
from medseg.volume import Volume

TISSUES = ("CSF", "grey matter", "white matter")
CORTEX_MM = 5.0
THREADS = 2
DRAWN = Path(__file__).parents[1] / "docs/pictures/training"
COLUMNS = (
    *("GM Dice", "WM Dice", "GM HD95 mm", "WM HD95 mm", "brain Dice", "brain mL"),
    *("seconds", "peak MB", "parameters", "operations"),
)

PAGE = """\
# Leaderboard of the models

<!-- made by benchmarks/leaderboard_of_models.py -o; do not edit -->

One head that no model was trained on: S1, a T1-weighted MRI at 1 mm (`sample_volumes/`), {threads} threads
of a CPU. The truth is the voxels inside that subject's FreeSurfer surfaces: cortical grey matter (1), and
all inside the white surface (2), which counts ventricles and deep nuclei as 2. It has no cerebellum, no
brain stem and no CSF, so voxels outside the pial surface are not scored, and a prediction is mapped as the
truth counts: white matter is 2; grey matter is 1; and grey matter or CSF deeper than {cortex:g} mm below the
pial surface is 2, because cortex is nowhere as thick: {deeper:.2%} of the truth's own grey matter is deeper.
What a model calls background, or CSF within {cortex:g} mm of the pial surface, matches nothing.

That score ignores everything outside. So "brain" is the Dice of CSF, grey and white matter together
against the mask of `linknet:brain-mask`, which holds {mask:.0f} mL here.

{table}

The best is there twice: it averages each window over its mirror image, unless told otherwise
(`medseg segment --no-mirror`). It is the one to use on T1. Those at 2 mm learnt for less than half an hour
each, to compare networks. Seconds and memory are of one run from the loaded volume to labels on its own grid.
Operations are multiplications and additions of all windows, counted in the network alone.
"""
SHIFT = """
## The same head in other resolutions and in another contrast

Mean Dice of the three tissues between the labels of the head as it is and those of the same head resampled
to 2 mm and 3 mm, or with the intensities of the head inverted (air stays dark). No truth is involved: 1 is a
model that does not care.

{table}

## Other contrasts, by eye

`{best}` on two scans unlike what it was trained on: proton density, where grey
matter is the brighter of the two, with slices 7 mm apart; and T1 after gadolinium with a tumour, 6.5 mm
apart. The outline of the brain holds, but for the outermost slices, and below the skull parts of the neck are
called tissue. The tissues do not hold: in proton density much of the cortex is called white matter, after
gadolinium much white matter near the midline is called grey, the bright rim of the tumour white, and no model
here knows what a tumour is.

![Proton density](../pictures/training/tissues-proton-density.jpg)

![T1 after gadolinium, with a tumour](../pictures/training/tissues-tumour.jpg)
"""
PICTURES = {
    "tissues-proton-density": "dicom/head_pd_raw",
    "tissues-tumour": "tumour1_t1gd_head.nii.gz",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", help="model folders besides what is installed")
    parser.add_argument("--volume", type=Path, default=medseg.find_sample("s1_t1_head_defaced.nii.gz"))
    parser.add_argument("--truth", type=Path, default=medseg.find_sample("s1_surface_gm1_wm2.nii.gz"))
    parser.add_argument("--stability", action="store_true")
    parser.add_argument("-o", "--out", type=Path, help="write the page here")
    parser.add_argument("--one", help="run one model, for this script itself")
    parser.add_argument(
        "--mirror", action=argparse.BooleanOptionalAction, help="with --one, instead of the model's default"
    )
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    if given.one:
        print(json.dumps(run(given)))
        return
    installed = [name for name, model in medseg.models().items() if _values(model)]
    names = ["linknet:brain-mask", *installed, *given.models]
    if len(names) == 1:
        sys.exit("no tissue model is installed or given")
    rows = [_alone(name) for name in names]
    best = max(rows[1:], key=lambda row: row["gm"] + row["wm"])
    name = names[rows.index(best)]
    again = _alone(name, "--no-mirror" if best["mirrored"] else "--mirror")
    page = PAGE.format(
        threads=THREADS,
        cortex=CORTEX_MM,
        deeper=deeper_than_cortex(medseg.load(given.truth, kind="labels")),
        mask=rows[0]["ml"],
        table=_table(sorted([*rows, again], key=lambda row: -(row["gm"] or 0) - (row["wm"] or 0))),
    )
    if given.stability:
        page += SHIFT.format(table=_shift_table(rows[1:]), best=best["model"])
        if given.out:
            draw_others(name)
    print(page)
    if given.out:
        given.out.write_text(page, encoding="utf-8")


def run(given: argparse.Namespace) -> dict[str, float | str | None]:
    """One model: what it costs, and how good it is."""
    execution = medseg.Execution(mirror=given.mirror)
    loaded = medseg.load_model(given.one, device="cpu", execution=execution)
    head, truth = medseg.load(given.volume), medseg.load(given.truth, kind="labels")
    windows: list[int] = []
    result = loaded.segment(
        head, progress=lambda p: windows.append(p.total) if p.stage == "network" else None
    )
    parameters, operations = size_of(loaded.description)
    labels = result.labels
    mirrored = bool(result.provenance["execution"]["mirror"])
    asked = {None: "", True: " --mirror", False: " --no-mirror"}[given.mirror]
    row: dict[str, float | str | None] = {
        "model": (loaded.name if ":" in given.one else Path(given.one).name) + asked,
        "mirrored": mirrored,
        "architecture": " + ".join(filter(None, (loaded.description.architecture, loaded.description.head))),
        "seconds": sum(result.provenance["seconds"].values()),
        "memory": result.provenance["peak_memory_bytes"],
        "parameters": parameters,
        "operations": operations * max(windows) * (2 if mirrored else 1),  # one axis may be mirrored
        "ml": float((labels.array > 0).sum()) * labels.voxel_ml,
        **dict.fromkeys(("gm", "wm", "gm_hd95", "wm_hd95", "brain")),
    }
    values = _values(loaded.description)
    if values:
        scores = medseg.evaluate(
            as_the_truth_counts(labels, truth, values), truth, metrics=["dice", "hd95"], labels=[1, 2]
        )
        for name, label in (("gm", 1), ("wm", 2)):
            row[name] = scores.value(metric="dice", label=label)
            row[f"{name}_hd95"] = scores.value(metric="hd95", label=label)
        mask = medseg.segment(head, "linknet:brain-mask", device="cpu").labels
        row["brain"] = _dice(labels.array > 0, mask.array > 0)
        if given.stability and given.mirror is None:
            row |= {name: _stable(loaded, other, labels) for name, other in changed(head).items()}
    return row


def draw_others(model: str) -> None:
    """Pictures of volumes in other contrasts, into the documentation."""
    for name, sample in PICTURES.items():
        image = medseg.load(medseg.find_sample(sample))
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "picture.png"
            draw(image, medseg.segment(image, model, device="cpu"), picture)
            small = Image.open(picture).convert("RGB").reduce(2)
            small.save(DRAWN / f"{name}.jpg", quality=85)


def as_the_truth_counts(labels: Volume, truth: Volume, values: Sequence[int]) -> Volume:
    """Predicted tissues (CSF, GM, WM) as 1 and 2 of the surfaces; see the page."""
    csf, gm, wm = (labels.array == value for value in values)
    inside = truth.array > 0
    deep = edt.edt(inside, anisotropy=truth.spacing_mm) > CORTEX_MM
    mapped = np.zeros(truth.shape, np.uint8)
    mapped[gm] = 1
    mapped[wm | (deep & (gm | csf))] = 2
    return truth.with_array(mapped * inside)


def deeper_than_cortex(truth: Volume) -> float:
    """Share of the truth's grey matter that the mapping would take for something else."""
    depth = edt.edt(truth.array > 0, anisotropy=truth.spacing_mm)
    return float((depth[truth.array == 1] > CORTEX_MM).mean())


def size_of(model: Model) -> tuple[int, int]:
    """Parameters of a network, and operations of one window: two for each multiplication with its sum."""
    network = medseg.build(
        model.architecture,
        in_channels=len(model.input.channels),
        out_channels=len(model.labels),
        head=model.head,
        options=model.options,
        head_options=model.head_options,
    ).eval()
    patch = model.input.patch
    window = torch.zeros(
        (1, len(model.input.channels), *(patch.shape if isinstance(patch, WholeGrid) else patch.size))
    )
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(window, model.input.spacing_mm or (1.0, 1.0, 1.0))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops()


def changed(head: Volume) -> dict[str, Volume]:
    """The same head at 2 mm and 3 mm, and with the intensities of what is not air inverted."""
    values = head.array.astype(np.float32)
    high = float(np.percentile(values, 99.5))
    inverted = np.where(values > 0.1 * high, np.clip(1.1 * high - values, 0, None), values)
    return {
        "2 mm": resample(head, (2.0,) * 3, interpolation="linear")[0],
        "3 mm": resample(head, (3.0,) * 3, interpolation="linear")[0],
        "inverted": head.with_array(inverted),
    }


def _stable(loaded: medseg.LoadedModel, other: Volume, labels: Volume) -> float:
    found = resample_to(loaded.segment(other).labels, labels.grid)[0].array
    values = _values(loaded.description)
    return float(np.mean([_dice(found == value, labels.array == value) for value in values]))


def _values(model: Model) -> list[int]:
    """The labels of CSF, GM and WM; none if it is no model of tissues."""
    by_name = {label.name: label.value for label in model.labels}
    return [by_name[name] for name in TISSUES] if set(TISSUES) <= set(by_name) else []


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2 * float((a & b).sum()) / max(1, int(a.sum()) + int(b.sum()))


def _alone(name: str, *more: str) -> dict[str, float | str | None]:
    command = [sys.executable, __file__, *sys.argv[1:], *more, "--one", name]
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _table(rows: Sequence[dict[str, float | str | None]]) -> str:
    lines = [
        f"| model | network | {' | '.join(COLUMNS)} |",
        "|---|---|" + "---:|" * len(COLUMNS),
    ]
    for row in rows:
        numbers = [
            *(_spell(row[name], ".3f") for name in ("gm", "wm")),
            *(_spell(row[name], ".2f") for name in ("gm_hd95", "wm_hd95")),
            _spell(row["brain"], ".3f"),
            f"{row['ml']:.0f}",
            f"{row['seconds']:.0f}",
            f"{row['memory'] / 1e6:.0f}",
            f"{row['parameters'] / 1e6:.2f} M",
            f"{row['operations'] / 1e12:.2f} T",
        ]
        lines.append(f"| `{row['model']}` | `{row['architecture']}` | {' | '.join(numbers)} |")
    return "\n".join(lines)


def _shift_table(rows: Sequence[dict[str, float | str | None]]) -> str:
    names = ("2 mm", "3 mm", "inverted")
    lines = [f"| model | {' | '.join(names)} |", "|---|---:|---:|---:|"]
    lines += [
        f"| `{row['model']}` | {' | '.join(_spell(row[name], '.3f') for name in names)} |" for row in rows
    ]
    return "\n".join(lines)


def _spell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


if __name__ == "__main__":
    main()
