"""What this plugin offers: nnU-Net's two networks, and the import of a model folder. Nothing heavy here."""

from collections.abc import Iterator

from medseg.plugin import Architecture, Importer, hookimpl

MEDSEG_API = 1

PAPER = "Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z"


@hookimpl
def medseg_architectures() -> Iterator[Architecture]:
    """The networks."""
    yield Architecture(
        name="plain-unet",
        factory="medseg_nnunet.networks:plain_unet",
        summary="nnU-Net's PlainConvUNet, of any number of folds",
        reference=PAPER,
        dims=(2, 3),
        divisor=4,
    )
    yield Architecture(
        name="residual-unet",
        factory="medseg_nnunet.networks:residual_unet",
        summary="nnU-Net's ResidualEncoderUNet, of any number of folds",
        reference="Isensee et al. 2024, nnU-Net Revisited, doi:10.1007/978-3-031-72114-4_47",
        dims=(2, 3),
        divisor=4,
    )


@hookimpl
def medseg_importers() -> Iterator[Importer]:
    """Model folders of nnU-Net v2, those of TotalSegmentator among them."""
    yield Importer(
        name="nnunet",
        factory="medseg_nnunet.importer:read_folder",
        recognise="medseg_nnunet.recognise:is_model_folder",
        summary="nnU-Net v2 model folder: plans.json, dataset.json, fold_*/",
        reference=PAPER,
    )
