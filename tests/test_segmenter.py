"""Any head on any network that offers features, by name."""

import pytest
import torch
from torch import Tensor, nn

from medseg.errors import OptionError, PluginError, UnknownNameError
from medseg.plugin import Architecture, Head, Output, hookimpl
from medseg.registry import Registry
from medseg.segmenter import Segmenter, build


class Net(nn.Module):
    """One convolution to F = width features, one to K logits."""

    def __init__(self, in_channels, out_channels, *, dims: int = 3, width: int = 4, deep: bool = False):
        super().__init__()
        layer = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.num_features = width
        self.body, self.last = layer(in_channels, width, 3, padding=1), layer(width, out_channels, 1)

    def forward_features(self, x):
        return self.body(x)

    def forward(self, x):
        return self.last(self.forward_features(x))


class SpacingHead(nn.Module):
    """Logits that tell what the head was given."""

    def __init__(self, num_features, out_channels, *, dims: int = 3, gain: float = 1.0):
        super().__init__()
        self.out_channels, self.gain = out_channels, gain

    def forward(self, features: Tensor, image: Tensor, spacing_mm: Tensor):
        logits = image.new_ones(len(image), self.out_channels, *image.shape[2:]) * self.gain
        return Output(logits=logits, extras={"spacing": spacing_mm, "features": features})


class WrongHead(SpacingHead):
    def forward(self, features, image, spacing_mm):
        return features


class Plugin:
    MEDSEG_API = 1

    @hookimpl
    def medseg_architectures(self):
        yield Architecture(name="net", factory=f"{__name__}:Net", summary="s", dims=(2, 3), features=True)
        yield Architecture(name="plain", factory=f"{__name__}:Net", summary="s", dims=(3,), features=False)

    @hookimpl
    def medseg_heads(self):
        yield Head(name="spacing", factory=f"{__name__}:SpacingHead", summary="s", dims=(2, 3))
        yield Head(name="flat", factory=f"{__name__}:SpacingHead", summary="s", dims=(2,))
        yield Head(name="wrong", factory=f"{__name__}:WrongHead", summary="s", dims=(3,))


REGISTRY = Registry.of(mine=Plugin())


def make(name, **more):
    return build(name, in_channels=1, out_channels=3, registry=REGISTRY, **more)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_without_a_head_gives_its_own_logits(dims):
    segmenter, image = make("net", dims=dims), torch.randn(2, 1, *[8] * dims)
    output = segmenter(image)
    assert torch.equal(output.logits, segmenter.backbone(image))
    assert output.logits.shape == (2, 3, *[8] * dims)
    assert output.extras == {}


@pytest.mark.parametrize("dims", [2, 3])
def test_a_head_sees_features_image_and_spacing(dims):
    segmenter, image = make("mine:net", head="mine:spacing", dims=dims), torch.randn(2, 1, *[8] * dims)
    output = segmenter(image, [0.5, 1.5, 2.5][:dims])
    assert torch.equal(output.extras["features"], segmenter.backbone.forward_features(image))
    assert output.extras["spacing"].tolist() == [0.5, 1.5, 2.5][:dims]
    assert output.logits.shape == (2, 3, *[8] * dims)


def test_without_a_spacing_the_head_sees_ones():
    assert make("net", head="spacing")(torch.randn(1, 1, 4, 4, 4)).extras["spacing"].tolist() == [1, 1, 1]


def test_each_image_of_a_batch_may_have_its_own_spacing():
    spacings = torch.tensor([[1.0, 1, 2], [1, 1, 5]], dtype=torch.float64)
    found = make("net", head="spacing")(torch.randn(2, 1, 4, 4, 4), spacings).extras["spacing"]
    assert torch.equal(found, spacings.float())


def test_options_reach_the_network_and_the_head_text_included():
    segmenter = make("net", head="spacing", options={"width": "7"}, head_options={"gain": 2})
    assert segmenter.backbone.num_features == 7
    assert segmenter(torch.zeros(1, 1, 4, 4, 4)).logits.unique().tolist() == [2]


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("net", {"options": {"depth": 3}}, "architecture mine:net has no option 'depth'. It takes: width"),
        ("net", {"options": {"width": "wide"}}, "option width is 'wide', wanted int"),
        ("net", {"head": "spacing", "head_options": {"x": 1}}, "head mine:spacing has no option 'x'"),
        ("plain", {"dims": 2}, "mine:plain works in 3 dimensions, not in 2"),
        ("net", {"head": "flat"}, "mine:flat works in 2 dimensions, not in 3"),
        ("plain", {"head": "spacing"}, "mine:plain offers no features for a head"),
    ],
)
def test_what_does_not_go_together_is_said(name, more, message):
    with pytest.raises(OptionError, match=message):
        make(name, **more)


def test_an_unknown_network_or_head_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no architecture 'nett'\. Did you mean net"):
        make("nett")
    with pytest.raises(UnknownNameError, match=r"no head 'spacings'\. Did you mean spacing"):
        make("net", head="spacings")


def test_a_head_that_returns_something_else_is_named():
    with pytest.raises(PluginError, match=r"WrongHead returned Tensor; a head returns .*Output"):
        make("net", head="wrong")(torch.zeros(1, 1, 4, 4, 4))


def test_gradients_reach_the_backbone_through_the_head():
    class Sum(nn.Module):
        def forward(self, features, image, spacing_mm):
            return Output(logits=features.sum(1, keepdim=True))

    segmenter = Segmenter(make("net").backbone, Sum())
    segmenter(torch.randn(1, 1, 4, 4, 4)).logits.sum().backward()
    assert segmenter.backbone.body.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"in_channels": 0}, "wants at least one channel in and out; got 0 and 2"),
        ({"options": {"dropout": 2.0}}, "unets:unet cannot be built with dropout=2.0: ValueError"),
    ],
)
def test_a_number_that_no_network_can_be_built_with_is_a_sentence_about_the_options(call, sentence):
    with pytest.raises(OptionError, match=sentence):
        build("unets:unet", **{"in_channels": 1, "out_channels": 2, **call})
