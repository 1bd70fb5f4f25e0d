"""One network over one image: windows, slices or the whole, and one that writes into what it is given."""

import pytest
import torch
from torch import nn

from medseg.inference.network import LogitsOf, stream_logits
from medseg.plugin import Slices, WholeGrid, Windows
from medseg.segmenter import Segmenter

PATCHES = [Windows(size=(8, 6, 4)), Slices(axis=1, size=(8, 4)), WholeGrid(shape=(12, 10, 9))]


class Net(nn.Module):
    """Scores the voxel less 1, in memory of its own or in that of its input."""

    def __init__(self, *, in_place):
        super().__init__()
        self.in_place = in_place

    def forward(self, x):
        x = x.sub_(1) if self.in_place else x - 1
        return torch.cat([-x, x], dim=1)


@pytest.mark.parametrize("mirror", [(), (0, 1)])
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: type(patch).__name__)
def test_a_network_that_writes_into_its_input_changes_no_window_but_its_own(patch, mirror):
    image = torch.rand(1, 12, 10, 9, generator=torch.Generator().manual_seed(0))
    before, answers = image.clone(), []
    for in_place in (False, True):
        module = LogitsOf(Segmenter(Net(in_place=in_place)), (1.0, 1.0, 1.0), patch)
        with torch.inference_mode():
            slabs = stream_logits(module, image, patch, mirror=mirror)
            answers.append(torch.cat([slab.logits.movedim(slab.axis + 1, 1).clone() for slab in slabs], 1))
    assert torch.equal(image, before)
    assert torch.equal(answers[1], answers[0])
