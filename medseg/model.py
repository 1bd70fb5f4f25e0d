"""The contract of a pretrained model: data, from which the core makes the preprocessing.

Plugins take these names from ``medseg.plugin``. Standard library only; what is checked against a
volume is in ``medseg.contract``.
"""

import colorsys
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from medseg.component import Component

Triple = tuple[float, float, float]
Shape = tuple[int, int, int]
StepUse = tuple[str, Mapping[str, Any]]
"""A step by name with its options: ``("clip", {"low": -57, "high": 164})``."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One input channel.

    Args:
        name, modality, unit: what it is; the modality is DICOM's (``CT``, ``MR``, ``PT``).
        steps: intensity steps on this channel, in order, before the image is resampled.
        within: the voxels that these steps see and change: all, or those where some channel is not 0,
            enclosed zeros included; what is outside stays as it is.
    """

    name: str
    modality: str
    unit: str
    steps: tuple[StepUse, ...] = ()
    within: Literal["all", "nonzero"] = "all"


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The network slides over the volume, resampled to the contract's spacing.

    Args:
        size: voxels of one window along each axis: i, j, k.
        overlap: fraction of a window shared with the next, 0 <= overlap < 1.
        blend: weight of a window's voxels in the sum.
        placement: where windows go and how a Gaussian is cut off: as in MONAI or as in nnU-Net.
    """

    size: tuple[int, ...]
    overlap: float = 0.5
    blend: Literal["gaussian", "constant"] = "gaussian"
    placement: Literal["monai", "nnunet"] = "monai"


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
        placement: where windows go and how a Gaussian is cut off: as in MONAI or as in nnU-Net.
    """

    axis: Literal[0, 1, 2]
    size: tuple[int, int]
    neighbours: int = 0
    overlap: float = 0.5
    blend: Literal["gaussian", "constant"] = "gaussian"
    placement: Literal["monai", "nnunet"] = "monai"


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
        orientation: axis codes of the array that the network sees, such as ``"RAS"``; ``"stored"`` where
            it was trained on whatever order its files had, and so gets that of the user's.
        patch: sliding windows, slices of a 2-D network, or one whole grid.
        steps: intensity steps, in order, on each channel after the geometry.
        interpolation: how the image is resampled to ``spacing_mm``.
        field_mm: the smallest field of view along i, j, k that shows all of what is to be found.
        locator: the model that says where to look, if there is one.
        crop: ``nonzero`` where the network sees only the box around the voxels that are not 0 in some
            channel; outside is background.
        resampling: ``centred``: voxels of exactly ``spacing_mm`` about the same centre. ``nnunet``: as
            ``medseg.nnunet_grid`` says: the field of view is divided into a whole number of voxels, values
            stay in their range, and thick slices are not mixed.
        mirror: axes along which windows may be flipped for ``--mirror``; None for all of them.
        mirror_by_default: whether they are, where a user says nothing of it.

    Raises:
        ValueError: a length that is not above 0, or an axis that windows do not have.
    """

    channels: tuple[Channel, ...]
    spacing_mm: Triple | None
    orientation: str
    patch: Windows | Slices | WholeGrid
    steps: tuple[StepUse, ...] = ()
    interpolation: Literal["nearest", "linear", "cubic"] = "cubic"
    field_mm: Triple | None = None
    locator: Locator | None = None
    crop: Literal["none", "nonzero"] = "none"
    resampling: Literal["centred", "nnunet"] = "centred"
    mirror: tuple[int, ...] | None = None
    mirror_by_default: bool = False

    def __post_init__(self) -> None:
        for name in ("spacing_mm", "field_mm"):
            lengths: Any = getattr(self, name)  # of whatever type: the model holds it to its annotation
            numbers = [mm for mm in lengths or () if isinstance(mm, int | float)]
            if not all(math.isfinite(mm) and mm > 0 for mm in numbers):
                raise ValueError(f"{name} is {lengths}; wanted three finite numbers of mm above 0")
        given, axes = tuple(self.mirror or ()), range(2 if isinstance(self.patch, Slices) else 3)
        if len(set(given)) < len(given) or not set(given) <= set(axes):
            raise ValueError(
                f"mirror is {given}; wanted axes of a window, each once: {', '.join(map(str, axes))}"
            )
        if self.mirror_by_default and self.mirror == ():
            raise ValueError(
                "mirror_by_default is set, and mirror names no axis; wanted one, or None for all"
            )


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
        plausible_ml: the smallest and the largest volume that a whole one can have; a result outside
            gets a warning, because a network finds something in any image.
    """

    value: int
    name: str
    colour: str
    category: Code | None = None
    type: Code | None = None
    plausible_ml: tuple[float, float] | None = None


def label_colour(value: int) -> str:
    """A colour for a label that has none of its own: hues a golden section apart are easy to tell apart."""
    red, green, blue = colorsys.hsv_to_rgb(value * 0.61803 % 1, 0.65, 0.95)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


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
    """A check that the model still works: on this sample, expect this Dice for this label.

    Args:
        volume, truth: names of samples.
        label: of the model.
        dice: that was measured.
        tolerance: by which another machine's may differ.
        truth_label: the label's number in the truth; the same, if None.
    """

    volume: str
    truth: str
    label: int
    dice: float
    tolerance: float
    truth_label: int | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """A model as a part of another: what its labels become there.

    Args:
        model: its name, as a ``Locator`` names one; in a model folder also ``./NAME``, a folder in it.
        labels: pairs of a label of the part and the label that it becomes; the others are left out.
    """

    model: str
    labels: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Model(Component):
    """A pretrained model: an architecture by name, weights, and the contract of its input.

    ``architecture``, ``head`` and ``post`` name components: ``plugin:name``, or a short name that
    is looked up in the model's own plugin first.

    A model may instead be made of others, its ``parts``: each segments the image by its own contract,
    and their labels are laid over one another, later parts over earlier ones. Then ``architecture`` is
    empty and ``weights.sha256`` is that of the parts' sha256, written one after the other.

    Args:
        architecture: the network; empty if there are parts.
        weights: safetensors that fit it strictly.
        input: what it expects to see.
        labels: every class, background included, in the order of the output channels.
        regions: the classes are regions that may overlap, each with a channel and a sigmoid of its own, and
            the background has no channel; where several hold, the last of them is the label.
        parts: the models that it is made of.
        intended_use, training_data: for the reader of the model's card.
        head: None for a network with its own last layer.
        options: the network's options.
        head_options: the head's options.
        post: steps on the label map, in order.
        probe: how to check it.
        hidden: not offered in lists (a locator, say).

    Raises:
        TypeError, ValueError: as ``Component``; labels without the background first, or with a value twice.
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
    regions: bool = False
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        values = [label.value for label in self.labels]
        if values and (values[0] != 0 or min(values) < 0 or len(set(values)) < len(values)):
            raise ValueError(
                f"Model {self.name!r}: its labels have the values {values}; wanted 0, the background, first, "
                "and numbers above 0, each once"
            )
