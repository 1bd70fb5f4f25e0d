"""What the core's metrics say of themselves. This module imports nothing heavy."""

from medseg.plugin import Metric

_HERE = "medseg.builtin.metrics"

METRICS = (
    Metric(
        name="dice",
        factory=f"{_HERE}.overlap:Dice",
        unit="",
        higher_is_better=True,
        summary="Overlap: twice the intersection over the sum of both sizes",
        reference="Dice 1945, doi:10.2307/1932409",
    ),
    Metric(
        name="hd",
        factory=f"{_HERE}.surface:HausdorffDistance",
        unit="mm",
        higher_is_better=False,
        summary="Hausdorff distance: the largest between the two surfaces",
        reference="Huttenlocher et al. 1993, doi:10.1109/34.232073",
    ),
    Metric(
        name="hd95",
        factory=f"{_HERE}.surface:HausdorffPercentile",
        unit="mm",
        higher_is_better=False,
        summary="95th percentile of the distances between the two surfaces",
        reference="Huttenlocher et al. 1993, doi:10.1109/34.232073",
    ),
    Metric(
        name="assd",
        factory=f"{_HERE}.surface:AverageSurfaceDistance",
        unit="mm",
        higher_is_better=False,
        summary="Average symmetric surface distance: mean over both surfaces",
        reference="Heimann et al. 2009, doi:10.1109/TMI.2009.2013851",
    ),
    Metric(
        name="masd",
        factory=f"{_HERE}.surface:MeanAverageSurfaceDistance",
        unit="mm",
        higher_is_better=False,
        summary="Mean of the mean distances in the two directions",
        reference="Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z",
    ),
    Metric(
        name="nsd",
        factory=f"{_HERE}.surface:SurfaceDice",
        unit="",
        higher_is_better=True,
        summary="Normalised surface Dice: part of both surfaces within a tolerance",
        reference="Nikolov et al. 2021, doi:10.2196/26151",
    ),
)
