"""What this plugin offers: MONAI's networks by name, and the import of a bundle. Nothing heavy here."""

from collections.abc import Iterator

from medseg.plugin import Architecture, Importer, hookimpl

MEDSEG_API = 1

PAPER = "Cardoso et al. 2022, MONAI, arXiv:2211.02701"


@hookimpl
def medseg_architectures() -> Iterator[Architecture]:
    """One description for all: the class is an option."""
    yield Architecture(
        name="network",
        factory="medseg_monai.networks:MonaiNetwork",
        summary="A network of MONAI by the name of its class: UNet, SegResNet, DynUNet and others",
        reference=PAPER,
        dims=(2, 3),
        divisor=8,
    )


@hookimpl
def medseg_importers() -> Iterator[Importer]:
    """Bundles, such as those of MONAI's model zoo."""
    yield Importer(
        name="monai",
        factory="medseg_monai.importer:read_bundle",
        recognise="medseg_monai.recognise:is_bundle",
        summary="MONAI bundle: configs/metadata.json, configs/inference.json, models/model.pt",
        reference=PAPER,
    )
