"""What the core's metrics say of themselves. This module imports nothing heavy."""

from medseg.plugin import Metric

_HERE = "medseg.builtin.metrics"
_PQ = "Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963"
_RELOADED = "Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z"
_TAHA = "Taha and Hanbury 2015, doi:10.1186/s12880-015-0068-x"
_HUTTENLOCHER = "Huttenlocher et al. 1993, doi:10.1109/34.232073"
_FCN = "Long et al. 2015, doi:10.1109/CVPR.2015.7298965"


def _better(name: str, factory: str, summary: str, reference: str) -> Metric:
    """A ratio of a label of which more is better."""
    return Metric(
        name=name,
        factory=f"{_HERE}.{factory}",
        unit="",
        higher_is_better=True,
        summary=summary,
        reference=reference,
    )


def _map(name: str, factory: str, summary: str) -> Metric:
    return Metric(
        name=name,
        factory=f"{_HERE}.confusion:{factory}",
        unit="",
        higher_is_better=True,
        scope="map",
        defined_if_empty=True,
        summary=summary,
        reference=_FCN,
    )


def _distance(name: str, factory: str, summary: str, reference: str) -> Metric:
    return Metric(
        name=name,
        factory=f"{_HERE}.{factory}",
        unit="mm",
        higher_is_better=False,
        summary=summary,
        reference=reference,
    )


def _error(name: str, factory: str, summary: str, reference: str, unit: str = "") -> Metric:
    """Of which less is better, and which is a number also where one side is empty."""
    return Metric(
        name=name,
        factory=f"{_HERE}.{factory}",
        unit=unit,
        higher_is_better=False,
        defined_if_empty=True,
        summary=summary,
        reference=reference,
    )


def _quantity(name: str, factory: str, summary: str, unit: str) -> Metric:
    return Metric(
        name=name,
        factory=f"{_HERE}.size:{factory}",
        unit=unit,
        higher_is_better=None,
        defined_if_empty=True,
        summary=summary,
        reference=_TAHA,
    )


METRICS = (
    _better(
        "dice",
        "overlap:Dice",
        "Overlap: twice the intersection over the sum of both sizes",
        "Dice 1945, doi:10.2307/1932409",
    ),
    _better("iou", "overlap:IntersectionOverUnion", "Intersection over union, the Jaccard index", _TAHA),
    _better("precision", "overlap:Precision", "Part of the prediction that is right", _TAHA),
    _better("recall", "overlap:Recall", "Part of the truth that is found: sensitivity", _TAHA),
    _better("f1", "overlap:F1", "Harmonic mean of precision and recall; the Dice of a mask", _TAHA),
    Metric(
        name="specificity",
        factory=f"{_HERE}.overlap:Specificity",
        unit="",
        higher_is_better=True,
        defined_if_empty=True,
        summary="Part of all else that is left alone; near 1 in large images",
        reference=_TAHA,
    ),
    _map("pixel-accuracy", "PixelAccuracy", "Part of all voxels with the right label"),
    _map("mean-pixel-accuracy", "MeanPixelAccuracy", "Mean recall over the labels of the truth"),
    _map("mean-iou", "MeanIoU", "Mean IoU over all labels, background included"),
    _map("fw-iou", "FrequencyWeightedIoU", "Mean IoU weighted by the frequency of each true label"),
    _distance(
        "hd", "surface:HausdorffDistance", "Hausdorff distance: the largest between surfaces", _HUTTENLOCHER
    ),
    _distance(
        "hd95",
        "surface:HausdorffPercentile",
        "95th percentile of the distances between the two surfaces",
        _HUTTENLOCHER,
    ),
    _distance(
        "assd",
        "surface:AverageSurfaceDistance",
        "Average symmetric surface distance: mean over both surfaces",
        "Heimann et al. 2009, doi:10.1109/TMI.2009.2013851",
    ),
    _distance(
        "masd",
        "surface:MeanAverageSurfaceDistance",
        "Mean of the mean distances in the two directions",
        _RELOADED,
    ),
    _better(
        "nsd",
        "surface:SurfaceDice",
        "Normalised surface Dice: part of both surfaces within a tolerance",
        "Nikolov et al. 2021, doi:10.2196/26151",
    ),
    _quantity("volume-ml", "PredictedVolume", "Predicted volume", "ml"),
    _error("volume-difference", "size:VolumeDifference", "Predicted minus true volume, no sign", _TAHA, "ml"),
    _quantity(
        "relative-volume-difference", "RelativeVolumeDifference", "(P - T) / T, with its sign: a bias", ""
    ),
    _better("volume-similarity", "size:VolumeSimilarity", "How alike in size, wherever they lie", _TAHA),
    _distance(
        "centroid-distance", "size:CentroidDistance", "Distance between the centres of mass", _RELOADED
    ),
    _better(
        "cldice",
        "shape:CentrelineDice",
        "How much of each centreline the other mask holds; for tubes",
        "Shit et al. 2021, doi:10.1109/CVPR46437.2021.01629",
    ),
    _better(
        "boundary-iou",
        "shape:BoundaryIoU",
        "IoU of the bands along both borders; for large objects",
        "Cheng et al. 2021, doi:10.1109/CVPR46437.2021.01508",
    ),
    _error(
        "brier",
        "calibration:BrierScore",
        "Mean squared error of the probability",
        "Brier 1950, Monthly Weather Review 78(1):1-3",
    ),
    _error(
        "ece",
        "calibration:ExpectedCalibrationError",
        "Expected calibration error: how far probability is from frequency",
        "Naeini et al. 2015, AAAI Conference on Artificial Intelligence 29",
    ),
    _better("lesion-f1", "instances:LesionF1", "F1 of finding the single pieces of a label", _RELOADED),
    _better("panoptic-quality", "instances:PanopticQuality", "Recognition times segmentation quality", _PQ),
    _better("recognition-quality", "instances:RecognitionQuality", "F1 of pieces matched one to one", _PQ),
)
