"""The verb: train a network on a dataset, into a folder that becomes a model."""

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from medseg.allocator import keep_freed_blocks
from medseg.atomic import write_bytes_whole
from medseg.errors import OptionError, ResourceError
from medseg.model_folder import CARD, CONTRACT, WEIGHTS, is_model_folder
from medseg.registry import Registry, default_registry
from medseg.training.checking import Report
from medseg.training.checkpoints import WholeCheckpoints, steps_done
from medseg.training.contracts import contract_of, input_of, mirrors
from medseg.training.dataset import MEANING, Dataset, meaning_of, sides_of
from medseg.training.keeping import KeepModel
from medseg.training.layout import suit_cpu
from medseg.training.learner import Learner
from medseg.training.locating import Locating, load_locating
from medseg.training.losses import make_loss
from medseg.training.machine import Machine, SamePlan
from medseg.training.patches import EpochSampler, Patches, Source, use_one_thread
from medseg.training.plan import CHECKPOINT, DATA, HISTORY, PLAN, Plan, differences, has_begun, read_plan
from medseg.training.planning import network_of, refuse_lone_patches
from medseg.training.prepared import prepare_image, prepare_regions
from medseg.training.report import History
from medseg.training.starting import Start, load_start
from medseg.training.stopping import early_stopping, has_stopped
from medseg.training.synthesis import Recipe
from medseg.training.validation import MEAN, Validation


