"""What this plugin offers: a way to run networks. Nothing heavy here."""

from collections.abc import Iterator

from medseg.plugin import Backend, hookimpl

MEDSEG_API = 1


@hookimpl
def medseg_backends() -> Iterator[Backend]:
    """Winograd's convolution."""
    yield Backend(
        name="winograd",
        factory="medseg_winograd.backend:winograd",
        summary="3 x 3 x 3 convolutions by Winograd's method, norms and activations within them",
        reference="https://arxiv.org/abs/1509.09308",
        devices=("cpu",),
    )
