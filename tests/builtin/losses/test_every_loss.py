"""What every loss promises, asked of one table."""

import subprocess
import sys

import pytest
import torch

from medseg.builtin.losses.descriptions import LOSSES
from medseg.errors import ContractError, OptionError
from medseg.plugin import Output

NAMES = [loss.name for loss in LOSSES]
# A voxel's share depends on its neighbours, on far voxels or on a coarser grid.
SEES_NEIGHBOURS = {"boundary", "hausdorff-dt", "cldice", "deep-supervision"}

every_loss = pytest.mark.parametrize("name", NAMES)
every_shape = pytest.mark.parametrize(("channels", "dims"), [(1, 2), (1, 3), (3, 2), (3, 3)])


def certain(target, channels, *, confidence=40.0):
    """Logits (B,K,*S) that give the target's labels all the probability."""
    if channels == 1:
        return (confidence * (2.0 * target - 1))[:, None]
    return confidence * torch.nn.functional.one_hot(target, channels).movedim(-1, 1).float()


@every_loss
@every_shape
def test_a_perfect_prediction_scores_lower_than_a_wrong_one(
    name, channels, dims, make_loss, as_output, example
):
    logits, target = example(channels=channels, dims=dims)
    loss = make_loss(name)
    perfect = loss(as_output(certain(target, channels)), target)
    wrong = loss(as_output(certain((target + 1) % max(2, channels), channels)), target)
    assert perfect < loss(as_output(logits), target) < wrong


@pytest.mark.parametrize("name", [name for name in NAMES if name != "boundary"])
@every_shape
def test_a_perfect_prediction_costs_nothing(name, channels, dims, make_loss, as_output, example):
    _, target = example(channels=channels, dims=dims)
    loss = make_loss(name)(as_output(certain(target, channels)), target)
    torch.testing.assert_close(loss, torch.tensor(0.0), atol=1e-5, rtol=0)


@every_loss
@every_shape
def test_an_absent_class_gives_a_finite_loss_and_gradient(
    name, channels, dims, make_loss, as_output, example
):
    logits, target = example(channels=channels, dims=dims)
    logits.requires_grad_()
    for absent in (target.clamp(max=max(1, channels - 2)), torch.zeros_like(target), torch.ones_like(target)):
        loss = make_loss(name)(as_output(logits), absent)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.shape == ()
        assert loss.isfinite()
        assert gradient.isfinite().all()


@every_loss
@every_shape
def test_the_gradient_is_finite_where_every_voxel_is_right_with_certainty(
    name, channels, dims, make_loss, as_output, example
):
    _, target = example(channels=channels, dims=dims)
    logits = certain(target, channels, confidence=200.0).requires_grad_()
    loss = make_loss(name)(as_output(logits), target)
    assert torch.autograd.grad(loss, logits)[0].isfinite().all()


@every_loss
@every_shape
def test_gradients_are_those_of_finite_differences(name, channels, dims, make_loss, as_output, example):
    logits, target = example(channels=channels, dims=dims, size=4, dtype=torch.float64, spread=1.0)
    loss = make_loss(name)
    assert torch.autograd.gradcheck(lambda x: loss(as_output(x), target), logits.requires_grad_())


@every_loss
@every_shape
def test_ignored_voxels_contribute_nothing(name, channels, dims, make_loss, as_output, example):
    logits, target = example(channels=channels, dims=dims)
    target[:, :3] = 7
    loss = make_loss(name, **ignoring(7, name))
    logits.requires_grad_()
    value = loss(as_output(logits), target)
    (gradient,) = torch.autograd.grad(value, logits)
    assert (gradient[:, :, :3] == 0).all()
    assert (gradient[:, :, 3:] != 0).any()
    spoiled = logits.detach().clone()
    spoiled[:, :, :3] = torch.nan
    spoiled.requires_grad_()
    again = loss(as_output(spoiled), target)
    assert again == value
    assert torch.equal(torch.autograd.grad(again, spoiled)[0], gradient)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SEES_NEIGHBOURS])
@every_shape
@pytest.mark.parametrize("include_background", [False, True])
def test_ignoring_a_slab_is_the_same_as_cutting_it_off(
    name, channels, dims, include_background, make_loss, options_of_loss, as_output, example
):
    logits, target = example(channels=channels, dims=dims)
    takes_it = "include_background" in options_of_loss(name)
    loss = make_loss(name, **({"include_background": include_background} if takes_it else {}))
    output = as_output(logits)
    extras = {key: extra.narrow(-dims, 3, 5) for key, extra in output.extras.items()}
    cut = Output(logits=logits[:, :, 3:], extras=extras)
    expected = loss(cut, target[:, 3:])
    target[:, :3] = -1
    torch.testing.assert_close(loss(output, target), expected)


@every_loss
@every_shape
def test_a_batch_that_is_wholly_ignored_moves_nothing(name, channels, dims, make_loss, as_output, example):
    logits, target = example(channels=channels, dims=dims)
    logits.requires_grad_()
    loss = make_loss(name)(as_output(logits), torch.full_like(target, -1))
    assert loss.isfinite()
    assert (torch.autograd.grad(loss, logits)[0] == 0).all()


