"""Promises of a pretrained model: the contract is complete and true, and the weights fit."""

import json
import re
from typing import cast

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from medseg.cache import cache_folder
from medseg.description import from_json, to_json
from medseg.errors import ContractError, MedsegError, ResourceError, VolumeError
from medseg.geometry import parse_orientation
from medseg.options import check_options
from medseg.plugin import Model, Step, WholeGrid
from medseg.predict import load_model
from medseg.probing import probe_dice, run_probe
from medseg.samples import find_sample
from medseg.testing.expectation import BrokenPromiseError, CannotRunError, expect
from medseg.testing.subject import Subject


def check_the_card_is_complete(subject: Subject) -> None:
    """Intended use, training data and reference are filled in; the licence is an SPDX expression."""
    model = _model(subject)
    texts = {"intended_use": model.intended_use, "training_data": model.training_data}
    empty = [name for name, text in {**texts, "reference": model.reference}.items() if not text.strip()]
    expect(
        not empty,
        got=f"nothing in {', '.join(empty)}",
        wanted="a sentence for the reader of the model's card",
        remedy="Say what it was trained on, by whom, and what it may be used for",
    )
    try:
        canonicalize_license_expression(model.weights.licence)
    except InvalidLicenseExpression as error:
        raise BrokenPromiseError(
            f"got the licence {model.weights.licence!r}; wanted an SPDX expression such as "
            f"CC-BY-NC-4.0 ({error}). See https://spdx.org/licenses for the identifiers"
        ) from error


def check_weights_are_pinned(subject: Subject) -> None:
    """The sha256 has 64 hexadecimal digits, the size is positive, the source is one that medseg reads."""
    weights = _model(subject).weights
    expect(
        re.fullmatch(r"[0-9a-f]{64}", weights.sha256) and weights.size > 0,
        got=f"sha256={weights.sha256!r} and size={weights.size}",
        wanted="64 hexadecimal digits in lower case and a number of bytes",
        remedy="sha256sum and ls -l say them",
    )
    expect(
        re.match(r"package:\w+(\.\w+)*/.|file:.|https://.", weights.source),
        got=f"source={weights.source!r}",
        wanted="package:module/path, file:path or https://...",
        remedy="Correct the source",
    )


def check_labels_are_counted_from_zero(subject: Subject) -> None:
    """Labels are 0 (background) to K - 1 in order, with names that differ and colours ``#rrggbb``."""
    labels = _model(subject).labels
    values = [label.value for label in labels]
    expect(
        len(labels) >= 2 and values == list(range(len(labels))),
        got=f"the labels {values}",
        wanted="0, 1, ... in the order of the output channels, at least two",
        remedy="Describe every channel, the background included",
    )
    names = [label.name for label in labels]
    colours = [label.colour for label in labels if not re.fullmatch(r"#[0-9a-fA-F]{6}", label.colour)]
    expect(
        len(set(names)) == len(names) and all(names) and not colours,
        got=f"the names {names} and the unusable colours {colours}",
        wanted="a different name for each label, and colours such as #e8554e",
        remedy="Correct the labels",
    )


def check_input_is_possible(subject: Subject) -> None:
    """Orientation, patch and channels can be met by a volume."""
    wanted = _model(subject).input
    try:
        if wanted.orientation != "stored":
            parse_orientation(wanted.orientation)
    except (MedsegError, ValueError) as error:
        raise BrokenPromiseError(f"{error}. Correct the contract's orientation") from error
    patch = wanted.patch
    size = patch.shape if isinstance(patch, WholeGrid) else patch.size
    overlap = 0.0 if isinstance(patch, WholeGrid) else patch.overlap
    expect(
        min(size) > 0 and 0 <= overlap < 1 and wanted.channels,
        got=f"{patch} and {len(wanted.channels)} channels",
        wanted="positive sizes, 0 <= overlap < 1 and at least one channel",
        remedy="Correct the contract's input",
    )


def check_names_are_installed(subject: Subject) -> None:
    """Architecture, head, steps and locator are installed and take the options that are given.

    Steps before the network are of the stage ``pre``, those after it of the stage ``post``.
    """
    model, within = _model(subject), subject.registered.plugin
    uses = [("architecture", model.architecture, model.options)]
    uses += [("head", model.head, model.head_options)] if model.head else []
    uses += [("step", name, options) for name, options in (*model.input.steps, *model.post)]
    try:
        for kind, name, options in uses:
            found = subject.registry.find(kind, name, within=within)
            check_options(subject.registry.load(found), options, owner=f"{kind} {found.full_name}")
        if model.input.locator:
            subject.registry.find("model", model.input.locator.model, within=within)
    except MedsegError as error:
        raise BrokenPromiseError(f"{error} Correct the name or the option in the contract") from error
    for stage, steps in (("pre", model.input.steps), ("post", model.post)):
        for name, _ in steps:
            step = cast(Step, subject.registry.find("step", name, within=within).component)
            expect(
                step.stage == stage,
                got=f"the {step.stage} step {name} among the {stage} steps",
                wanted=f"steps of the stage {stage}",
                remedy="Intensity steps belong into input.steps, steps on label maps into post",
            )


def check_contract_survives_json(subject: Subject) -> None:
    """The description written as JSON and read back is the same."""
    model = _model(subject)
    try:
        before = json.dumps(to_json(model), allow_nan=False)
        after = json.dumps(to_json(from_json(json.loads(before))))
    except (TypeError, ValueError) as error:
        raise BrokenPromiseError(
            f"the description does not go into JSON and back: {error}. Use finite numbers, text, tuples"
        ) from error
    expect(after == before, got=after, wanted=before, remedy="Use finite numbers, text, tuples")


def check_weights_fit(subject: Subject) -> None:
    """The file has the size and sha256 that are stated, and loads strictly, the locator's too.

    Weights that are still to be fetched are not fetched for this.
    """
    _expect_here(subject)
    try:
        load_model(subject.name, device="cpu", registry=subject.registry)
    except MedsegError as error:
        raise BrokenPromiseError(
            f"the model does not load: {error}. Correct the contract or the file"
        ) from error


def check_probe_is_met(subject: Subject) -> None:
    """If there is a ``probe``, the model reaches its Dice on its sample, within the tolerance."""
    probe = _model(subject).probe
    if probe is None:
        return
    _expect_here(subject)
    try:
        find_sample(probe.volume), find_sample(probe.truth)
    except ResourceError as error:
        raise CannotRunError(str(error)) from error
    try:
        dice = probe_dice(run_probe(probe, subject.name, registry=subject.registry), probe)
    except (ContractError, VolumeError) as error:
        raise BrokenPromiseError(
            f"the probe is refused: {error}. Correct the contract or the probe"
        ) from error
    expect(
        abs(dice - probe.dice) <= probe.tolerance,
        got=f"a Dice of {dice:.4f} for label {probe.label} on {probe.volume}",
        wanted=f"{probe.dice} within {probe.tolerance}",
        remedy="Either the weights, a step or the probe has changed",
    )


def _model(subject: Subject) -> Model:
    return cast(Model, subject.component)


def _expect_here(subject: Subject) -> None:
    weights = _model(subject).weights
    if (
        weights.source.startswith("https:")
        and not (cache_folder("weights") / f"{weights.sha256}.safetensors").exists()
    ):
        raise CannotRunError(f"the weights have not been fetched yet; use {subject.name} once")
