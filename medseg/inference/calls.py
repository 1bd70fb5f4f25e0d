"""What may stand between the windows and the network: mirrored copies, and windows seen before."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Network = Callable[[Tensor], Tensor]


def mirrored(network: Network, spatial: Sequence[int]) -> Network:
    """The mean of a network's logits over all flips of some spatial axes, as nnU-Net averages them.

    Args:
        network: (B,C,*S) -> (B,K,*S); it is called 2^len(spatial) times for each window.
        spatial: numbers of the axes, of S.
    """

    def call(window: Tensor) -> Tensor:
        axes = [2 + axis for axis in spatial]
        flips = [c for n in range(len(axes) + 1) for c in itertools.combinations(axes, n)]
        total = network(window).float() / len(flips)  # a new tensor: a network may answer with its input
        for flip in flips[1:]:
            total.add_(network(window.flip(flip)).flip(flip), alpha=1 / len(flips))
        return total

    return call


def constants_once(network: Network) -> Network:
    """A network that runs once over windows that hold one and the same value in each channel.

    Clipped air and padding are such windows; their answer is the same to the last bit, wherever they
    are. The latest one is kept.

    Args:
        network: (B,C,*S) -> (B,K,*S); its answer for a window depends on that window alone.
    """
    seen: tuple[tuple[int, ...], list[float]] | None = None
    answer = torch.empty(0)

    def constant(window: Tensor, values: Tensor) -> Tensor:
        nonlocal seen, answer
        key = tuple(window.shape), values.tolist()
        if key != seen:
            answer, seen = network(window), key
        return answer

    def call(windows: Tensor) -> Tensor:
        low, high = windows.flatten(2).aminmax(dim=2)  # (B,C)
        same = (low == high).all(dim=1)
        if not bool(same.any()):
            return network(windows)
        varied = network(windows[~same]) if not bool(same.all()) else None
        answers = [
            constant(windows[n : n + 1], low[n]) if alike else None for n, alike in enumerate(same.tolist())
        ]
        others = iter(() if varied is None else varied)
        return torch.cat([next(others)[None] if known is None else known for known in answers])

    return call
