"""Exact values of surface metrics, by hand or from the tests of MONAI and DeepMind's surface-distance.

Indices are half-open, spacing is in mm. Each row states every convention: voxels (border by faces) and
areas (DeepMind's surfels).
"""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from medseg.builtin.metrics import surface as s
from medseg.builtin.metrics.overlap import Dice

at = np.s_
TO_PREDICTED, TO_TRUTH = "truth-to-predicted", "predicted-to-truth"


@dataclass(frozen=True)
class Row:
    """What must come out; a tuple is (truth to predicted, predicted to truth)."""

    dice: float
    border: tuple
    hd: float
    hd95: tuple  # max-directed, pooled
    asd: tuple
    assd: tuple  # pooled, mean-directed
    nsd: dict
    area_asd: tuple
    area_hd95: float
    area_nsd: dict = field(default_factory=dict)


def box(shape, *indices):
    array = np.zeros(shape, np.uint8)
    for index in indices:
        array[index] = 1
    return array


def sphere(shape, radius, centre, spacing_mm=(1, 1, 1)):
    where = np.indices(shape).reshape(3, -1).T * spacing_mm - np.array(centre)
    return (np.square(where).sum(axis=1) <= radius**2).reshape(shape).astype(np.uint8)


CUBE = at[10:20, 10:20, 10:20]
MOVED = at[12:22, 10:20, 10:20]
A6 = at[5:25, 20:40, 20:40]
FINE = (0.85, 1.2, 0.9)
N99, N64 = (99,) * 3, (64,) * 3

