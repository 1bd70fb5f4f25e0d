"""A plan from the data: spacing, patch, depth and batch for what memory there is.

The rules are nnU-Net's (F. Isensee, P. F. Jaeger, S. A. A. Kohl, J. Petersen, K. H. Maier-Hein: nnU-Net: a
self-configuring method for deep learning-based biomedical image segmentation. Nature Methods 18, 2021,
doi:10.1038/s41592-020-01008-z): median spacing, but for a thick axis its 10th percentile; the largest patch
that fits the memory, no larger than the median image; poolings while at least four voxels are left.
"""

import copy
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from medseg.errors import MedsegError, OptionError, ResourceError
from medseg.model import StepUse
from medseg.options import check_options, options_of
from medseg.plugin import Architecture, Head, Step
from medseg.registry import Registry
from medseg.segmenter import Segmenter, build
from medseg.training.checking import CaseFacts, Report
from medseg.training.dataset import Dataset
from medseg.training.layout import suit_cpu
from medseg.training.losses import make_loss
from medseg.training.plan import Plan

CPU_WIDTH, CPU_PATCH, GPU_PATCH = 8, 96, 160
"""First width and largest patch: what a laptop can train in hours, and what a GPU can."""
THICK = 3.0  # an axis whose spacing is this many times the finest is thick
SMALLEST = 4  # voxels that the coarsest level keeps along each axis
_PROGRAM = 450_000_000  # bytes of Python, torch, MONAI and Lightning themselves
_TRIAL = 64  # voxels along each axis of the patch that is timed; what does not grow with it must be little
_SMALL = 32  # and of one that is only looked at


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a plan will need.

    Args:
        parameters: of the network.
        memory_bytes: at the peak.
        step_seconds: of one step, from a small one that was timed here; NaN if it was not.
    """

    parameters: int
    memory_bytes: int
    step_seconds: float

    def hours(self, plan: Plan) -> float:
        """Of the whole training, without validation."""
        return plan.steps * self.step_seconds / 3600


def make_plan(
    dataset: Dataset,
    report: Report,
    *,
    given: Mapping[str, Any],
    memory_bytes: int,
    on_gpu: bool,
    registry: Registry,
) -> Plan:
    """Decide what was not given.

    Args:
        dataset: its channels, labels and recipe.
        report: from the check.
        given: fields of ``Plan`` that the user decides.
        memory_bytes: that the training may take.
        on_gpu: it runs on a GPU.
        registry: where to look names up.

    Raises:
        ContractError: the data must not be trained on, so that nothing follows from them.
        OptionError: what was given does not exist, or is one patch a step for a network with batch norm.
        UnknownNameError: the same of a name.
        ResourceError: even the smallest patch does not fit.
    """
    report.refuse()
    facts = [fact for fact in report.facts if fact.split == "train"]
    values = dict(given)
    found = registry.find("architecture", values.get("architecture", "unets:unet3d"))
    values["architecture"] = found.full_name
    factory = registry.load(found)
    options = check_options(factory, values.get("options", {}), owner=f"architecture {found.full_name}")
    known = options_of(factory)
    if "norm" in known and "norm" not in options:
        options["norm"] = "instance"  # batches are too small for batch norm
    if "width" in known and "width" not in options and not on_gpu:
        options["width"] = CPU_WIDTH
    values["options"] = options
    if values.get("head"):
        head = registry.find("head", values["head"])
        values["head"] = head.full_name
        values.setdefault("loss", cast(Head, head.component).loss or "dice-ce")
    elif values.get("head_options"):
        raise OptionError("options of a head are given, and no head: name it with --head")
    values["loss"] = registry.find("loss", values.get("loss", "dice-ce"), within="builtin").full_name
    make_loss(values["loss"], values.get("loss_options", {}), registry)  # an option it has not ends this now
    if values.get("precision") == "16-mixed" and not on_gpu:
        raise OptionError("--precision 16-mixed is for GPUs; a CPU computes in 32 or bf16-mixed")
    if values.get("locator"):
        model = registry.find("model", values["locator"].model).full_name
        values["locator"] = replace(values["locator"], model=model)
    values["post"] = tuple(_post_step(use, registry) for use in values.get("post", ()))
    values.setdefault("spacing_mm", target_spacing(facts))
    values.setdefault("intensities", _intensities(dataset, facts))
    if values.get("steps", 0) > 0 and "epoch_steps" not in values:
        values["epoch_steps"] = next(
            n for n in range(min(50, values["steps"]), 0, -1) if not values["steps"] % n
        )
    divisor = cast(Architecture, found.component).divisor
    deepest = int(known["depth"].default) if "depth" in known and "depth" not in options else None
    if "patch" in values:
        plan = _with_depth(Plan(**values), deepest)
        refuse_lone_patches(plan, network_of(plan, dataset, registry))
        return plan
    plan = Plan(**values, patch=_largest_patch(facts, values["spacing_mm"], divisor, on_gpu=on_gpu))
    plan = _fit(plan, dataset, memory_bytes, deepest=deepest, divisor=divisor, registry=registry)
    refuse_lone_patches(plan, network_of(plan, dataset, registry))
    return plan


def _post_step(use: StepUse, registry: Registry) -> StepUse:
    """A step after the network by its full name."""
    name, options = use
    found = registry.find("step", name, within="builtin")
    if cast(Step, found.component).stage != "post":
        raise OptionError(f"{found.full_name} works on images before the network, not on labels after it")
    return found.full_name, check_options(registry.load(found), options, owner=f"step {found.full_name}")


def refuse_lone_patches(plan: Plan, network: Segmenter, *, apart: int = 1) -> None:
    """Refuse what learns with the statistics of one patch and predicts with others.

    Args:
        plan: how many patches a step has.
        network: which may have batch norm.
        apart: devices that share a step's patches, each with statistics of its own.

    Raises:
        OptionError: it has batch norm, and a device one patch.
    """
    if plan.batch // apart == 1 and any(isinstance(m, _BatchNorm) for m in network.modules()):
        where = "a step has 1 patch" if apart == 1 else f"each of {apart} devices has 1 patch in a step"
        raise OptionError(
            f"{plan.architecture} has batch norm, and {where}: it would learn with the statistics "
            f"of that patch and predict with averages that it never learnt with. Give --batch {2 * apart} or "
            "more, or -o norm=instance if the network has that option"
        )


def target_spacing(facts: Sequence[CaseFacts]) -> tuple[float, float, float]:
    """The spacing that the network sees: the median of the cases, finer along a thick axis."""
    spacings = np.array([fact.spacing_mm for fact in facts])
    wanted = np.median(spacings, axis=0)
    thickest = int(wanted.argmax())
    if wanted[thickest] > THICK * wanted.min():
        wanted[thickest] = max(np.percentile(spacings[:, thickest], 10), wanted.min())
    i, j, k = (round(float(mm), 4) for mm in wanted)
    return i, j, k


def forecast(plan: Plan, dataset: Dataset, *, device: torch.device, registry: Registry) -> Forecast:
    """Predict memory by counting what one step keeps, and time by taking a small one."""
    network = network_of(plan, dataset, registry)
    divisor = cast(Architecture, registry.find("architecture", plan.architecture).component).divisor
    memory = step_bytes(network, plan, len(dataset.channels), divisor=divisor)
    try:
        sizes = _small(plan.patch, divisor, _TRIAL)
        if device.type == "cpu":
            suit_cpu(network)
        seconds = _trial_seconds(network.to(device), plan, dataset, sizes=sizes, registry=registry)
    except (MedsegError, RuntimeError, ValueError):  # the network or its loss refuses a patch so small
        seconds = math.nan
    parameters = sum(p.numel() for p in network.parameters())
    return Forecast(parameters=parameters, memory_bytes=memory, step_seconds=seconds)


def network_of(plan: Plan, dataset: Dataset, registry: Registry) -> Segmenter:
    """The plan's network, its weights drawn from the plan's seed."""
    torch.manual_seed(plan.seed)
    return build(
        plan.architecture,
        in_channels=len(dataset.channels),
        out_channels=len(dataset.labels),
        head=plan.head,
        options=plan.options,
        head_options=plan.head_options,
        registry=registry,
    )


def step_bytes(network: Segmenter, plan: Plan, channels: int, *, divisor: int = 1) -> int:
    """Bytes that a training step holds at its peak.

    One forward pass on torch's ``meta`` device, where tensors have sizes but no memory, says what is kept
    for the way back. What does not run there, because it looks at values, is run on a small patch, and what
    it keeps is taken in proportion to the voxels. To that come weights, gradients, two moments and the
    moving average, and on the way back the largest tensor, its gradient and a copy in the convolution's own
    layout.

    Args:
        network: what learns.
        plan: patch, batch and precision.
        channels: of the images.
        divisor: of which the sizes of a small patch are multiples.

    Raises:
        OptionError: the patch is too small for the network.
    """
    shape = (plan.batch, channels, *plan.patch)
    try:
        sizes = _kept(copy.deepcopy(network).to("meta"), torch.empty(shape, device="meta"), plan)
    except (RuntimeError, NotImplementedError):
        small = _small(plan.patch, divisor, _SMALL)
        larger = math.prod(plan.patch) / math.prod(small)
        sizes = [n * larger for n in _kept(network, torch.rand((*shape[:2], *small)), plan)]
    except ValueError as error:  # torch's norms, where one voxel is left
        patch = " x ".join(map(str, plan.patch))
        raise OptionError(
            f"{plan.architecture} cannot be trained on patches of {patch} voxels: {error}; wanted larger ones"
        ) from error
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    halved = 1 if plan.precision == "32" else 2
    return int(_PROGRAM + 5 * weights + (sum(sizes) + 3 * max(sizes)) / halved)


def _kept(network: Segmenter, image: Tensor, plan: Plan) -> list[float]:
    """Bytes of each tensor that is kept for the way back."""
    held: list[Tensor] = []  # kept until they are counted, so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(image, plan.spacing_mm)
    storages = [tensor.untyped_storage() for tensor in held]
    return list({storage._cdata: float(storage.nbytes()) for storage in storages}.values())  # _cdata: which


def _small(patch: Sequence[int], divisor: int, size: int) -> tuple[int, ...]:
    """A patch for a trial: two voxels are left on the coarsest level, where one has no deviation."""
    return tuple(min(n, max(size, 2 * divisor)) for n in patch)


def free_bytes(device: torch.device) -> int:
    """Half of the memory that is free now: the rest is for the data and for other programs."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 10 * 9
    for line in _meminfo():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 // 2
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _meminfo() -> list[str]:
    path = Path("/proc/meminfo")
    return path.read_text(encoding="ascii").splitlines() if path.exists() else []


