"""The heads as a user reaches them: on any network, trained, in half precision, on real spacing."""

import pytest
import torch
from medseg_contours.losses import ContourLoss
from medseg_contours.tdac import TDACHead, weights_of_probability

from medseg import build
from medseg.errors import ContractError, OptionError
from medseg.plugin import Output
from medseg.registry import default_registry
from medseg.testing import conformance

test_conformance = conformance("contours")


def with_features():
    found = default_registry().components("architecture")
    return [(r.full_name, min(r.component.dims), r.component.divisor) for r in found if r.component.features]


@pytest.mark.parametrize(("name", "dims", "divisor"), with_features())
def test_every_network_can_be_trained_with_it(name, dims, divisor):
    torch.manual_seed(0)
    network = build(
        name,
        in_channels=1,
        out_channels=2,
        dims=dims,
        head="contours:tdac",
        options={"width": 16},
        head_options={"n_iter": 5},
    )
    side = max(16, divisor)
    target = torch.zeros(2, *[side] * dims, dtype=torch.long)
    target[(slice(None), *[slice(4, 12)] * dims)] = 1
    image = target[:, None] + 0.2 * torch.randn(2, 1, *target.shape[1:])
    adam = torch.optim.Adam(network.parameters(), lr=0.001)
    values = []
    for _ in range(8):
        loss = ContourLoss()(network(image, [2.0, 1.0, 1.0][:dims]), target)
        adam.zero_grad()
        loss.backward()
        adam.step()
        values.append(loss.item())

    assert values[-1] < values[0]


def half_volume_head(**options):
    torch.manual_seed(0)
    return TDACHead(4, 3, dims=2, **options)


def test_it_computes_in_single_precision_inside_autocast():
    head = half_volume_head()
    features, image = torch.randn(2, 4, 16, 16), torch.randn(2, 1, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = head(features, image, torch.ones(2))

    assert {output.logits.dtype, *(extra.dtype for extra in output.extras.values())} == {torch.float32}


def test_the_label_is_the_largest_phi_and_the_background_where_none_is_positive():
    output = half_volume_head()(torch.randn(2, 4, 16, 16), torch.randn(2, 1, 16, 16), torch.ones(2))
    phi = output.extras["phi"]
    expected = torch.where((phi > 0).any(dim=1), phi.argmax(dim=1) + 1, 0)

    assert torch.equal(output.logits.argmax(dim=1), expected)


def test_before_training_both_regions_weigh_alike_everywhere():
    output = half_volume_head()(torch.randn(2, 4, 16, 16), torch.randn(2, 1, 16, 16), torch.ones(2))
    assert (output.extras["lambda1"] == 1).all()
    assert (output.extras["lambda2"] == 1).all()


def test_the_scanners_unit_does_not_matter():
    head = half_volume_head()
    features, image = torch.randn(1, 4, 16, 16), torch.randn(1, 1, 16, 16)
    plain, scaled = (head(features, x, torch.ones(2)).logits for x in (image, 300 * image - 1000))

    torch.testing.assert_close(plain, scaled, atol=1e-3, rtol=1e-3)


def test_phi_is_in_millimetres_and_scores_are_not():
    head = half_volume_head(window_mm=4.0)
    features, image = torch.randn(1, 4, 16, 16), torch.randn(1, 1, 16, 16)
    small = head(features, image, torch.tensor([1.0, 1.0]))
    head = half_volume_head(window_mm=12.0)
    large = head(features, image, torch.tensor([3.0, 3.0]))

    torch.testing.assert_close(3 * small.extras["phi"], large.extras["phi"])
    torch.testing.assert_close(small.logits, large.logits)


def test_a_single_channel_is_a_score_of_the_front_alone():
    output = TDACHead(4, 1, dims=2)(torch.randn(1, 4, 8, 8), torch.randn(1, 1, 8, 8), torch.ones(2))
    assert torch.equal(output.logits > 0, output.extras["phi"] > 0)


def test_training_computes_again_what_it_does_not_keep_and_the_result_is_the_same():
    features, image = torch.randn(1, 4, 16, 16), torch.randn(1, 1, 16, 16)
    results = []
    for every in (0, 5):
        head = half_volume_head(checkpoint_every=every).train()
        given = features.clone().requires_grad_()
        output = head(given, image, torch.ones(2))
        output.logits.square().mean().backward()
        results.append((output.logits, given.grad, head.maps.weight.grad))

    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_weights_of_dals_are_the_papers_at_three_probabilities():
    lambda1, lambda2 = weights_of_probability(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(lambda1, torch.tensor([7.389056, 2.718282, 1.648721]))
    torch.testing.assert_close(lambda2, lambda1.flip(0))


def test_what_cannot_work_is_refused_with_numbers():
    head = half_volume_head()
    with pytest.raises(ContractError, match=r"\(8, 8\) voxels do not fit .* \(16, 16\)"):
        head(torch.randn(1, 4, 8, 8), torch.randn(1, 1, 16, 16), torch.ones(2))
    with pytest.raises(ContractError, match=r"wants spacing_mm of shape \(2,\) or \(1, 2\); got \(3,\)"):
        head(torch.randn(1, 4, 8, 8), torch.randn(1, 1, 8, 8), torch.ones(3))
    with pytest.raises(ContractError, match="positive"):
        head(torch.randn(1, 4, 8, 8), torch.randn(1, 1, 8, 8), torch.tensor([1.0, 0.0]))
    with pytest.raises(OptionError, match="mu is not negative; got -1"):
        half_volume_head(mu=-1.0)
    with pytest.raises(OptionError, match="lambda_max > 1"):
        half_volume_head(lambda_max=1.0)


def output_of(prob, prob0=None):
    return Output(logits=prob, extras={"prob": prob, "prob0": prob if prob0 is None else prob0})


def test_the_loss_is_zero_for_truth_and_tells_of_a_first_contour_that_is_wrong():
    target = torch.zeros(1, 6, 6, dtype=torch.long)
    target[:, 1:4, 1:4] = 1
    truth = (target == 1)[:, None].float()

    assert ContourLoss()(output_of(truth), target).item() == 0
    assert ContourLoss()(output_of(truth, 1 - truth), target).item() > 0.9
    assert ContourLoss(first_weight=0.0)(output_of(truth, 1 - truth), target).item() == 0


def test_an_ignored_voxel_changes_nothing():
    torch.manual_seed(0)
    prob = torch.rand(2, 1, 6, 6)
    target = torch.randint(0, 2, (2, 6, 6))
    target[:, 0] = -1
    changed = prob.clone()
    changed[:, :, 0] = 1 - changed[:, :, 0]

    assert ContourLoss()(output_of(prob), target) == ContourLoss()(output_of(changed), target)
