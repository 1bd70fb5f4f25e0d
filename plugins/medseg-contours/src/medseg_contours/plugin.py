"""What this plugin offers. This module imports nothing heavy."""

from collections.abc import Iterator

from medseg.plugin import Head, Label, Loss, Method, Panel, Step, hookimpl

MEDSEG_API = 1
FRONT = ("phi", "phi0", "prob", "prob0", "lambda1", "lambda2")


@hookimpl
def medseg_heads() -> Iterator[Head]:
    """Contours that move inside the network."""
    yield Head(
        name="tdac",
        factory="medseg_contours.tdac:TDACHead",
        dims=(2, 3),
        loss="contour",
        extras=FRONT,
        summary="Places a contour for each class and moves it by learned region weights",
        reference="Hatamizadeh, Sengupta, Terzopoulos 2020, arXiv:2007.11691",
    )
    yield Head(
        name="dals",
        factory="medseg_contours.tdac:make_dals",
        dims=(2, 3),
        loss="contour",
        extras=FRONT,
        summary="As tdac, with region weights from the first contour's probability",
        reference="Hatamizadeh et al. 2019, arXiv:1908.06933",
    )
    yield Head(
        name="morph-contour",
        factory="medseg_contours.morphology:MorphologicalHead",
        dims=(2, 3),
        loss="gur-mace",
        extras=("prob", "image"),
        summary="Probabilities smoothed by morphological curvature",
        reference="Gur et al., ICCV 2019",
    )
    yield Head(
        name="level-set-rnn",
        factory="medseg_contours.recurrent:RecurrentLevelSet",
        dims=(2, 3),
        loss="contour",
        extras=("phi", "phi0", "prob", "prob0"),
        summary="A level set as the state of a gated cell that reads the Chan-Vese force",
        reference="Le et al. 2018, arXiv:1704.03593",
    )
    yield Head(
        name="vector-field",
        factory="medseg_contours.vector_field:VectorFieldHead",
        dims=(2, 3),
        loss="vector-field",
        extras=("phi", "phi0", "prob", "prob0", "field", "spacing_mm"),
        summary="A contour carried by predicted vectors to the nearest boundary",
        reference="Rupprecht et al. 2016, arXiv:1607.05074",
    )
    yield Head(
        name="dsac",
        factory="medseg_contours.snake:SnakeHead",
        dims=(2,),
        loss="contour",
        extras=("phi", "phi0", "prob", "prob0", "nodes"),
        summary="A polygon around the middle, moved by learned maps; one object an image",
        reference="Marcos et al., CVPR 2018, arXiv:1803.06329",
    )
    yield Head(
        name="darnet",
        factory="medseg_contours.rays:RayHead",
        dims=(2,),
        loss="rays",
        extras=("phi", "phi0", "prob", "prob0", "nodes", "rho", "spacing_mm"),
        summary="Rays from the middle, moved by learned maps; one object an image",
        reference="Cheng, Liao, Fidler, Urtasun, CVPR 2019, arXiv:1905.05889",
    )


@hookimpl
def medseg_losses() -> Iterator[Loss]:
    """What they are trained with."""
    yield Loss(
        name="contour",
        factory="medseg_contours.losses:ContourLoss",
        needs=("prob", "prob0"),
        summary="Dice of the last and of the first contour",
        reference="Hatamizadeh, Sengupta, Terzopoulos 2020, arXiv:2007.11691",
    )
    yield Loss(
        name="active-contour",
        factory="medseg_contours.losses:ActiveContourLoss",
        summary="Length of the predicted contour plus what lies on the wrong side of it",
        reference="Chen et al., CVPR 2019",
    )
    yield Loss(
        name="gur-mace",
        factory="medseg_contours.morphology:GurLoss",
        needs=("prob", "image"),
        summary="Fit of the region to two mean intensities; needs no truth",
        reference="Gur et al., ICCV 2019",
    )
    yield Loss(
        name="vector-field",
        factory="medseg_contours.vector_field:VectorFieldLoss",
        needs=("prob", "prob0", "field", "spacing_mm"),
        summary="Dice of last and first contour, and the error of the field near the boundary",
        reference="Rupprecht et al. 2016, arXiv:1607.05074",
    )
    yield Loss(
        name="rays",
        factory="medseg_contours.rays:RayLoss",
        needs=("prob", "rho", "spacing_mm"),
        summary="Mean error of the lengths of rays from the middle",
        reference="Cheng, Liao, Fidler, Urtasun, CVPR 2019, arXiv:1905.05889",
    )


@hookimpl
def medseg_steps() -> Iterator[Step]:
    """The contour on any mask, and first contours from drawings."""
    yield Step(
        name="tdac",
        factory="medseg_contours.choices:make_step",
        stage="post",
        needs_image=True,
        summary="Moves the border of each label to where the image changes",
        reference="Hatamizadeh, Sengupta, Terzopoulos 2020, arXiv:2007.11691; nothing is learned here",
    )
    yield Step(
        name="fill-scribbles",
        factory="medseg_contours.choices:make_fill_scribbles",
        stage="post",
        summary="Strokes, one label of them outside, become a first contour",
    )
    yield Step(
        name="fill-outlines",
        factory="medseg_contours.choices:make_fill_outlines",
        stage="post",
        summary="Outlines drawn in some slices become a first contour",
        reference="Raya & Udupa 1990, doi:10.1109/42.52980",
    )


@hookimpl
def medseg_panels() -> Iterator[Panel]:
    """The contour beside a result."""
    yield Panel(
        name="refine",
        title="Move the border with an active contour",
        slot="result",
        of="contours:tdac",
        summary="What you painted or erased by hand stays; the rest follows the image",
    )
    yield Panel(
        name="from-strokes",
        title="Begin from strokes",
        slot="result",
        of="contours:fill-scribbles",
        summary="Strokes inside and outside become a first contour, which can then be moved",
    )


@hookimpl
def medseg_methods() -> Iterator[Method]:
    """The contour without a network."""
    yield Method(
        name="chan-vese",
        factory="medseg_contours.choices:make_chan_vese",
        labels=(
            Label(value=0, name="background", colour="#000000"),
            Label(value=1, name="object", colour="#e69f00"),
        ),
        intended_use="Comparison with networks, and first masks to be corrected; research only",
        summary="A level set that parts two mean intensities, on voxels of any size",
        reference="Chan & Vese 2001, doi:10.1109/83.902291",
    )
