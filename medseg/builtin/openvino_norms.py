"""Instance norm in OpenVINO, with the digits that float32 has.

OpenVINO adds up the voxels of a channel one after the other in float32. Of a million voxels that leaves four
digits of the mean and of the variance, and labels near a tie change. Here means are taken of small blocks
first and then of these, which is nearly as fast, and exact enough that labels agree with those of torch.
"""

from typing import Any

import numpy as np

FEW = 10_000  # voxels, that OpenVINO's own sum is exact enough for
_BLOCK = 8  # voxels along an axis, at the most


def average_in_blocks(model: Any, operations: Any) -> Any:
    """Write out each norm of many voxels over all spatial axes; others stay.

    Args:
        model: an ``openvino.Model``, which is changed.
        operations: a module of OpenVINO's operations, such as ``openvino.opset13``.

    Returns:
        The model.
    """
    for norm in model.get_ordered_ops():
        if norm.get_type_name() == "MVN" and _is_large(norm):
            norm.output(0).replace(_written_out(norm, operations).output(0))
    model.validate_nodes_and_infer_types()
    return model


def _is_large(norm: Any) -> bool:
    shape = list(norm.input_value(0).get_shape())
    axes = sorted(int(axis) % len(shape) for axis in norm.input_value(1).get_node().get_vector())
    told = norm.get_attributes()
    usual = told["normalize_variance"] and told["eps_mode"].lower() == "inside_sqrt"
    return usual and axes == list(range(2, len(shape))) and int(np.prod(shape[2:])) > FEW


def _written_out(norm: Any, op: Any) -> Any:
    image = norm.input_value(0)
    shape = list(image.get_shape())
    block = [_largest_divisor(n) for n in shape[2:]]
    none, axes = [0] * len(block), op.constant(np.arange(2, len(shape)))

    def mean(values: Any) -> Any:
        blocks = op.avg_pool(
            values, strides=block, kernel_shape=block, pads_begin=none, pads_end=none, exclude_pad=False
        )
        return op.reduce_mean(blocks, axes, keep_dims=True)

    centre = mean(image)
    variance = mean(op.squared_difference(image, centre))
    epsilon = op.constant(np.float32(norm.get_attributes()["eps"]))
    scale = op.divide(op.constant(np.float32(1)), op.sqrt(op.add(variance, epsilon)))
    # As torch has it; image less centre, used twice, would be written to memory and read again.
    return op.subtract(op.multiply(image, scale), op.multiply(centre, scale))


def _largest_divisor(size: int) -> int:
    return next(n for n in range(_BLOCK, 0, -1) if size % n == 0)
