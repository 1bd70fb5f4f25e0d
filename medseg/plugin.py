"""The whole plugin API: what a plugin says about itself, and how it is asked.

A plugin is one small module, named by an entry point in the group ``medseg``, that holds
``MEDSEG_API = 1`` and hook implementations. Every hook takes nothing and returns an iterable
of frozen *descriptions*. A description names its code by an import string
(``"package.module:name"``), so that medseg knows all that is installed without importing
torch, numpy or any network; the code is imported when a component is first used.

This module needs the standard library and pluggy, nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from medseg.component import NAME, Component
from medseg.model import (
    Channel,
    Code,
    Input,
    Label,
    Locator,
    Model,
    Part,
    Probe,
    Slices,
    StepUse,
    Weights,
    WholeGrid,
    Windows,
    label_colour,
)

if TYPE_CHECKING:  # for type checkers only: this module must import without torch
    from pathlib import Path

    from torch import Tensor

    from medseg.volume import Volume

__all__ = [
    "API_VERSION",
    "KINDS",
    "NAME",
    "Architecture",
    "Backend",
    "Channel",
    "Code",
    "Component",
    "Content",
    "Export",
    "Format",
    "Head",
    "Hooks",
    "Imported",
    "Importer",
    "Input",
    "Label",
    "Locator",
    "Loss",
    "Method",
    "Metric",
    "MetricValues",
    "Model",
    "Output",
    "Panel",
    "Part",
    "Probe",
    "Result",
    "Slices",
    "Step",
    "StepUse",
    "Weights",
    "WholeGrid",
    "Windows",
    "hookimpl",
    "label_colour",
]

Precision = Literal["float32", "float16", "bfloat16", "int8"]
"""What a network computes in."""

API_VERSION = 1
"""The integer that a plugin states as ``MEDSEG_API``; a newer plugin is refused with a sentence."""

hookspec = pluggy.HookspecMarker("medseg")
hookimpl = pluggy.HookimplMarker("medseg")


@dataclass(frozen=True, kw_only=True)
class Architecture(Component):
    """A network ``f(in_channels, out_channels, *, dims=3, **options)``: (B,C,*S) -> logits (B,K,*S).

    Args:
        dims: the numbers of spatial axes it can be built for.
        divisor: every spatial size must be a multiple of this, at the default options.
        from_file: the network is a file among the weights, and cannot be run without a model's.
        features: it also has ``num_features``, ``forward_features(x) -> (B,F,*S)`` and
            ``forward_head(features) -> logits``, so that any head can stand on it.
        attention: it also has ``gate_maps(x)``, which returns by level, the number of poolings before it,
            what passes its gate: (B,1,*S/2^level) from 0 to 1.
    """

    dims: tuple[int, ...] = (3,)
    divisor: int = 1
    from_file: bool = False
    features: bool = False
    attention: bool = False


@dataclass(frozen=True, kw_only=True)
class Head(Component):
    """What stands on a backbone, ``f(num_features, out_channels, *, dims=3, **options)``.

    The module's ``forward(features (B,F,*S), image (B,C,*S), spacing_mm)`` returns an ``Output``;
    ``spacing_mm`` is a tensor (len(S),), or (B, len(S)) where the samples differ. Where it has a method
    ``start_from(weight (K,F), bias (K,))``, a training that goes on from a network without a head tells it
    how that network scored the same features, so that it need not begin from nothing.

    Args:
        dims: the numbers of spatial axes it can be built for.
        loss: name of the loss it is meant to be trained with.
        extras: names of the further maps that its ``Output`` holds, such as ``phi``.
    """

    dims: tuple[int, ...] = (3,)
    loss: str = ""
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Loss(Component):
    """``f(**options)`` -> callable of an ``Output`` and a target (B,*S) int64 -> scalar.

    Args:
        needs: names of the extras that it reads from the output.
    """

    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Metric(Component):
    """``f(**options)`` -> callable of two label maps (predicted, truth) -> ``{label: float}``.

    Args:
        unit: ``""`` for a ratio, else ``"mm"`` or ``"ml"``.
        higher_is_better: which way is good; None for a quantity, of which no way is.
        scope: ``label``, or ``map`` for a value of the whole map, returned the same under every label.
        defined_if_empty: the value says what it says also where one side lacks the label, as a difference
            of volumes does, so that no policy for empty masks replaces it.
    """

    unit: str
    higher_is_better: bool | None
    scope: Literal["label", "map"] = "label"
    defined_if_empty: bool = False


@dataclass(frozen=True, kw_only=True)
class Format(Component):
    """A file format; ``factory`` is its reader ``read(path, *, kind, **options) -> Volume``.

    Args:
        suffixes: file name endings, with the dot, such as ``(".nii", ".nii.gz")``.
        sniff: import string of ``sniff(path) -> bool``, for files whose name says nothing.
        write: import string of ``write(volume, path) -> None``, if the format can be written.
        folders: a volume may be a folder of files, which ``sniff`` then tells by any of them.
        contents: import string of ``contents(path) -> Iterable[Content]``, if a path may hold
            several volumes of which ``read`` takes one by its option ``series``.
        isolate: read in a child process with limits on memory and time, because the decoders are
            libraries that a damaged or hostile file may crash.
        deidentify: import string of ``deidentify(source, target, **options) -> Iterable[str]``, which
            writes a copy without the patient and says what it did, if the format can hold a patient's data.
    """

    suffixes: tuple[str, ...]
    sniff: str = ""
    write: str = ""
    folders: bool = False
    contents: str = ""
    isolate: bool = False
    deidentify: str = ""


@dataclass(frozen=True, kw_only=True)
class Export(Component):
    """A result as another kind of object: ``f(result, path, *, **options) -> None``.

    ``result`` is a ``Result``. The file appears whole or not at all; ``VolumeError`` refuses a result
    that the object cannot hold.

    Args:
        suffix: what follows the case's name, with the dot, such as ``".seg.dcm"``.
        image_format: full name of the format that the image must have been read from, because the object
            refers to it, such as ``"dicom:dicom"``; empty if any will do.
    """

    suffix: str
    image_format: str = ""


@dataclass(frozen=True, kw_only=True)
class Step(Component):
    """One step before or after the network: ``f(**options)`` -> ``Volume -> (Volume, undo)``.

    Args:
        stage: on the image before the network, or on the label map after it.
        needs_image: a post step that also looks at the image: ``f(**options)`` ->
            ``(labels, image) -> (labels, undo)``, both on one grid, with the image's own values and
            spacing; of a model with several channels it is the first. It may take a keyword
            ``on_labels`` and call it, as it works, with a number of iterations and the labels then; and a
            keyword ``fixed``, a mask where the labels stay as they are. Where it takes none, the core puts
            those labels back.

    Raises:
        ValueError: a step before the network that needs an image, which it is given anyway.
    """

    stage: Literal["pre", "post"]
    needs_image: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.needs_image and self.stage == "pre":
            raise ValueError(
                f"Step {self.name!r}: a step before the network is given the image; needs_image is for steps "
                "after it"
            )


@dataclass(frozen=True, kw_only=True)
class Method(Component):
    """A way to segment without a network: ``f(**options)`` -> ``image Volume -> labels Volume``.

    It is used as a model is: by name, with options, on files and folders. The labels lie on the image's
    grid; the core checks that, and that every value is described.

    Args:
        labels: what its values mean, background included; empty where their number depends on the
            options or the image, and each value is then called by its number.
        intended_use: for the reader of its card.
    """

    labels: tuple[Label, ...] = ()
    intended_use: str = ""


@dataclass(frozen=True, kw_only=True)
class Backend(Component):
    """A way to run a module: ``f(module, example, **options)`` -> callable like the module.

    Where the factory takes a keyword ``saved``, it is told a file to keep what it made in, and to read it
    from if it is there.

    Args:
        devices: the devices it serves, such as ``("cpu", "cuda")``.
        precision: that it computes in. One of a lower precision than float32 is given several windows
            (N,C,*S) as the example: to calibrate with all but the first; its labels on all together are then
            held against float32's. Where it takes keywords ``dice`` and ``regions``, it is told the Dice that
            they must reach, and whether channels are regions with a sigmoid each.
    """

    devices: tuple[str, ...]
    precision: Precision = "float32"


@dataclass(frozen=True, kw_only=True)
class Panel(Component):
    """A form in the viewer, made from the options of a component.

    Args:
        title: heading of the panel.
        slot: ``setup``: beside the choice of a model, if ``of`` is the model's architecture; what is
            chosen are the network's options. ``result``: beside a result, if ``of`` is a step after the
            network, which a button then applies.
        of: full name of the component whose options make the form.
        asset: path inside the plugin's package of an ES module to draw with, if it has one. Its default
            export is called with ``{data, parentElement, setStateValue}``, draws into ``parentElement``,
            and says what is chosen by ``setStateValue("chosen", {name: value})``; ``data.options`` lists
            ``name``, ``type``, ``value`` and ``choices``.
    """

    factory: str = field(default="", init=False)
    title: str
    slot: Literal["setup", "result"]
    of: str
    asset: str = ""


@dataclass(frozen=True, kw_only=True)
class Importer(Component):
    """Reads another tool's model: ``f(source, name, *, **options) -> Imported``.

    ``source`` is a path, ``name`` the name that the model shall have. What the file says is read as data:
    nothing in it is run, and what cannot be reproduced is refused by its name.

    Args:
        recognise: import string of ``recognise(path) -> bool``, quick and without heavy imports.
    """

    recognise: str


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A model of another tool, as an importer read it.

    Args:
        model: its weights' source, sha256 and size are filled in when they are written.
        tensors: the network's state, strictly as the architecture names it.
        notes: what a user should know of it.
    """

    model: Model
    tensors: "Mapping[str, Tensor]" = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a head returns and a loss reads.

    Args:
        logits: raw scores (B,K,*S), never passed through softmax or sigmoid.
        extras: further maps by the names that the head's description lists, such as ``phi``.
    """

    logits: "Tensor"
    extras: Mapping[str, "Tensor"] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Content:
    """One of the volumes that a path holds, from its headers alone; no patient data.

    Args:
        number: by which ``--allow series=NUMBER`` chooses it, from 1.
        summary: one line: modality, size, number of images, what tells it from the others.
        refusal: why it would not be read as it is; empty if it would.
        aside: whether it is left out where nothing is chosen, such as a localizer.
    """

    number: int
    summary: str
    refusal: str = ""
    aside: bool = False


@dataclass(frozen=True, kw_only=True)
class MetricValues:
    """One metric of a result against a reference.

    Args:
        name: of the metric, such as ``"dice"``.
        values: by label value; a label that the metric is not defined for is left out.
        unit: ``""`` for a ratio, else ``"mm"`` or ``"ml"``.
    """

    name: str
    values: Mapping[int, float]
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished segmentation, as an export sees it.

    Args:
        labels: the label map, on the grid of the volume that was segmented.
        classes: what its values mean.
        model: full name of the model.
        provenance: JSON-able record of where the result came from.
        source: what was read: a file or a folder; None if the volume was made in memory.
        read_options: the permissions that it was read with.
        probabilities: by label value, 0 to 1, on the grid of the labels; None if they were not kept.
        metrics: how the result compares with a reference, if there is one.
    """

    labels: "Volume"
    classes: "tuple[Label, ...]"
    model: str
    provenance: Mapping[str, Any]
    source: "Path | None" = None
    read_options: Mapping[str, Any] = field(default_factory=dict)
    probabilities: "Mapping[int, Volume] | None" = None
    metrics: "tuple[MetricValues, ...]" = ()


