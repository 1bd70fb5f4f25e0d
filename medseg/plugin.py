"""The whole plugin API: what a plugin says about itself, and how it is asked.

A plugin is one small module, named by an entry point in the group ``medseg``, that holds
``MEDSEG_API = 1`` and hook implementations. Every hook takes nothing and returns an iterable
of frozen *descriptions*. A description names its code by an import string
(``"package.module:name"``), so that medseg knows all that is installed without importing
torch, numpy or any network; the code is imported when a component is first used.

This module needs the standard library and pluggy, nothing else.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from medseg.fields import check_fields

if TYPE_CHECKING:  # for type checkers only: this module must import without torch
    from pathlib import Path

    from torch import Tensor

    from medseg.volume import Volume

API_VERSION = 1
"""The integer that a plugin states as ``MEDSEG_API``; a newer plugin is refused with a sentence."""

hookspec = pluggy.HookspecMarker("medseg")
hookimpl = pluggy.HookimplMarker("medseg")

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_IMPORT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

Triple = tuple[float, float, float]
Shape = tuple[int, int, int]
StepUse = tuple[str, Mapping[str, Any]]
"""A step by name with its options: ``("clip", {"low": -57, "high": 164})``."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """What every component says of itself; its fields are checked when it is made.

    Args:
        name: lower case, digits and single hyphens, such as ``attention-unet``.
        factory: import string of the code, ``"package.module:name"``.
        summary: one line of at most 80 characters for tables and menus.
        reference: the paper or document it follows (authors, year, doi).

    Raises:
        TypeError: a field holds something else than its annotation says.
        ValueError: a name or an import string that is not allowed.
    """

    name: str
    factory: str
    summary: str
    reference: str = ""

    def __post_init__(self) -> None:
        check_fields(self, owner=f"{type(self).__name__} {self.name!r}")
        if not NAME.fullmatch(self.name.replace(".", "-")):
            raise ValueError(
                f"{type(self).__name__} name {self.name!r} is not allowed: use lower-case letters "
                "and digits, joined by single hyphens or dots, beginning with a letter"
            )
        if self.factory and not _IMPORT.fullmatch(self.factory):
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: factory {self.factory!r} is not an import "
                'string; write "package.module:name"'
            )


@dataclass(frozen=True, kw_only=True)
class Architecture(Component):
    """A network ``f(in_channels, out_channels, *, dims=3, **options)``: (B,C,*S) -> logits (B,K,*S).

    Args:
        dims: the numbers of spatial axes it can be built for.
        divisor: every spatial size must be a multiple of this, at the default options.
        features: it also has ``num_features``, ``forward_features(x) -> (B,F,*S)`` and
            ``forward_head(features) -> logits``, so that any head can stand on it.
    """

    dims: tuple[int, ...] = (3,)
    divisor: int = 1
    features: bool = False


@dataclass(frozen=True, kw_only=True)
class Head(Component):
    """What stands on a backbone, ``f(num_features, out_channels, *, dims=3, **options)``.

    The module's ``forward(features (B,F,*S), image (B,C,*S), spacing_mm)`` returns an ``Output``.

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
    """``f(**options)`` -> callable of (predicted, truth) volumes -> one value for each label.

    Args:
        unit: ``""`` for a ratio, else ``"mm"`` or ``"ml"``.
        higher_is_better: which way is good.
    """

    unit: str
    higher_is_better: bool


@dataclass(frozen=True, kw_only=True)
class Format(Component):
    """A file format; ``factory`` is its reader ``read(path, *, kind, **options) -> Volume``.

    Args:
        suffixes: file name endings, with the dot, such as ``(".nii", ".nii.gz")``.
        sniff: import string of ``sniff(path) -> bool``, for files whose name says nothing.
        write: import string of ``write(volume, path) -> None``, if the format can be written.
        isolate: read in a child process with limits on memory and time, because the decoders are
            libraries that a damaged or hostile file may crash.
    """

    suffixes: tuple[str, ...]
    sniff: str = ""
    write: str = ""
    isolate: bool = False


@dataclass(frozen=True, kw_only=True)
class Export(Component):
    """A result as another kind of object: ``f(result, path, *, **options) -> None``.

    ``result`` is a ``Result``. The file appears whole or not at all; ``VolumeError`` refuses a result
    that the object cannot hold.

    Args:
        suffix: what follows the case's name, with the dot, such as ``".seg.dcm"``.
    """

    suffix: str


@dataclass(frozen=True, kw_only=True)
class Step(Component):
    """One step before or after the network: ``f(**options)`` -> ``Volume -> (Volume, undo)``."""

    stage: Literal["pre", "post"]


@dataclass(frozen=True, kw_only=True)
class Backend(Component):
    """A way to run a module: ``f(module, example, **options)`` -> callable like the module.

    Args:
        devices: the devices it serves, such as ``("cpu", "cuda")``.
    """

    devices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Panel(Component):
    """A form in the viewer, made from the options of a component.

    Args:
        title: heading of the panel.
        slot: where it appears.
        of: full name of the component whose options make the form.
        asset: path inside the plugin's package of an ES module to draw with, if it has one.
    """

    title: str
    slot: Literal["setup", "result"]
    of: str
    asset: str = ""


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
class Result:
    """A finished segmentation, as an export sees it.

    Args:
        labels: the label map, on the grid of the volume that was segmented.
        classes: what its values mean.
        model: full name of the model.
        provenance: JSON-able record of where the result came from.
        source: what was read: a file or a folder; None if the volume was made in memory.
        read_options: the permissions that it was read with.
    """

    labels: "Volume"
    classes: "tuple[Label, ...]"
    model: str
    provenance: Mapping[str, Any]
    source: "Path | None" = None
    read_options: Mapping[str, Any] = field(default_factory=dict)