CASES = {
    "A1": (
        (box((128,) * 3, (50, 60, 70)), box((128,) * 3, (50, 60, 72)), (3, 2, 1)),
        Row(0, (1, 1), 2, (2, 2), (2, 2), (2, 2), {1: 0}, (1.5, 1.5), 2, {1: 0.5}),
    ),
    "A2": (
        (box((100,) * 3, at[0:50]), box((100,) * 3, at[0:51]), (2, 1, 1)),
        Row(
            0.9900990099,
            (39008, 39404),
            2,
            (2, 2),
            (0.4824651354, 0.5075626840),
            (0.4950772841, 0.4950139097),
            {1: 0.7549354691},
            (0.3224470727, 0.3393962931),
            2,
            {1: 0.8361450085},
        ),
    ),
    "A3": (
        (box((40,) * 3, CUBE), box((40,) * 3, MOVED), (1, 1, 1)),
        Row(
            0.8,
            (488, 488),
            2,
            (2, 2),
            (0.6885245902, 0.6885245902),
            (0.6885245902, 0.6885245902),
            {0: 0.5901639344, 1: 0.7213114754, 2: 1},
            (0.6797951596, 0.6797951596),
            2,
            {0: 0.5973223462, 1: 0.7228824942, 2: 1},
        ),
    ),
    "A4": (
        (box((40,) * 3, CUBE), box((40,) * 3, MOVED), (3, 1, 1)),
        Row(
            0.8,
            (488, 488),
            6,
            (6, 6),
            (1.6967213115, 1.6967213115),
            (1.6967213115, 1.6967213115),
            {1: 0.6475409836, 2: 0.6885245902, 6: 1},
            (1.0199388309, 1.0199388309),
            6,
            {1: 0.7699887168, 2: 0.7880532737, 6: 1},
        ),
    ),
    "A5": (
        (box((40,) * 3, CUBE), box((40,) * 3, at[11:19, 11:19, 11:19]), (1, 1, 1)),
        Row(
            0.6772486772,
            (488, 296),
            math.sqrt(3),
            (math.sqrt(2), math.sqrt(2)),
            (1.0934854681, 1),
            (1.0581899342, 1.0467427341),
            {0.5: 0, 1: 0.8673469388, 2: 1},
            (1.0583237744, 1),
            math.sqrt(2),
            {1: 0.9150379102},
        ),
    ),
    "A6": (
        (
            box((100, 60, 60), A6),
            box((100, 60, 60), A6, at[80:85, 28:33, 28:33]),
            (1, 1, 1),
        ),
        Row(
            0.9922480620,
            (2168, 2266),
            60,
            (0, 0),
            (0, 2.5083848191),
            (1.2819124944, 1.2541924095),
            {1: 0.9778980604},
            (0, 3.0769442210),
            55,
            {1: 0.9725083970},
        ),
    ),
    "A7": (
        (
            box((100, 60, 60), A6),
            box((100, 60, 60), A6, at[80:88, 26:34, 26:34]),
            (1, 1, 1),
        ),
        Row(
            0.9689922481,
            (2168, 2464),
            63,
            (60, 56.45),
            (0, 7.1477272727),
            (3.8022452504, 3.5738636364),
            {1: 0.9360967185},
            (0, 7.8062506114),
            60,
            {1: 0.9291588620},
        ),
    ),
    "B1": (
        (box((20,) * 3, at[0:10]), box((20,) * 3, at[0:12]), (1, 1, 1)),
        Row(
            0.9090909091,
            (1408, 1560),
            2,
            (2, 2),
            (0.4119318182, 0.5615384615),
            (0.4905660377, 0.4867351399),
            {1: 0.7789757412},
            (0.4218948839, 0.5358460362),
            2,
            {1: 0.7824613644},
        ),
    ),
    "T1": (
        (box((32,) * 3, at[16, 16, 4:28]), box((32,) * 3, at[16, 17, 4:28]), (1, 1, 1)),
        Row(0, (24, 24), 1, (1, 1), (1, 1), (1, 1), {1: 1}, (0.5, 0.5), 1, {1: 1}),
    ),
    "S1": (
        (sphere(N99, 20, (19, 19, 19)), sphere(N99, 20, (20, 20, 20)), (1, 1, 1)),
        Row(
            0.9349840566,
            (),
            math.sqrt(3),
            (math.sqrt(3), math.sqrt(3)),
            (0.8956245174, 0.8958613559),
            (0.8957429366,),
            {1: 0.7548435171},
            (0.6365123502, 0.6369087508),
            math.sqrt(2),
            {1: 0.8682958214},
        ),
    ),
    "S2": (
        (sphere(N99, 33, (20, 33, 22)), sphere(N99, 33, (19, 33, 22)), (1, 1, 1)),
        Row(
            0.9839611906,
            (),
            1,
            (1, 1),
            (0.3520961330, 0.3483278808),
            (0.3502174701,),
            {1: 1},
            (0.1667056055, 0.1611156680),
            1,
            {1: 1},
        ),
    ),
    "S3": (
        (sphere(N99, 40, (20, 33, 22)), sphere(N99, 20, (20, 33, 22)), (1, 1, 1)),
        Row(
            0.2957214635,
            (),
            20.2237484162,
            (20.0997512422, 20.0499376558),
            (15.9113138795, 12.0400335132),
            (15.1177408268,),
            {1: 0.0123217923},
            (16.1308333740, 12.1200595332),
            19.9499373433,
            {1: 0.0117079480},
        ),
    ),
    "S4": (
        (sphere(N99, 33, (43, 45, 52), FINE), sphere(N99, 33, (42, 45, 52), FINE), FINE),
        Row(
            0.9773317880,
            (),
            1.7,
            (1.2, 1.2),
            (0.4950997437, 0.4950997437),
            (0.4950997437,),
            {1: 0.9370571758},
            (0.2643857990, 0.2643857990),
            0.85,
            {1: 0.9846770285},
        ),
    ),
    "S5": (
        (sphere(N99, 20, (19, 19, 19), FINE), sphere(N99, 20, (20, 20, 20), FINE), FINE),
        Row(
            0.9348007840,
            (),
            2.2671568098,
            (1.7240939650, 1.7240939650),
            (0.8678189286, 0.8691247580),
            (0.8684719176,),
            {1: 0.5979533826},
            (0.6160580888, 0.6163662957),
            1.4705441170,
            {1: 0.7594183035},
        ),
    ),
    "S6": (
        (sphere(N64, 12, (32, 32, 32)), sphere(N64, 10, (32, 32, 32)), (1, 1, 1)),
        Row(
            0.7364423247,
            (),
            math.sqrt(6),
            (math.sqrt(5), math.sqrt(5)),
            (1.9074144523, 1.8671763862),
            (1.8909350433,),
            {1: 0, 2: 0.7286432161, 3: 1},
            (1.5857771483, 1.5669228608),
            math.sqrt(5),
            {1: 0.1524413395, 2: 0.9243687039},
        ),
    ),
    "S7": (
        (sphere(N64, 12, (32, 32, 32)), sphere(N64, 10, (32, 32, 32)), (3, 1, 1)),
        Row(
            0.7364423247,
            (),
            6,
            (4.3588989435, 4.1231056256),
            (2.5868460227, 2.3603929683),
            (2.4941026863,),
            {1: 0, 2: 0.4388609715, 3: 0.8006700168},
            (2.0242940350, 1.8623888570),
            3.6055512755,
            {3: 0.9246964177},
        ),
    ),
}


