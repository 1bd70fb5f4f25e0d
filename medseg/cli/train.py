"""medseg train: from volumes and labels to a model."""

import os
from pathlib import Path
from typing import Any

import click

from medseg.cli.document import as_json, print_json
from medseg.cli.options import EXISTING, allow_option, device_option, out_and_options


@click.command()
@click.argument("data", type=EXISTING, metavar="DATA")
@click.option(
    "-o",
    "--out",
    "outs",
    multiple=True,
    required=True,
    metavar="RUN",
    help="Folder of the run, which becomes the model. Given again as NAME=VALUE, an option of the network; "
    "see: medseg plugin list --kind architecture.",
)
@click.option("--root", type=EXISTING, help="What the paths in DATA are relative to; DATA's own folder.")
@allow_option
@click.option(
    "--from",
    "start",
    metavar="MODEL",
    help="Name or folder of a model whose network and weights to start from; random weights.",
)
@click.option("--architecture", help="A network's name.  [default: unets:unet3d]")
@click.option("--head", help="Name of a head that stands on the network.")
@click.option("--head-option", "head_options", multiple=True, metavar="NAME=VALUE", help="Of the head.")
@click.option("--loss", help="A loss's name; the head's own, or dice-ce.")
@click.option("--loss-option", "loss_options", multiple=True, metavar="NAME=VALUE", help="Of the loss.")
@click.option("--spacing", metavar="MM", help="Of the network's grid, such as 1.5 or 1,1,3; from the data.")
@click.option("--patch", metavar="VOXELS", help="Such as 64 or 96,96,48; as large as the memory allows.")
@click.option(
    "--locator",
    metavar="MODEL",
    help="Name of a model that runs first; only what lies around its label 1 is shown to the network.",
)
@click.option(
    "--post",
    multiple=True,
    metavar="STEP",
    help="Name of a step on the labels after the network, such as main-body; may be given again.",
)
@click.option("--batch", type=int, help="Patches in a step.  [default: 2]")
@click.option("--steps", type=int, help="Of the optimiser.  [default: 1000]")
@click.option("--epoch-steps", type=int, help="Between two checkpoints.  [default: 50]")
@click.option(
    "--validate-every", type=int, help="Epochs between validations; also after the last.  [default: 1]"
)
@click.option("--patience", type=int, help="Stop after so many validations without a better score.")
@click.option("--learning-rate", type=float, help="At its height.  [default: 0.002]")
@click.option(
    "--schedule", type=click.Choice(["poly", "cosine", "constant"]), help="How it falls.  [default: poly]"
)
@click.option("--ema", type=float, help="Decay of the average of the weights; 0: none.  [default: 0.99]")
@click.option(
    "--synthetic", type=float, help="Share of painted patches, if DATA has a synthesis.  [default: 0.5]"
)
@click.option("--foreground", type=float, help="Share of patches centred on what is learnt.  [default: 0.67]")
@click.option("--no-mirror", is_flag=True, help="Never mirror left and right.")
@click.option(
    "--mirror-in-use",
    is_flag=True,
    default=None,
    help="The model averages over mirrored windows unless told otherwise: twice the work.",
)
@click.option(
    "--precision",
    type=click.Choice(["32", "bf16-mixed", "16-mixed"]),
    help="Of the arithmetic.  [default: 32]",
)
@click.option("--seed", type=int, help="Of weights and patches.  [default: 0]")
@click.option("--memory", metavar="SIZE", help="That a step may take, such as 4GiB; half of what is free.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=1, show_default=True, help="Processes that make patches."
)
@click.option(
    "--devices", type=click.IntRange(min=1), default=1, show_default=True, help="GPUs in this computer."
)
@click.option(
    "--nodes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Computers; start the command on each.",
)
@device_option
@click.option("--plan-only", is_flag=True, help="Check the data, show the plan, and stop.")
@as_json
def train(
    *,
    data: Path,
    outs: tuple[str, ...],
    root: Path | None,
    allow: tuple[str, ...],
    start: str | None,
    memory: str | None,
    workers: int,
    devices: int,
    nodes: int,
    device: str,
    plan_only: bool,
    json_: bool,
    **chosen: Any,
) -> None:
    """Train a network on the volumes and labels of DATA; a run that was stopped goes on.

    DATA is a folder with images and labels, a list of cases (medseg's JSON or CSV, a decathlon list), or an
    nnU-Net dataset. RUN is a model when it is done: medseg segment IMAGE -m RUN -o OUT.
    """
    # Before torch is loaded: a thread that waits sleeps, and leaves its core to what makes patches.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    out, options = out_and_options(outs)
    from medseg.inference.memory import parse_bytes
    from medseg.model_folder import is_model_folder
    from medseg.options import parse_pairs
    from medseg.predict import choose_device
    from medseg.registry import default_registry
    from medseg.training.checking import check_dataset
    from medseg.training.dataset import with_validation
    from medseg.training.machine import Machine, has_leader, local_rank
    from medseg.training.plan import PLAN, read_plan, taken_up
    from medseg.training.planning import forecast, free_bytes, make_plan
    from medseg.training.reading import read_dataset
    from medseg.training.running import run_training
    from medseg.training.showing import show_plan, show_report
    from medseg.training.starting import find_start

    registry = default_registry()
    begun = find_start(start, registry=registry) if start else None
    dataset = with_validation(read_dataset(data, root=root, permissions=parse_pairs(allow, flag="--allow")))
    report = check_dataset(dataset)
    show_report(dataset, report)
    place = choose_device(device)
    machine = Machine(device=place.type, index=place.index, devices=devices, nodes=nodes, workers=workers)
    if has_leader():
        plan = read_plan(out / PLAN)
    else:
        plan = make_plan(
            dataset,
            report,
            given=taken_up(out, _with_start(begun.fields if begun else {}, _given(options, chosen))),
            memory_bytes=parse_bytes(memory) if memory else free_bytes(place),
            on_gpu=place.type == "cuda",
            registry=registry,
        )
        expected = forecast(plan, dataset, device=place, registry=registry)
        show_plan(plan, expected)
    if not plan_only:
        run_training(
            dataset,
            report,
            plan,
            out,
            machine=machine,
            start=begun,
            say=lambda line: click.echo(line, err=True),
            registry=registry,
        )
        if is_model_folder(out):  # not on a second computer, unless they share the disk
            click.echo(f"{out} is a model now: medseg segment IMAGE -m {out} -o OUT", err=True)
    if json_ and not local_rank():
        print_json(
            {
                "run": None if plan_only else str(out),
                "plan": plan.as_json(),
                "parameters": expected.parameters,
                "memory_bytes": expected.memory_bytes,
                "step_seconds": expected.step_seconds,
                "findings": [str(finding) for finding in report.findings],
            }
        )