def _trial_seconds(
    network: Segmenter,
    plan: Plan,
    dataset: Dataset,
    *,
    sizes: Sequence[int],
    registry: Registry,
) -> float:
    """Seconds of a step, from the best of three on a small patch, in proportion to the voxels."""
    loss, device = make_loss(plan.loss, plan.loss_options, registry), next(network.parameters()).device
    image = torch.rand((plan.batch, len(dataset.channels), *sizes), device=device)
    classes = torch.randint(len(dataset.labels), (plan.batch, *sizes), device=device)
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        torch.autograd.backward(loss(network(image, plan.spacing_mm), classes))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best * math.prod(plan.patch) / math.prod(sizes)


def _intensities(dataset: Dataset, facts: Sequence[CaseFacts]) -> tuple[StepUse, ...]:
    """CT by the whole dataset, as its values have a meaning; the rest by each image.

    Painted images are mostly within 0 to 1 and know no Hounsfield units, so what they stand for is as well.
    """
    pictured = [fact.intensities[0] for fact in facts if fact.intensities]
    in_units = len(dataset.channels) == 1 and dataset.channels[0].unit == "HU" and dataset.recipe is None
    if in_units and pictured:
        low, _, high, _, deviation = (round(float(value), 4) for value in np.mean(pictured, axis=0))
        if deviation:  # what is labelled has more than one value
            # The darkest becomes 0, and not the mean: with 0 windows are filled beyond an image.
            scale = ("scale", {"factor": 1 / deviation, "offset": -low / deviation})
            return (("clip", {"low": low, "high": high}), scale)
    return (("clip-percentiles", {"low": 0.5, "high": 99.5}), ("rescale", {}))


