"""Backbone + head = segmenter: any head on any network that offers features."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medseg.errors import MedsegError, OptionError, PluginError
from medseg.options import check_options
from medseg.plugin import Architecture, Head, Output
from medseg.registry import Registry, default_registry


class Segmenter(nn.Module):
    """A backbone, and what turns its features into scores.

    Args:
        backbone: a network; with a head it must have ``forward_features``.
        head: None for the network's own last layer, else a module
            ``(features (B,F,*S), image (B,C,*S), spacing_mm) -> Output``.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, image: Tensor, spacing_mm: Sequence[float] | Tensor | None = None) -> Output:
        """Score every voxel.

        Args:
            image: (B,C,*S).
            spacing_mm: voxel size along *S in mm, one triple or (B, len(S)); ones if it is None.

        Returns:
            logits (B,K,*S) and the head's extras.
        """
        if self.head is None:
            result = self.backbone(image)
            return result if isinstance(result, Output) else Output(logits=result)
        dims = image.ndim - 2
        spacing = torch.ones(dims) if spacing_mm is None else torch.as_tensor(spacing_mm)
        features = self.backbone.forward_features(image)  # type: ignore[operator]  # promised by features=True
        output = self.head(features, image, spacing.to(image.device, torch.float32))
        if not isinstance(output, Output):
            raise PluginError(
                f"the head {type(self.head).__name__} returned {type(output).__name__}; "
                "a head returns medseg.plugin.Output(logits=..., extras=...)"
            )
        return output


def build(
    architecture: str,
    *,
    in_channels: int,
    out_channels: int,
    head: str | None = None,
    dims: int = 3,
    options: Mapping[str, Any] | None = None,
    head_options: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
    within: str = "",
) -> Segmenter:
    """Make a network by name, with any head.

    Args:
        architecture: ``plugin:name`` or a short name.
        in_channels: C.
        out_channels: K, background included.
        head: name of a head; None keeps the network's own 1x1 convolution.
        dims: 2 or 3 spatial axes.
        options, head_options: by name; text is converted to the option's type.
        registry: where to look names up; what is installed, if None.
        within: a plugin whose own components go first for short names.

    Raises:
        UnknownNameError, AmbiguousNameError: see ``Registry.find``.
        OptionError: an option that does not exist, or dims that the component cannot do.

    Example:
        >>> from medseg import build
        >>> network = build("unet3d", in_channels=1, out_channels=2, options={"width": 8})
    """
    registry = registry or default_registry()
    found = registry.find("architecture", architecture, within=within)
    description = found.component
    assert isinstance(description, Architecture)  # the registry checked it; this tells mypy
    _check_dims(found.full_name, description.dims, dims)
    factory = registry.load(found)
    checked = check_options(factory, options or {}, owner=f"architecture {found.full_name}")
    backbone = _made(found.full_name, checked, factory, channels=in_channels, classes=out_channels, dims=dims)
    if head is None:
        return Segmenter(backbone)
    if not description.features:
        raise OptionError(
            f"architecture {found.full_name} offers no features for a head; it can only be used without one"
        )
    found_head = registry.find("head", head, within=within)
    assert isinstance(found_head.component, Head)
    _check_dims(found_head.full_name, found_head.component.dims, dims)
    make_head = registry.load(found_head)
    checked = check_options(make_head, head_options or {}, owner=f"head {found_head.full_name}")
    made = _made(
        found_head.full_name,
        checked,
        make_head,
        channels=backbone.num_features,
        classes=out_channels,
        dims=dims,
    )
    return Segmenter(backbone, made)


def _made(
    name: str,
    options: Mapping[str, Any],
    factory: Callable[..., Any],
    *,
    channels: int,
    classes: int,
    dims: int,
) -> Any:
    """Call a factory; what torch says of an impossible number becomes a sentence about the options."""
    if channels < 1 or classes < 1:
        raise OptionError(f"{name} wants at least one channel in and out; got {channels} and {classes}")
    try:
        return factory(channels, classes, dims=dims, **options)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        if isinstance(error, MedsegError):
            raise
        given = ", ".join(f"{key}={value}" for key, value in options.items()) or "its defaults"
        raise OptionError(f"{name} cannot be built with {given}: {type(error).__name__}: {error}") from error


def _check_dims(name: str, offered: tuple[int, ...], wanted: int) -> None:
    if wanted not in offered:
        raise OptionError(f"{name} works in {' or '.join(map(str, offered))} dimensions, not in {wanted}")
