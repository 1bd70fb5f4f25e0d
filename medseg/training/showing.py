"""A dataset's check and a training's plan, as people read them before it begins."""

import math

import click

from medseg.training.checking import Report
from medseg.training.dataset import Dataset
from medseg.training.plan import Plan
from medseg.training.planning import Forecast


def show_report(dataset: Dataset, report: Report) -> None:
    """Cases, labels and findings, on standard error."""
    counts = {split: sum(case.split == split for case in dataset.cases) for split in ("train", "val", "test")}
    click.echo(
        f"{dataset.name}: {counts['train']} cases to train on, {counts['val']} to validate, "
        f"{counts['test']} kept for tests",
        err=True,
    )
    for entry in dataset.labels[1:]:
        volumes = [fact.label_ml.get(entry.value, 0.0) for fact in report.facts]
        there = [ml for ml in volumes if ml]
        if there:
            span = f"{min(there):.3g} to {max(there):.3g} mL"
            click.echo(f"  {entry.value} {entry.name}: in {len(there)} cases, {span}", err=True)
    for finding in report.findings:
        click.echo(f"  {finding}", err=True)


def show_plan(plan: Plan, expected: Forecast) -> None:
    """The plan in a few lines, with the memory and the time that it will take."""
    options = "".join(f", {name}={value}" for name, value in plan.options.items())
    head = f" with the head {plan.head}" if plan.head else ""
    start = f" from the weights {plan.start[:12]}..." if plan.start else ""
    where = f" around what {plan.locator.model} finds" if plan.locator else ""
    hours = expected.hours(plan)
    time = (
        "unknown"
        if math.isnan(hours)
        else f"about {hours:.1f} h"
        if hours >= 1
        else f"about {hours * 60:.0f} min"
    )
    click.echo(
        f"network  {plan.architecture}{options}{head}: {expected.parameters:,} parameters{start}; "
        f"loss {plan.loss}\n"
        f"grid     {_times(plan.spacing_mm)} mm; patches of {_times(plan.patch)} voxels, "
        f"{plan.batch} in a step{where}\n"
        f"steps    {plan.steps} ({plan.epochs} checkpoints), learning rate {plan.learning_rate:g} "
        f"{plan.schedule}, average {plan.ema:g}, seed {plan.seed}\n"
        f"needs    {expected.memory_bytes / 1e9:.1f} GB; {time} without validation, if the computer stays as "
        "busy as it is",
        err=True,
    )


def _times(numbers: tuple[float, ...]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