def _given(options: dict[str, str], chosen: dict[str, Any]) -> dict[str, Any]:
    """What the user decided of the plan; the rest follows from the data."""
    from medseg.options import parse_pairs

    numbers = {"spacing": float, "patch": int}
    given: dict[str, Any] = {
        name: value
        for name, value in chosen.items()
        if value not in (None, ()) and name not in ("no_mirror", *numbers)
    }
    for name in ("head_options", "loss_options"):
        if name in given:
            given[name] = parse_pairs(given[name], flag=f"--{name[:-1].replace('_', '-')}", example="lam=1")
    if chosen["post"]:
        given["post"] = tuple((name, {}) for name in chosen["post"])
    if chosen["locator"]:
        from medseg.model import Locator

        given["locator"] = Locator(model=chosen["locator"])
    if chosen["spacing"]:
        given["spacing_mm"] = _triple(chosen["spacing"], float, "--spacing")
    if chosen["patch"]:
        given["patch"] = _triple(chosen["patch"], int, "--patch")
    if chosen["no_mirror"]:
        given["mirror"] = False
    return given | ({"options": options} if options else {})


def _with_start(fields: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What follows from the model to start from, under what the user decides; options one by one."""
    options: dict[str, Any] = {
        name: {**fields[name], **given.get(name, {})}
        for name in ("options", "head_options")
        if name in fields
    }
    return {**fields, **given, **options}


def _triple(text: str, kind: Any, flag: str) -> tuple[Any, Any, Any]:
    """``"64"`` for all three axes, or ``"96,96,48"``."""
    from medseg.errors import OptionError

    try:
        parts = [kind(part) for part in text.split(",")]
    except ValueError:
        parts = []
    if len(parts) not in (1, 3) or any(part <= 0 for part in parts):
        raise OptionError(f"{flag} {text}: wanted one number above 0, or three with commas, along R, A, S")
    i, j, k = parts * 3 if len(parts) == 1 else parts
    return i, j, k
