"""The end of a training before its last step: its validations have long brought nothing better."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import EarlyStopping

from medseg.training.plan import Plan
from medseg.training.validation import MEAN

STEPS = "planned_steps"
"""What a checkpoint says of the plan that it was made under; ``Learner`` writes it."""


def early_stopping(plan: Plan) -> EarlyStopping:
    """What ends a training; a validation without any score counts neither way."""
    return EarlyStopping(monitor=MEAN, mode="max", patience=plan.patience, strict=False)


def has_stopped(path: Path, plan: Plan) -> bool:
    """Whether the training of a checkpoint ended early, and the plan has no more steps than it had then.

    Args:
        path: of the checkpoint, there or not.
        plan: of the training that would go on.
    """
    if not (plan.patience and path.exists()):
        return False
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    state = checkpoint["callbacks"].get(early_stopping(plan).state_key, {"wait_count": 0})
    return bool(state["wait_count"] >= plan.patience and checkpoint.get(STEPS, 0) >= plan.steps)


def wait_anew(checkpoint: dict[str, Any], plan: Plan) -> None:
    """Begin to count again where a training had ended early, or its first further epoch would be its last."""
    state = checkpoint["callbacks"].get(early_stopping(plan).state_key)
    if state and state["wait_count"] >= plan.patience:
        state["wait_count"] = 0
