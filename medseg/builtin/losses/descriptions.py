"""The losses that the core offers. This module imports no torch."""

from medseg.plugin import Loss

LOSSES: tuple[Loss, ...] = (
    Loss(
        name="ce",
        factory="medseg.builtin.losses.cross_entropy:CrossEntropy",
        summary="Cross entropy, binary for one channel",
        reference="Good, Journal of the Royal Statistical Society B 14, 1952",
    ),
    Loss(
        name="weighted-ce",
        factory="medseg.builtin.losses.cross_entropy:WeightedCrossEntropy",
        summary="Cross entropy in which rare labels weigh as much as common ones",
        reference="Xie and Tu, ICCV 2015, doi:10.1109/ICCV.2015.164",
    ),
    Loss(
        name="focal",
        factory="medseg.builtin.losses.focal:Focal",
        summary="Cross entropy in which easy voxels fade out",
        reference="Lin et al., ICCV 2017, doi:10.1109/ICCV.2017.324",
    ),
    Loss(
        name="dice",
        factory="medseg.builtin.losses.overlap:Dice",
        summary="Soft Dice overlap, with V-Net's squared form as an option",
        reference="Milletari et al., 3DV 2016, doi:10.1109/3DV.2016.79",
    ),
    Loss(
        name="iou",
        factory="medseg.builtin.losses.overlap:IoU",
        summary="Soft intersection over union",
        reference="Rahman and Wang, ISVC 2016, doi:10.1007/978-3-319-50835-1_22",
    ),
    Loss(
        name="tversky",
        factory="medseg.builtin.losses.overlap:Tversky",
        summary="Overlap in which a miss may cost more than a false alarm",
        reference="Salehi et al., MLMI 2017, doi:10.1007/978-3-319-67389-9_44",
    ),
    Loss(
        name="focal-tversky",
        factory="medseg.builtin.losses.overlap:FocalTversky",
        summary="A root of the Tversky loss, steeper where a label is nearly right",
        reference="Abraham and Khan, ISBI 2019, doi:10.1109/ISBI.2019.8759329",
    ),
    Loss(
        name="dice-ce",
        factory="medseg.builtin.losses.sums:dice_ce",
        summary="Dice plus cross entropy: where to begin",
        reference="Isensee et al., Nature Methods 18, 2021, doi:10.1038/s41592-020-01008-z",
    ),
    Loss(
        name="dice-focal",
        factory="medseg.builtin.losses.sums:DiceFocal",
        summary="Sum of Tversky losses plus a focal term, for many and small organs",
        reference="Zhu et al., Medical Physics 46, 2019, doi:10.1002/mp.13300",
    ),
    Loss(
        name="unet-border",
        factory="medseg.builtin.losses.border:BorderCrossEntropy",
        summary="Cross entropy that counts more between touching objects",
        reference="Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28",
        needs=("border-weight",),
    ),
    Loss(
        name="deep-supervision",
        factory="medseg.builtin.losses.deep_supervision:deep_supervision",
        summary="Any loss on a network's side outputs as well",
        reference="Lee et al., AISTATS 2015; Zhou et al., IEEE TMI 39, 2020, doi:10.1109/TMI.2019.2959609",
        needs=("side-1",),
    ),
    Loss(
        name="boundary",
        factory="medseg.builtin.losses.boundary:boundary",
        summary="Probability times signed distance from the true edge, beside Dice",
        reference="Kervadec et al., Medical Image Analysis 67, 2021, doi:10.1016/j.media.2020.101851",
    ),
    Loss(
        name="hausdorff-dt",
        factory="medseg.builtin.losses.hausdorff:hausdorff_dt",
        summary="Errors times their distance from an edge, beside Dice",
        reference="Karimi and Salcudean, IEEE TMI 39, 2020, doi:10.1109/TMI.2019.2930068",
    ),
    Loss(
        name="cldice",
        factory="medseg.builtin.losses.centreline:cldice",
        summary="Overlap of centrelines beside Dice, for vessels and airways",
        reference="Shit et al., CVPR 2021, doi:10.1109/CVPR46437.2021.01629",
    ),
)