# --- The contract of a pretrained model: data, from which the core makes the preprocessing. -----


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One input channel: its name, its DICOM modality (``CT``, ``MR``, ``PT``) and its unit."""

    name: str
    modality: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The network slides over the volume, resampled to the contract's spacing.

    Args:
        size: voxels of one window along each axis: i, j, k.
        overlap: fraction of a window shared with the next, 0 <= overlap < 1.
        blend: weight of a window's voxels in the sum.
    """

    size: tuple[int, ...]
    overlap: float = 0.5
    blend: Literal["gaussian", "constant"] = "gaussian"


@dataclass(frozen=True, kw_only=True)
class Slices:
    """A 2-D network runs over the volume slice by slice, with windows inside each slice.

    Args:
        axis: the array axis that is cut, 0, 1 or 2, in the contract's orientation.
        size: of the window inside a slice, along the two axes that are left, in their order.
        neighbours: slices on each side that are further input channels (2.5-D); the network has
            (2 * neighbours + 1) input channels for each channel of the image.
        overlap: fraction of a window shared with the next, 0 <= overlap < 1.
        blend: weight of a window's pixels in the sum.
    """

    axis: Literal[0, 1, 2]
    size: tuple[int, int]
    neighbours: int = 0
    overlap: float = 0.5
    blend: Literal["gaussian", "constant"] = "gaussian"


@dataclass(frozen=True, kw_only=True)
class WholeGrid:
    """The network sees the whole field of view (or the located part), fitted to one grid.

    Args:
        shape: voxels of that grid, along i, j, k.
        interpolation: how the image is brought to it.
    """

    shape: Shape
    interpolation: Literal["nearest", "linear", "cubic"] = "linear"


@dataclass(frozen=True, kw_only=True)
class Locator:
    """Another model runs first, and the box around its mask is all that this model sees.

    Args:
        model: its name in the same plugin, or its full name.
        label: the label whose largest component is boxed.
        margin: added on each side, as a fraction of the box's size.
    """

    model: str
    label: int = 1
    margin: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Input:
    """What the network expects to see; geometry and order are never guessed.

    Args:
        channels: one for each input channel, in order.
        spacing_mm: voxel size to resample to, along i, j, k; None where a grid is fitted instead, or
            where the network takes any spacing as it comes.
        orientation: axis codes of the array that the network sees, such as ``"RAS"``.
        patch: sliding windows, slices of a 2-D network, or one whole grid.
        steps: intensity steps, in order, on each channel after the geometry.
        interpolation: how the image is resampled to ``spacing_mm``.
        locator: the model that says where to look, if there is one.
    """

    channels: tuple[Channel, ...]
    spacing_mm: Triple | None
    orientation: str
    patch: Windows | Slices | WholeGrid
    steps: tuple[StepUse, ...] = ()
    interpolation: Literal["nearest", "linear", "cubic"] = "cubic"
    locator: Locator | None = None


@dataclass(frozen=True, kw_only=True)
class Code:
    """A term of a coding scheme, such as ``Code(scheme="SCT", value="12738006", meaning="Brain")``."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Label:
    """One class of the result; value 0 is the background.

    Args:
        value: its number in the label map.
        name: for people.
        colour: ``"#rrggbb"``.
        category, type: terms for DICOM SEG (segmented property category and type).
    """

    value: int
    name: str
    colour: str
    category: Code | None = None
    type: Code | None = None


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where a model's safetensors file is and how to know that it is the right one.

    Args:
        source: ``package:module/path`` inside an installed package, ``file:`` path or ``https:`` URL.
        sha256: 64 hexadecimal digits.
        size: bytes.
        licence: SPDX expression.
    """

    source: str
    sha256: str
    size: int
    licence: str


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A check that the model still works: on this sample, expect this Dice for this label."""

    volume: str
    truth: str
    label: int
    dice: float
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class Model(Component):
    """A pretrained model: an architecture by name, weights, and the contract of its input.

    ``architecture``, ``head`` and ``post`` name components: ``plugin:name``, or a short name that
    is looked up in the model's own plugin first.

    Args:
        architecture: the network.
        weights: safetensors that fit it strictly.
        input: what it expects to see.
        labels: every class, background included, in the order of the output channels.
        intended_use, training_data: for the reader of the model's card.
        head: None for a network with its own last layer.
        options: the network's options.
        head_options: the head's options.
        post: steps on the label map, in order.
        probe: how to check it.
        hidden: not offered in lists (a locator, say).
    """

    factory: str = field(default="", init=False)
    architecture: str
    weights: Weights
    input: Input
    labels: tuple[Label, ...]
    intended_use: str
    training_data: str
    head: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    head_options: Mapping[str, Any] = field(default_factory=dict)
    post: tuple[StepUse, ...] = ()
    probe: Probe | None = None
    hidden: bool = False


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
    "panel": ("medseg_panels", Panel),
}
"""Each kind of component: its hook and its class."""
