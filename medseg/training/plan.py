"""What a training will do, decided before it begins, shown, and kept with the result."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from medseg.errors import ContractError, OptionError
from medseg.model import Locator, StepUse

PLAN, DATA, HISTORY, CHECKPOINT = "plan.json", "data.json", "history.csv", "checkpoints/last.ckpt"
"""Files of a run's folder: the plan, the facts of the data, what each epoch was like, and where it stands."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides a training, apart from its data.

    Args:
        architecture, head, loss: components by full name; no head for the network's own last layer.
        options, head_options, loss_options: theirs.
        spacing_mm: of the grid that the network sees, along R, A, S.
        patch: voxels of a training patch and of a window afterwards.
        intensities: steps on each channel, as in a contract.
        interpolation: how images are resampled to ``spacing_mm``.
        locator: the model, by full name, around whose mask the network sees; None for all of an image.
        post: steps on the labels after the network, as in a contract.
        batch: patches in a step, over all devices.
        steps: of the optimiser, in all; a multiple of ``epoch_steps``.
        epoch_steps: between two checkpoints.
        validate_every: epochs between two validations; the last epoch is validated too.
        patience: validations without a better score after which training stops; 0 goes on to the end.
        learning_rate: at its height.
        schedule: how it falls: ``poly`` (power 0.9), ``cosine`` or ``constant``.
        warmup: steps in which it rises.
        weight_decay: of AdamW.
        ema: decay of the moving average of the weights that is kept; 0 keeps the last weights.
        foreground: share of the patches that are centred on a voxel that is learnt.
        mirror: patches are mirrored along the first axis half the time.
        mirror_in_use: the model averages over mirrored windows, unless its user says otherwise.
        synthetic: share of the patches that are painted, of cases that have an image as well.
        seed: of weights and samples.
        start: sha256 of the weights that it starts from; empty for random ones.
        precision: ``32``, ``bf16-mixed`` or ``16-mixed``.

    Raises:
        OptionError: a number that is out of range.
    """

    architecture: str
    loss: str
    spacing_mm: tuple[float, float, float]
    patch: tuple[int, int, int]
    head: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    head_options: Mapping[str, Any] = field(default_factory=dict)
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    intensities: tuple[StepUse, ...] = (("clip-percentiles", {}), ("rescale", {}))
    interpolation: Literal["nearest", "linear", "cubic"] = "linear"
    locator: Locator | None = None
    post: tuple[StepUse, ...] = ()
    batch: int = 2
    steps: int = 1000
    epoch_steps: int = 50
    validate_every: int = 1
    patience: int = 0
    learning_rate: float = 2e-3
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    warmup: int = 20
    weight_decay: float = 1e-4
    ema: float = 0.99
    foreground: float = 0.67
    mirror: bool = True
    mirror_in_use: bool = False
    synthetic: float = 0.5
    seed: int = 0
    start: str = ""
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"

    def __post_init__(self) -> None:
        for name in ("batch", "steps", "epoch_steps", "validate_every"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        for name in ("seed", "patience", "warmup"):
            if getattr(self, name) < 0:
                raise OptionError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if not all(0 < mm < math.inf for mm in self.spacing_mm):
            raise OptionError(f"spacing_mm is {self.spacing_mm}; wanted three numbers of mm above 0")
        if self.seed >= 2**63:
            raise OptionError(f"seed is {self.seed}; it must be below 2**63")
        if not 0 < self.learning_rate < math.inf:
            raise OptionError(f"learning_rate is {self.learning_rate}; wanted a number above 0")
        for name in ("foreground", "synthetic"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}; it is a share, 0 to 1")
        if not 0 <= self.ema < 1:
            raise OptionError(f"ema is {self.ema}; wanted 0 (off) or a decay below 1, such as 0.99")
        if self.steps % self.epoch_steps:
            raise OptionError(
                f"steps ({self.steps}) must be a multiple of epoch_steps ({self.epoch_steps}): checkpoints "
                "are written after whole epochs"
            )

    @property
    def epochs(self) -> int:
        """How often a checkpoint is written."""
        return self.steps // self.epoch_steps

    def as_json(self) -> dict[str, Any]:
        """Plain values; ``read_plan`` reads them back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def read_plan(path: Path) -> Plan:
    """A plan from the file in a run's folder.

    Raises:
        ContractError: it is none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data |= {key: tuple(data[key]) for key in ("spacing_mm", "patch")}
        for key in ("intensities", "post"):  # runs from before there was a choice have no post
            data[key] = tuple((name, options) for name, options in data.get(key, ()))
        data["locator"] = Locator(**data["locator"]) if data.get("locator") else None
        return Plan(**data)
    except (ValueError, TypeError, KeyError) as error:
        raise ContractError(f"{path} is no plan of a training: {error}") from error


def taken_up(folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the user decides of a plan, and of a training that a folder holds all that was decided there.

    So the same command goes on with it though there is now less memory free than there was; whatever is
    given anew is compared with the plan before when the training takes its folder.

    Args:
        folder: of the run, there or not.
        given: fields of ``Plan``.

    Raises:
        ContractError: its plan cannot be read.
    """
    path = folder / PLAN
    if not has_begun(folder):
        return dict(given)
    before = read_plan(path)
    options = ("options", "head_options", "loss_options")
    merged = {name: {**getattr(before, name), **given[name]} for name in options if name in given}
    return {f.name: getattr(before, f.name) for f in fields(Plan)} | dict(given) | merged


def has_begun(folder: Path) -> bool:
    """Whether a folder holds a training that came as far as its first checkpoint."""
    return (folder / PLAN).exists() and ((folder / HISTORY).exists() or (folder / CHECKPOINT).exists())


def differences(ours: Plan, theirs: Plan) -> list[str]:
    """The fields in which two plans differ, as people read them."""
    a, b = ours.as_json(), theirs.as_json()
    return [
        f"{f.name}: {b[f.name]!r} before, {a[f.name]!r} now" for f in fields(Plan) if a[f.name] != b[f.name]
    ]
