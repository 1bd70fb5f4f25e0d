"""What this plugin offers: one architecture, and a brain mask with the locator that it needs."""

from collections.abc import Iterator

from medseg.plugin import (
    Architecture,
    Channel,
    Code,
    Input,
    Label,
    Locator,
    Model,
    StepUse,
    Weights,
    WholeGrid,
    hookimpl,
)

MEDSEG_API = 1

PAPER = "Fisch et al. 2024, deepbet, doi:10.1016/j.compbiomed.2024.108845"
CHANNEL = Channel(name="T1w", modality="MR", unit="arbitrary")
# deepbet's normalisation: robust limits, z-score, then the mean and deviation of its training data.
NORMALISE: tuple[StepUse, ...] = (
    ("clip-percentiles", {"low": 0.5, "high": 99.5}),
    ("zscore", {}),
    ("scale", {"factor": 0.226, "offset": 0.449}),
)
LABELS = (
    Label(value=0, name="background", colour="#000000"),
    Label(
        value=1,
        name="brain",
        colour="#e8554e",
        category=Code(scheme="SCT", value="123037004", meaning="Anatomical Structure"),
        type=Code(scheme="SCT", value="12738006", meaning="Brain"),
        plausible_ml=(600.0, 2500.0),  # with CSF; adults have 1000 to 2000 mL, children from two years 800
    ),
)
USE = "brain mask of an adult head in T1-weighted MRI; research only, not for clinical use"
TRAINING = "deepbet 1.0.2: 7,837 T1-weighted head MRI of 191 studies on OpenNeuro"


@hookimpl
def medseg_architectures() -> Iterator[Architecture]:
    """The network."""
    yield Architecture(
        name="linknet",
        factory="medseg_linknet.linknet:LinkNet",
        summary="3-D LinkNet: residual encoder, skip connections added",
        reference="Chaurasia & Culurciello 2017, doi:10.1109/VCIP.2017.8305148",
        dims=(3,),
        divisor=32,
        features=False,
    )


@hookimpl
def medseg_models() -> Iterator[Model]:
    """The brain mask and its locator."""
    yield Model(
        name="brain-locator",
        summary="Coarse brain mask that tells brain-mask where to look",
        reference=PAPER,
        architecture="linknet",
        weights=Weights(
            source="package:medseg_linknet/weights/brain-locator.safetensors",
            sha256="da5e1a25972136f76336ea57224485a44852402c6833f4746fa52cbd42783f18",
            size=4256084,
            licence="MIT",
        ),
        input=Input(
            channels=(CHANNEL,),
            spacing_mm=None,
            orientation="RAS",
            patch=WholeGrid(shape=(128, 128, 128), interpolation="nearest"),
            steps=NORMALISE,
        ),
        labels=LABELS,
        intended_use=USE,
        training_data=TRAINING,
        hidden=True,
    )
    yield Model(
        name="brain-mask",
        summary="Brain mask for T1-weighted head MRI, any scanner and orientation",
        reference=PAPER,
        architecture="linknet",
        weights=Weights(
            source="package:medseg_linknet/weights/brain-mask.safetensors",
            sha256="88fd859d26f7fe3f8ee846b0be4df0dbc40aa540b534ae3b056c478b65317996",
            size=4256084,
            licence="MIT",
        ),
        input=Input(
            channels=(CHANNEL,),
            spacing_mm=None,
            orientation="RAS",
            patch=WholeGrid(shape=(256, 256, 256), interpolation="nearest"),
            steps=NORMALISE,
            field_mm=(110.0, 130.0, 90.0),  # a small adult brain, measured left to right, front to back, up
            locator=Locator(model="brain-locator", label=1, margin=0.075),
        ),
        labels=LABELS,
        post=(("largest-component", {}), ("fill-holes", {})),
        intended_use=USE,
        training_data=TRAINING,
    )
