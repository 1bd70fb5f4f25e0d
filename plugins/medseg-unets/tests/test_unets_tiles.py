"""Sizes and borders of a U-Net without padding."""

import numpy as np
import pytest
import torch
from medseg_unets.tiles import border, crop_centre, input_size, mirror_border, output_size

from medseg.errors import ContractError


@pytest.mark.parametrize(("depth", "voxels"), [(1, 8), (2, 20), (3, 44), (4, 92), (5, 188)])
def test_so_many_voxels_are_lost_on_each_side(depth, voxels):
    assert border(depth) == voxels


@pytest.mark.parametrize(("size", "depth", "output"), [(572, 4, 388), (132, 3, 44), (116, 3, 28)])
def test_output_sizes_are_those_of_the_papers(size, depth, output):
    assert output_size(size, depth) == output


def by_walking_the_levels(size, depth):
    """Size after every layer, one by one; None where a pooling meets an odd size or nothing is left."""
    skips = []
    for _ in range(depth):
        size -= 4
        skips.append(size)
        if size <= 0 or size % 2:
            return None
        size //= 2
    size -= 4
    for skip in reversed(skips):
        size = 2 * size - 4
        if not 0 < size + 4 <= skip:
            return None
    return size if size > 0 else None


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_arithmetic_agrees_with_walking_through_the_layers(depth):
    for size in range(1, 180):
        expected = by_walking_the_levels(size, depth)
        if expected is None:
            with pytest.raises(ContractError):
                output_size(size, depth)
        else:
            assert output_size(size, depth) == expected


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_input_size_is_the_smallest_that_covers_the_output(depth):
    sizes = {size: by_walking_the_levels(size, depth) for size in range(1, 300)}
    for wanted in range(1, 60):
        smallest = min(size for size, output in sizes.items() if output and output >= wanted)
        assert input_size(wanted, depth) == smallest


def test_a_refused_size_names_two_that_fit():
    with pytest.raises(ContractError, match=r"cannot take size 570; .* 556 or 572.*padding='mirror'"):
        output_size(570, 4)
    assert output_size(556, 4) == 372
    with pytest.raises(ContractError, match=r"cannot take size 100; .* is 188\."):
        output_size(100, 4)
    assert output_size(188, 4) == 4


@pytest.mark.parametrize("shape", [(50, 64), (7, 3), (1, 2)])
def test_the_border_is_numpys_reflection_even_around_a_narrow_image(shape):
    depth = 2
    x = torch.arange(float(np.prod(shape))).reshape(1, 1, *shape)
    margins = [(20, input_size(n, depth) - n - 20) for n in shape]

    expected = np.pad(x[0, 0].numpy(), margins, mode="reflect")
    np.testing.assert_array_equal(mirror_border(x, depth)[0, 0].numpy(), expected)


def test_cropping_keeps_the_middle():
    x = torch.arange(8.0).reshape(1, 1, 8, 1)
    assert crop_centre(x, torch.zeros(1, 1, 4, 1)).flatten().tolist() == [2, 3, 4, 5]
