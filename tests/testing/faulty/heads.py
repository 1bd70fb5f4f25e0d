"""Heads, sound but for one fault each."""

import torch
from torch import nn

from medseg.plugin import Output


class Sound(nn.Module):
    def __init__(self, num_features, out_channels, *, dims=3):
        super().__init__()
        self.score = (nn.Conv2d if dims == 2 else nn.Conv3d)(num_features, out_channels, 1)

    def forward(self, features, image, spacing_mm):
        return Output(logits=self.score(features), extras={"phi": features})


class BareTensor(Sound):
    def forward(self, features, image, spacing_mm):
        return self.score(features)


class NoExtras(Sound):
    def forward(self, features, image, spacing_mm):
        return Output(logits=self.score(features))


class Detached(Sound):
    def forward(self, features, image, spacing_mm):
        return Output(logits=self.score(features.detach()), extras={"phi": features.detach()})


class ByItsNorm(Sound):
    def forward(self, features, image, spacing_mm):
        return Output(logits=self.score(features / features.norm()), extras={"phi": features})


class EightFeatures(Sound):
    def forward(self, features, image, spacing_mm):
        return super().forward(features[:, torch.arange(8)], image, spacing_mm)