def _largest_patch(
    facts: Sequence[CaseFacts], spacing_mm: Sequence[float], divisor: int, *, on_gpu: bool
) -> tuple[int, int, int]:
    """The median image on the network's grid, within the device's limit, in multiples of the divisor."""
    extents = np.median([np.multiply(fact.shape, fact.spacing_mm) for fact in facts], axis=0)
    limit = GPU_PATCH if on_gpu else CPU_PATCH
    sizes = np.minimum(
        np.ceil(extents / np.array(spacing_mm) / divisor) * divisor, limit // divisor * divisor
    )
    i, j, k = (int(max(n, divisor)) for n in sizes)
    return i, j, k


def _with_depth(plan: Plan, deepest: int | None) -> Plan:
    """Fewer poolings where the patch is small; as many as were given, if ``deepest`` is None."""
    if deepest is None:
        return plan
    depth = max(1, min(deepest, int(math.log2(min(plan.patch) / SMALLEST))))
    return replace(plan, options={**plan.options, "depth": depth})


def _fit(
    plan: Plan,
    dataset: Dataset,
    memory_bytes: int,
    *,
    deepest: int | None,
    divisor: int,
    registry: Registry,
) -> Plan:
    """Shrink the longest side of the patch until a step fits the memory."""
    plan = _with_depth(plan, deepest)
    channels = len(dataset.channels)
    while step_bytes(network_of(plan, dataset, registry), plan, channels, divisor=divisor) > memory_bytes:
        sizes = list(plan.patch)
        lengths = [n * mm if n > divisor else 0 for n, mm in zip(sizes, plan.spacing_mm, strict=True)]
        if not any(lengths):
            raise ResourceError(
                f"not even a patch of {' x '.join(map(str, sizes))} voxels fits into "
                f"{memory_bytes / 1e9:.1f} GB: choose a narrower network (-o width=4), or --memory"
            )
        sizes[int(np.argmax(lengths))] -= divisor
        i, j, k = sizes
        plan = _with_depth(replace(plan, patch=(i, j, k)), deepest)
    return plan
