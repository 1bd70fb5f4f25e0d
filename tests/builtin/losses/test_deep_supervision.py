"""Deep supervision: which outputs are read, at what size, and how they are weighed."""

import pytest
import torch
import torch.nn.functional as F

from medseg.builtin.losses.deep_supervision import nearest_labels
from medseg.errors import ContractError, OptionError
from medseg.plugin import Output


def pyramid(logits, levels=2):
    """The logits, and coarser ones as side-1, side-2, ... given in the wrong order."""
    sides = {f"side-{i}": F.avg_pool2d(logits, 2**i) for i in range(levels, 0, -1)}
    return Output(logits=logits, extras=sides | {"phi": logits})


def test_halving_weights_sum_to_one_and_begin_at_the_main_output(make_loss, example):
    logits, target = example(channels=3, dims=2, size=16)
    output = pyramid(logits)
    ce = make_loss("ce")
    main, first, second = (
        ce(Output(logits=side), target[:, step // 2 :: step, step // 2 :: step])
        for side, step in ((logits, 1), (output.extras["side-1"], 2), (output.extras["side-2"], 4))
    )
    halving = make_loss("deep-supervision", loss="ce")(output, target)
    torch.testing.assert_close(halving, (4 * main + 2 * first + second) / 7)
    equal = make_loss("deep-supervision", loss="ce", weighting="equal")(output, target)
    torch.testing.assert_close(equal, main + first + second)


def test_ten_sides_are_ordered_by_number_and_not_by_spelling(make_loss):
    target = torch.ones((1, 4, 4), dtype=torch.int64)
    flat = torch.zeros((1, 1, 4, 4))
    sides = {f"side-{i}": flat for i in range(1, 11)} | {"side-10": flat + 100}
    loss = make_loss("deep-supervision", loss="ce")(Output(logits=flat, extras=sides), target)
    weights = torch.tensor([0.5**i for i in range(11)])
    expected = torch.tensor(2.0).log() * (1 - weights[10] / weights.sum())
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((16, 12), (8, 6)), ((17, 9), (5, 4)), ((12, 10, 6), (6, 5, 6)), ((5, 4), (10, 12))],
)
def test_labels_are_resampled_like_torchs_exact_nearest(shape, size):
    labels = torch.randint(0, 9, (2, *shape), generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(labels[:, None].double(), size=size, mode="nearest-exact")[:, 0].long()
    assert torch.equal(nearest_labels(labels, size), expected)


def test_options_reach_the_wrapped_loss_also_when_a_comma_was_split(make_loss, example):
    logits, target = example(channels=3, dims=2)
    output = Output(logits=logits, extras={"side-1": logits})
    options = ("squared=true", "class_weights=1", "2", "3")
    wrapped = make_loss("deep-supervision", loss="dice", options=options)(output, target)
    plain = make_loss("dice", squared=True, class_weights=(1, 2, 3))(output, target)
    torch.testing.assert_close(wrapped, plain)


def test_a_network_without_side_outputs_is_refused(make_loss, example):
    logits, target = example(channels=1, dims=3)
    with pytest.raises(ContractError, match="gave none \\(extras: phi\\)"):
        make_loss("deep-supervision")(Output(logits=logits, extras={"phi": logits}), target)


@pytest.mark.parametrize("name", ["unet-border", "deep-supervision"])
def test_a_loss_that_reads_extras_cannot_be_wrapped(name, make_loss):
    with pytest.raises(OptionError, match="a side output is logits alone"):
        make_loss("deep-supervision", loss=name)


def test_an_option_that_the_wrapped_loss_does_not_take_is_refused(make_loss):
    with pytest.raises(OptionError, match="loss builtin:ce has no option 'alpha'"):
        make_loss("deep-supervision", loss="ce", options=("alpha=1",))