def run_training(
    dataset: Dataset,
    report: Report,
    plan: Plan,
    out: Path,
    *,
    machine: Machine | None = None,
    start: Start | None = None,
    say: Callable[[str], None] = print,
    registry: Registry | None = None,
) -> Path:
    """Train, or go on with a training that was stopped.

    Args:
        dataset: what to learn.
        report: from its check.
        plan: how.
        out: the run's folder; if it holds a training of the same plan and data, that one goes on.
        machine: where.
        start: the model whose weights the plan names, unless this training has begun.
        say: is given a line of text for each epoch.
        registry: where to look names up; what is installed, if None.

    Returns:
        The folder, which is a model folder now.

    Raises:
        ContractError: the data must not be trained on as they are; the findings say why.
        OptionError: the folder holds a training of another plan or of other data, or one that has ended
            without a model; the plan starts from other weights than those of ``start``, or its batch is too
            small for so many devices.
        WeightsError: these do not fit the network.
    """
    registry, machine = registry or default_registry(), machine or Machine()
    report.refuse()
    _claim(out, plan, dataset, report)
    last = out / CHECKPOINT
    if has_stopped(last, plan):
        say(
            f"this training ended at step {steps_done(last)}, after {plan.patience} validations without a "
            "better score; raise --steps to go on"
        )
        return out
    model = contract_of(plan, dataset)
    locating = load_locating(plan.locator, device=machine.place, registry=registry)
    sources = _sources(dataset, report, plan, out / "prepared", registry, locating=locating)
    scored = [case for case in dataset.of("val") if case.images]
    validation = (
        Validation(scored, dataset, model, registry, pictures=out / "pictures", locating=locating)
        if scored
        else None
    )
    network = network_of(plan, dataset, registry)
    refuse_lone_patches(plan, network, apart=1 if machine.on_gpu else machine.world)
    if not last.exists() and load_start(network, start, plan, classes=len(dataset.labels)):
        say("other classes, or another head, than the model it starts from has: what scores them starts anew")
    if not machine.on_gpu:
        suit_cpu(network)
    learner = Learner(network, make_loss(plan.loss, plan.loss_options, registry), plan, validation)
    recipe = dataset.recipe or Recipe()
    recipe = replace(recipe, deformation=replace(recipe.deformation, mirror=mirrors(plan, dataset)))
    patches = Patches(sources, recipe, plan, swaps=sides_of(dataset))
    if plan.patience and not validation:
        say("no case is validated, so nothing ends this training early: mark some as val")
    history = History(plan, out, say)
    keep = KeepModel(model, out, monitor=MEAN if validation else None)
    with _quiet(), keep_freed_blocks(wanted=not machine.on_gpu):
        trainer = _trainer(plan, out, machine, validation, [history, keep])
        sampler = EpochSampler(plan, rank=trainer.global_rank, world=machine.world)
        # Lightning tells a sampler its epoch too late for what worker processes fetch ahead.
        sampler.set_epoch(steps_done(last) // plan.epoch_steps)
        numbers: Any = list(range(len(scored)))
        trainer.fit(
            learner,
            _loader(patches, plan, machine, sampler),
            DataLoader(numbers, batch_size=None) if scored else None,
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    if trainer.is_global_zero and not is_model_folder(out):  # a second computer may have another disk
        raise OptionError(
            f"the training in {out} is at its last step, {plan.steps}, and kept no weights: raise --steps to "
            "go on, or train into another folder"
        )
    return out


def _claim(out: Path, plan: Plan, dataset: Dataset, report: Report) -> None:
    """Take a folder for a training; one of the same plan and data may go on, with more steps if wished."""
    data = json.loads(json.dumps({**report.as_json(), MEANING: meaning_of(dataset)}))
    _take_folder(out)
    if has_begun(out):
        before = read_plan(out / PLAN)
        changed = differences(replace(plan, steps=before.steps), before)
        known = json.loads((out / DATA).read_text(encoding="utf-8"))
        meant = known.get(MEANING, data[MEANING])  # trainings of before do not say it
        changed += [f"{name} of the data are others" for name in meant if meant[name] != data[MEANING][name]]
        if any(known[name] != data[name] for name in report.as_json()):
            changed.append("the data are not the same")
        if changed or plan.steps < before.steps:
            changed = changed or [f"steps: {before.steps} before, {plan.steps} now"]
            raise OptionError(
                f"{out} holds a training with another plan ({'; '.join(changed)}). Give the same options to "
                "go on with it, or another folder"
            )
        _refuse_lost_checkpoints(out)
    write_bytes_whole(out / DATA, (json.dumps(data, indent=2) + "\n").encode())
    write_bytes_whole(out / PLAN, (json.dumps(plan.as_json(), indent=2) + "\n").encode())


def _take_folder(out: Path) -> None:
    """Make a run's folder, or take one that holds nothing else that a training would replace."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make the folder {out}: {error.strerror}; choose another") from error
    foreign = [name for name in (CONTRACT, WEIGHTS, CARD) if (out / name).exists()]
    if foreign and not (out / PLAN).exists():
        raise OptionError(
            f"{out} has a {foreign[0]} and is no run of medseg train, which would replace it; choose another "
            "folder"
        )


def _refuse_lost_checkpoints(out: Path) -> None:
    """Do not begin anew where a training had come far: its first epoch would take the model's place."""
    history = out / HISTORY
    if (out / CHECKPOINT).exists() or not history.exists():
        return
    epochs = history.read_text(encoding="utf-8").splitlines()[1:]
    if len(epochs) > 1:  # after the first, a kill may come between its line and its checkpoint
        raise OptionError(
            f"{out} holds a training of {len(epochs)} epochs whose checkpoint was removed: it cannot go on. "
            f"Train into another folder, which can start from this model: --from {out}"
        )


def _sources(
    dataset: Dataset,
    report: Report,
    plan: Plan,
    folder: Path,
    registry: Registry,
    *,
    locating: Locating | None,
) -> list[Source]:
    folder.mkdir(exist_ok=True)
    facts = {fact.name: fact for fact in report.facts}
    wanted = input_of(plan, dataset)
    return [
        Source(
            pictured=prepare_image(
                case,
                facts[case.name],
                dataset,
                folder,
                wanted=wanted,
                registry=registry,
                locating=locating,
            )
            if case.images and (plan.synthetic < 1 or dataset.recipe is None)
            else None,
            regions=prepare_regions(
                case,
                facts[case.name],
                dataset,
                folder,
                beyond_mm=dataset.recipe.beyond_mm,
                locating=locating,
            )
            if dataset.recipe and (plan.synthetic > 0 or not case.images)
            else None,
        )
        for case in dataset.of("train")
    ]


def _loader(patches: Patches, plan: Plan, machine: Machine, sampler: EpochSampler) -> DataLoader[Any]:
    if plan.batch % machine.world:
        raise OptionError(
            f"a batch of {plan.batch} cannot be shared by {machine.world} devices; choose a multiple"
        )
    return DataLoader(
        patches,
        batch_size=plan.batch // machine.world,
        sampler=sampler,
        num_workers=machine.workers,
        persistent_workers=machine.workers > 0,
        prefetch_factor=4 if machine.workers else None,
        worker_init_fn=use_one_thread,
        pin_memory=machine.on_gpu,
    )


def _trainer(
    plan: Plan, out: Path, machine: Machine, validation: Validation | None, callbacks: list[Callback]
) -> pl.Trainer:
    averaged: list[Callback] = [EMAWeightAveraging(device=machine.place, decay=plan.ema)] if plan.ema else []
    checkpoints = ModelCheckpoint(
        dirpath=(out / CHECKPOINT).parent,
        filename=Path(CHECKPOINT).stem,
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    stopping: list[Callback] = []
    if plan.patience and validation:
        stopping = [early_stopping(plan)]
    several = machine.world > 1
    return pl.Trainer(
        accelerator="gpu" if machine.device == "cuda" else machine.device,
        devices=machine.devices if machine.index is None else [machine.index],
        num_nodes=machine.nodes,
        strategy="ddp" if several else "auto",
        sync_batchnorm=several and machine.on_gpu,  # torch has it for GPUs alone
        precision=plan.precision,
        # Counted in epochs: Lightning, counting in steps, would begin again in the middle of an epoch.
        max_epochs=plan.epochs,
        check_val_every_n_epoch=plan.validate_every,
        num_sanity_val_steps=0,
        callbacks=[SamePlan(plan), *averaged, *callbacks, *stopping, checkpoints],
        plugins=[WholeCheckpoints()],
        logger=TensorBoardLogger(out, name="tensorboard", version=""),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # ours shares each step's patches itself
        deterministic="warn",
        default_root_dir=out,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's remarks on its own defaults, which are not the user's concern."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric")
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