# mypy: disable-error-code="empty-body"
# (the hook specifications below have no body by nature)


class Hooks:
    """The hooks that a plugin may implement; each takes nothing and returns descriptions."""

    @hookspec
    def medseg_architectures(self) -> Iterable[Architecture]:
        """Networks."""

    @hookspec
    def medseg_heads(self) -> Iterable[Head]:
        """Heads that stand on any network with features."""

    @hookspec
    def medseg_losses(self) -> Iterable[Loss]:
        """Training losses."""

    @hookspec
    def medseg_metrics(self) -> Iterable[Metric]:
        """Scores of a result against a reference."""

    @hookspec
    def medseg_formats(self) -> Iterable[Format]:
        """File formats."""

    @hookspec
    def medseg_exports(self) -> Iterable[Export]:
        """Other objects that a result can be written as."""

    @hookspec
    def medseg_steps(self) -> Iterable[Step]:
        """Steps before and after the network."""

    @hookspec
    def medseg_backends(self) -> Iterable[Backend]:
        """Ways to run a network."""

    @hookspec
    def medseg_models(self) -> Iterable[Model]:
        """Pretrained models."""

    @hookspec
    def medseg_methods(self) -> Iterable[Method]:
        """Ways to segment without a network."""

    @hookspec
    def medseg_importers(self) -> Iterable[Importer]:
        """Readers of other tools' models."""

    @hookspec
    def medseg_panels(self) -> Iterable[Panel]:
        """Panels of the viewer."""


KINDS: dict[str, tuple[str, type[Component]]] = {
    "architecture": ("medseg_architectures", Architecture),
    "head": ("medseg_heads", Head),
    "loss": ("medseg_losses", Loss),
    "metric": ("medseg_metrics", Metric),
    "format": ("medseg_formats", Format),
    "export": ("medseg_exports", Export),
    "step": ("medseg_steps", Step),
    "backend": ("medseg_backends", Backend),
    "model": ("medseg_models", Model),
    "method": ("medseg_methods", Method),
    "importer": ("medseg_importers", Importer),
    "panel": ("medseg_panels", Panel),
}
"""Each kind of component: its hook and its class."""
