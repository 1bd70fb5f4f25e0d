"""What this plugin offers. This module imports nothing heavy."""

from collections.abc import Iterator

from medseg.plugin import Architecture, hookimpl

MEDSEG_API = 1


@hookimpl
def medseg_architectures() -> Iterator[Architecture]:
    """V-Net."""
    yield Architecture(
        name="vnet",
        factory="medseg_vnet.vnet:VNet",
        dims=(2, 3),
        divisor=16,
        features=True,
        summary="V-Net: residual stages of 5-voxel kernels, strided convolutions, PReLU",
        reference="Milletari, Navab, Ahmadi 2016, doi:10.1109/3DV.2016.79",
    )
