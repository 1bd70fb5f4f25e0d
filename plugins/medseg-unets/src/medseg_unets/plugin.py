"""What this plugin offers. This module imports nothing heavy."""

from collections.abc import Iterator

from medseg.plugin import Architecture, hookimpl

MEDSEG_API = 1


@hookimpl
def medseg_architectures() -> Iterator[Architecture]:
    """The U-Nets."""
    yield Architecture(
        name="unet",
        factory="medseg_unets.unet:UNet",
        dims=(2, 3),
        divisor=16,
        features=True,
        summary="U-Net, with zero padding, no padding, or overlap-tile over mirrored borders",
        reference="Ronneberger, Fischer, Brox 2015, doi:10.1007/978-3-319-24574-4_28",
    )
    yield Architecture(
        name="unet3d",
        factory="medseg_unets.unet3d:UNet3D",
        dims=(3,),
        divisor=8,
        features=True,
        summary="3D U-Net: batch norm, channels doubled before each pooling",
        reference="Cicek et al. 2016, doi:10.1007/978-3-319-46723-8_49",
    )
    yield Architecture(
        name="attention-unet",
        factory="medseg_unets.attention_unet:AttentionUNet",
        dims=(2, 3),
        divisor=16,
        features=True,
        attention=True,
        summary="U-Net whose skips pass through gates driven by the coarser level",
        reference="Oktay et al. 2018, arXiv:1804.03999",
    )
    yield Architecture(
        name="unetpp",
        factory="medseg_unets.unetpp:UNetPlusPlus",
        dims=(2, 3),
        divisor=16,
        features=True,
        summary="UNet++: nested dense skips; can be pruned or averaged at inference",
        reference="Zhou et al. 2020, doi:10.1109/TMI.2019.2959609",
    )