def exactly(value):
    """To the last of ten digits."""
    return pytest.approx(value, abs=5.1e-11)


@pytest.mark.parametrize("name", CASES)
def test_every_convention_gives_the_value_to_the_last_digit(name, pair_of):
    (truth, predicted, spacing_mm), row = CASES[name]
    pair = pair_of(truth, predicted, spacing_mm)
    found = pair.distances(1, "voxels")

    def value(metric):
        return metric.of(pair)[1]

    def directed(convention):
        ways = (TO_PREDICTED, TO_TRUTH)
        return tuple(value(s.AverageSurfaceDistance(convention=convention, direction=d)) for d in ways)

    assert value(Dice()) == exactly(row.dice)
    if row.border:
        assert (found.truth_to_predicted.total, found.predicted_to_truth.total) == row.border
    assert value(s.HausdorffDistance()) == exactly(row.hd)
    hd95 = [value(s.HausdorffPercentile(convention=c)) for c in ("max-directed", "pooled")]
    assert hd95 == exactly(list(row.hd95))
    assert directed("pooled") == exactly(row.asd)
    assd = [value(s.AverageSurfaceDistance(convention=c)) for c in ("pooled", "mean-directed")]
    assert assd[: len(row.assd)] == exactly(list(row.assd))
    assert value(s.MeanAverageSurfaceDistance()) == exactly(assd[1])
    for tolerance, expected in row.nsd.items():
        assert value(s.SurfaceDice(tolerance_mm=tolerance)) == exactly(expected)
    assert directed("area-weighted") == exactly(row.area_asd)
    assert value(s.HausdorffPercentile(convention="area-weighted")) == exactly(row.area_hd95)
    for tolerance, expected in row.area_nsd.items():
        metric = s.SurfaceDice(tolerance_mm=tolerance, convention="area-weighted")
        assert value(metric) == exactly(expected)


def test_single_directions_and_the_mean_of_fractions(pair_of):
    truth, predicted, spacing_mm = CASES["A5"][0]
    a5 = pair_of(truth, predicted, spacing_mm)
    directed = [
        s.HausdorffPercentile(direction=direction).of(a5)[1] for direction in (TO_PREDICTED, TO_TRUTH)
    ]
    assert directed == exactly([math.sqrt(2), 1])
    assert s.SurfaceDice(tolerance_mm=1, convention="mean-directed").of(a5)[1] == exactly(0.8934426230)
    truth, predicted, spacing_mm = CASES["S3"][0]
    s3 = pair_of(truth, predicted, spacing_mm)
    assert s.HausdorffDistance(direction=TO_TRUTH).of(s3)[1] == exactly(20.0997512422)
    assert s.HausdorffPercentile(direction=TO_TRUTH).of(s3)[1] == exactly(19.9248588452)


@pytest.mark.parametrize(("name", "area"), [("A1", 7.0), ("A3", 564.0995831757), ("A4", 1328.5684270777)])
def test_areas_of_the_surfaces(pair_of, name, area):
    truth, predicted, spacing_mm = CASES[name][0]
    found = pair_of(truth, predicted, spacing_mm).distances(1, "area")
    assert found.truth_to_predicted.total == exactly(area)
    assert found.predicted_to_truth.total == exactly(area)


@pytest.mark.parametrize(
    ("spacing", "hd", "assd", "hd95", "dice"),
    [
        (1, 2.4495, 1.8909, 2.2361, 0.73644),
        (0.5, 2.1794, 1.9205, 2.1213, 0.73265),
        (0.25, 2.0917, 1.9405, 2.0310, 0.73305),
    ],
)
def test_two_spheres_come_nearer_to_2_mm_apart_as_voxels_shrink(pair_of, spacing, hd, assd, hd95, dice):
    half = round(13 / spacing)
    shape, centre = (2 * half + 1,) * 3, (half * spacing,) * 3
    masks = [sphere(shape, radius, centre, (spacing,) * 3) for radius in (12, 10)]
    pair = pair_of(*masks, (spacing,) * 3)
    assert s.HausdorffDistance().of(pair)[1] == pytest.approx(hd, abs=5e-5)
    assert s.AverageSurfaceDistance().of(pair)[1] == pytest.approx(assd, abs=5e-5)
    assert s.HausdorffPercentile().of(pair)[1] == pytest.approx(hd95, abs=5.1e-5)
    assert Dice().of(pair)[1] == pytest.approx(dice, abs=5.1e-6)
