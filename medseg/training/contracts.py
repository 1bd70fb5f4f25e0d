"""The contract of what a plan trains: the same data by which any other model is described."""

import re

from medseg.errors import OptionError
from medseg.model import Input, Model, Weights, Windows
from medseg.training.dataset import Dataset, one_sided, sides_of
from medseg.training.plan import Plan
from medseg.training.synthesis import Recipe

UNSTATED = "LicenseRef-unstated"
"""Licence of weights whose data's licence nobody stated."""


def contract_of(plan: Plan, dataset: Dataset) -> Model:
    """A model as it will be, its weights not yet there."""
    cases = len(dataset.of("train"))
    painted = f", {plan.synthetic:.0%} of the patches painted from label maps" if dataset.recipe else ""
    names = ", ".join(label.name for label in dataset.labels[1:])
    return Model(
        name=_slug(dataset.name),
        summary=f"Finds {names}"[:80],
        architecture=plan.architecture,
        options=plan.options,
        head=plan.head,
        head_options=plan.head_options,
        weights=Weights(source="", sha256="0" * 64, size=0, licence=dataset.licence or UNSTATED),
        input=input_of(plan, dataset),
        labels=dataset.labels,
        post=plan.post,
        intended_use=dataset.intended_use
        or f"{names} in images like those of its training; research only, not for clinical use",
        training_data=dataset.description or f"dataset {dataset.name}: {cases} cases{painted}",
    )


def input_of(plan: Plan, dataset: Dataset) -> Input:
    """What the network expects to see.

    Raises:
        OptionError: windows are to be mirrored in use of a model that no mirrored patch was shown.
    """
    # Before scores of a mirrored window are added, those of left and right would have to change places.
    axes = (0,) if mirrors(plan, dataset) and not sides_of(dataset) else ()
    if plan.mirror_in_use and not axes:
        raise OptionError(
            "mirror_in_use is set, and this model cannot average over mirrored windows: its patches are not "
            "mirrored in training, or its classes tell left from right; leave it out"
        )
    return Input(
        channels=dataset.channels,
        spacing_mm=plan.spacing_mm,
        orientation="RAS",
        patch=Windows(size=plan.patch, overlap=0.5),
        steps=plan.intensities,
        interpolation=plan.interpolation,
        locator=plan.locator,
        mirror=axes,
        mirror_by_default=plan.mirror_in_use,
    )


def mirrors(plan: Plan, dataset: Dataset) -> bool:
    """Whether patches are mirrored: the plan, the recipe and the classes all have to allow it."""
    recipe = dataset.recipe or Recipe()
    return plan.mirror and recipe.deformation.mirror and not one_sided(dataset)


def _slug(text: str) -> str:
    """A name as components are called: lower-case letters and digits, joined by single hyphens."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    slug = "-".join(words) or "model"
    return slug if slug[0].isalpha() else f"model-{slug}"
