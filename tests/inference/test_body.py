"""Windows of air that are not computed: what is said of the body stays the same."""

import numpy as np
import pytest
import torch

from medseg.inference.body import find_body
from medseg.inference.network import stream_logits
from medseg.plugin import Slices, Windows

SHAPE = (72, 80, 96)
SPACING = (2.0, 2.0, 2.0)


@pytest.fixture
def ball():
    """Where the body is: about a quarter of the image's width, in one corner."""
    i, j, k = np.indices(SHAPE)
    return torch.from_numpy((i - 20) ** 2 + (j - 22) ** 2 + (k - 24) ** 2 < 15**2)


def scan(ball, *, air, tissue, noise):
    chance = torch.Generator().manual_seed(0)
    values = torch.where(ball, tissue, air) + noise * torch.randn(SHAPE, generator=chance)
    return values[None]


MR = {"air": 20.0, "tissue": 300.0, "noise": 15.0}
CT = {"air": -1000.0, "tissue": 40.0, "noise": 30.0}
PATCHES = {
    "nnU-Net's windows": Windows(size=(24, 24, 24), placement="nnunet"),
    "MONAI's windows": Windows(size=(24, 24, 24), placement="monai"),
    "slices": Slices(axis=2, size=(32, 32), neighbours=1),
}


def three_classes(windows):
    """Something that looks at its neighbours, and finds tissue in the air too."""
    middle = windows[:, windows.shape[1] // 2, None]
    near = middle.roll(1, dims=-1)
    return torch.cat([middle * 0, middle - near, near - middle], dim=1)


def labels_of(image, patch, network, body):
    logits = [slab.logits.clone() for slab in stream_logits(network, image, patch, body=body)]
    axis = next(iter(stream_logits(network, image, patch))).axis
    whole = torch.cat(logits, dim=axis + 1)
    assert bool(torch.isfinite(whole).all())
    return whole


@pytest.mark.parametrize("values", [MR, CT], ids=["MR", "CT"])
@pytest.mark.parametrize("name", PATCHES)
def test_the_body_is_labelled_as_if_all_windows_were_computed(name, values, ball):
    image = scan(ball, **values)
    body = find_body(image, SPACING, regions=False)
    expected = labels_of(image, PATCHES[name], three_classes, None).argmax(0)
    found = labels_of(image, PATCHES[name], three_classes, body).argmax(0)
    assert body.skipped > 10
    assert torch.equal(found[ball], expected[ball])
    far = torch.zeros(SHAPE, dtype=bool)
    far[60:, 60:, 75:] = True
    assert not found[far].any()
    assert expected[far].any()


def test_where_nothing_was_computed_the_background_is_sure(ball):
    image = scan(ball, **MR)
    for regions, classes in ((True, 2), (False, 1)):
        body = find_body(image, SPACING, regions=regions)

        def everywhere(windows, classes=classes):
            return torch.full((len(windows), classes, *windows.shape[2:]), 5.0)

        found = labels_of(image, PATCHES["nnU-Net's windows"], everywhere, body)
        assert float(found[:, -1, -1, -1].max()) < -5
        torch.testing.assert_close(found[:, 20, 22, 24], torch.full((classes,), 5.0))


def test_an_image_without_air_and_one_of_one_value_are_computed_whole():
    chance = torch.Generator().manual_seed(0)
    for image in (torch.randn((1, *SHAPE), generator=chance).abs() + 10, torch.zeros((1, *SHAPE))):
        body = find_body(image, SPACING, regions=False)
        list(stream_logits(three_classes, image, PATCHES["nnU-Net's windows"], body=body))
        assert body.skipped == 0


def test_a_crop_within_the_body_has_no_air():
    tissue = torch.full(SHAPE, -100.0)  # fat, and
    tissue[:, :, 48:] = 40.0  # muscle
    body = find_body(
        tissue[None] + torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)), SPACING, regions=False
    )
    list(stream_logits(three_classes, tissue[None], PATCHES["nnU-Net's windows"], body=body))
    assert body.skipped == 0


def test_lungs_that_are_open_where_the_image_ends_belong_to_the_body():
    chest = torch.full(SHAPE, -1000.0)
    chest[12:60, 12:68, :] = 40.0
    chest[22:50, 22:58, :] = -850.0
    body = find_body(chest[None], SPACING, regions=False)
    for place in ((36, 40, 0), (36, 40, 48), (36, 40, 95)):
        assert body.is_in(place, (1, 1, 1))
    assert not body.is_in((0, 0, 0), (1, 1, 1))


def test_what_is_no_number_is_computed_so_that_it_is_found(ball):
    image = scan(ball, **MR)
    image[0, 70, 70, 90] = torch.nan
    assert find_body(image, SPACING, regions=False).is_in((70, 70, 90), (1, 1, 1))


def test_what_the_body_encloses_belongs_to_it(ball):
    image = scan(ball, **CT)
    image[0, 15:25, 17:27, 19:29] = -1000  # as lungs are
    assert find_body(image, SPACING, regions=False).is_in((20, 22, 24), (1, 1, 1))


def test_dim_tissue_at_the_border_of_bright_tissue_belongs_to_it(ball):
    image = scan(ball, **MR)
    dim = ball.roll(30, dims=2)
    image[0][dim] += 120  # well below Otsu's threshold between air and the bright ball
    body = find_body(image, SPACING, regions=False)
    expected = labels_of(image, PATCHES["nnU-Net's windows"], three_classes, None).argmax(0)
    found = labels_of(image, PATCHES["nnU-Net's windows"], three_classes, body).argmax(0)
    assert torch.equal(found[dim], expected[dim])