@every_loss
@pytest.mark.parametrize("dims", [2, 3])
def test_one_sigmoid_channel_is_two_softmax_channels(name, dims, make_loss, as_output, example):
    logits, target = example(channels=1, dims=dims)
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    loss = make_loss(name)
    torch.testing.assert_close(loss(as_output(logits), target), loss(as_output(two), target))


@every_loss
def test_renumbering_the_labels_changes_nothing(name, make_loss, options_of_loss, as_output, example):
    logits, target = example(channels=4, dims=2)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    order = torch.tensor([2, 3, 1, 0])
    if name in ("focal", "deep-supervision"):  # alpha, and the Dice of the wrapped loss, set label 0 apart
        order = torch.tensor([0, 3, 1, 2])
    number = torch.argsort(order)  # the new number of each old label

    def loss(weights):
        given = {"class_weights": tuple(weights.tolist()), "include_background": True}
        return make_loss(name, **{key: given[key] for key in given if key in options_of_loss(name)})

    renumbered = loss(weights[order])(as_output(logits[:, order]), number[target])
    torch.testing.assert_close(renumbered, loss(weights)(as_output(logits), target))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "deep-supervision"])
def test_class_weights_shift_the_loss_to_the_label_they_raise(name, make_loss, as_output, example):
    _, target = example(channels=3, dims=2)
    bad_at_2 = certain(torch.where(target == 2, 0, target), 3, confidence=4.0)
    low = make_loss(name, class_weights=(1, 1, 1))(as_output(bad_at_2), target)
    high = make_loss(name, class_weights=(1, 1, 5))(as_output(bad_at_2), target)
    assert high > low


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_the_same_loss_as_single_on_a_large_volume(name, dtype, make_loss, as_output):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn((1, 2, 48, 48, 48), generator=generator)).to(dtype)
    target = (torch.rand((1, 48, 48, 48), generator=generator) < 0.8).long()
    assert target.sum() > torch.finfo(torch.float16).max
    loss = make_loss(name)
    expected = loss(as_output(logits.float()), target)
    logits.requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        value = loss(as_output(logits), target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected, atol=0, rtol=1e-6)
    assert torch.autograd.grad(value, logits)[0].isfinite().all()


@every_loss
@every_shape
def test_twenty_steps_downhill_lower_the_loss(name, channels, dims, make_loss, as_output, example):
    logits, target = example(channels=channels, dims=dims)
    loss = make_loss(name)
    before = loss(as_output(logits), target)
    optimizer = torch.optim.Adam([logits.requires_grad_()], lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        loss(as_output(logits), target).backward()
        optimizer.step()
    assert loss(as_output(logits), target) < before - 0.1 * abs(before)


@every_loss
def test_targets_that_do_not_fit_are_refused_with_what_was_wanted(name, make_loss, as_output, example):
    logits, target = example(channels=3, dims=2)
    loss = make_loss(name)
    with pytest.raises(ContractError, match=r"holds integers of shape \(2, 8, 8\)"):
        loss(as_output(logits), target[:, None])
    with pytest.raises(ContractError, match="holds integers"):
        loss(as_output(logits), target.float())
    with pytest.raises(
        ContractError, match=r"label 5, but the 3 channel\(s\) of logits stand for labels 0 to 2"
    ):
        loss(as_output(logits), target.masked_fill(target == 2, 5))
    with pytest.raises(ContractError, match="2 or 3 spatial axes"):
        loss(as_output(logits[:, :, 0]), target[:, 0])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "deep-supervision"])
@pytest.mark.parametrize("weights", [(1.0, 2.0), (1.0, -1.0, 1.0), (1.0, float("nan"), 1.0)])
def test_class_weights_that_do_not_fit_are_refused(name, weights, make_loss, as_output, example):
    logits, target = example(channels=3, dims=2)
    with pytest.raises(OptionError, match="class_weights"):
        make_loss(name, class_weights=weights)(as_output(logits), target)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dice", {"smooth": 0.0}),
        ("tversky", {"alpha": -0.1}),
        ("focal-tversky", {"gamma": 0.0}),
        ("focal", {"gamma": -1.0}),
        ("focal", {"alpha": 1.5}),
        ("dice-ce", {"dice_weight": 0.0, "ce_weight": 0.0}),
        ("dice-ce", {"dice_weight": -1.0}),
    ],
)
def test_numbers_out_of_range_are_refused(name, options, make_loss):
    with pytest.raises(OptionError, match=str(next(iter(options.values())))):
        make_loss(name, **options)


def test_weights_that_leave_nothing_to_score_are_refused(make_loss, as_output, example):
    logits, target = example(channels=3, dims=2)
    with pytest.raises(OptionError, match="score the background"):
        make_loss("dice", class_weights=(1, 0, 0))(as_output(logits), target)


def test_listing_the_losses_imports_no_torch():
    program = (
        "import sys, medseg.builtin.losses.descriptions as d; assert d.LOSSES; print('torch' in sys.modules)"
    )
    listed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == "False"


def test_each_summary_fits_a_table():
    assert [loss.name for loss in LOSSES if len(loss.summary) > 80] == []
    assert [loss.name for loss in LOSSES if not loss.reference] == []


def ignoring(label, name):
    """The option that ignores a label, for a loss or for the one that it wraps."""
    return {"options": (f"ignore_label={label}",)} if name == "deep-supervision" else {"ignore_label": label}
