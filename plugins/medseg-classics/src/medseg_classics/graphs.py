"""Voxels as a graph: the cheapest cut, and a random field.

Y. Boykov, M.-P. Jolly: Interactive graph cuts. ICCV 2001. P. Krahenbuhl, V. Koltun: Efficient
inference in fully connected CRFs with Gaussian edge potentials. NIPS 2011; here on the grid's
six neighbours. The cut is scipy's: the common max-flow libraries are under the GPL.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from medseg.errors import ContractError, OptionError
from medseg.volume import Volume
from medseg_classics.seeds import check_seeds

SCALE = 1000  # capacities are whole numbers
FIXED = 10**8  # more than all edges of a voxel: seeds are never cut off


def graph_cut(
    image: Volume, seeds: Volume, *, background: int = 2, smoothness: float = 2.0, contrast: float = 1.0
) -> Volume:
    """The object of least cost: unlike its seeds' intensities, and cut along edges of the image.

    Args:
        image: any unit.
        seeds: labels: ``background`` and one other.
        background: the label of seeds outside.
        smoothness: >= 0, weight of the border against the intensities.
        contrast: > 0; more makes edges cheaper to cut along.

    Returns:
        The object's label, and 0 elsewhere.

    Raises:
        ContractError: other than two labels; see ``check_seeds``.
        OptionError: a number out of range.
    """
    labels = check_seeds(image, seeds)
    if len(labels) != 2 or background not in labels:
        raise ContractError(
            f"a graph cut wants seeds of two labels, {background} for the background; got {labels}"
        )
    if smoothness < 0 or not contrast > 0:
        raise OptionError(f"graph cut wants smoothness >= 0, contrast > 0; got {smoothness}, {contrast}")
    label = next(v for v in labels if v != background)
    values = image.array.astype(np.float64)
    costs = []
    for side in (label, background):
        drawn = values[seeds.array == side]
        variance = max(drawn.var(), 1e-3 * values.var(), 1e-12)
        costs.append(np.minimum((values - drawn.mean()) ** 2 / (2 * variance), 20.0))
    outward, inward = ((c * SCALE).round().astype(np.int64) for c in costs)
    outward[seeds.array == background] = FIXED
    inward[seeds.array == label] = FIXED
    first, second, weight = _edges(values, image.spacing_mm, contrast)
    capacity = (weight * smoothness * SCALE).round().astype(np.int64)
    inside = _cut(first, second, capacity, from_source=inward.ravel(), to_sink=outward.ravel())
    found = np.where(inside.reshape(image.shape), label, 0)
    return seeds.with_array(found.astype(seeds.array.dtype))


def smooth_by_field(
    image: Volume,
    initial: Volume,
    *,
    confidence: float = 0.8,
    smoothness: float = 1.0,
    contrast: float = 1.0,
    iterations: int = 10,
) -> Volume:
    """A conditional random field: neighbours agree unless the image has an edge between them.

    Args:
        image: any unit.
        initial: labels to refine.
        confidence: in (0, 1), how likely a voxel's first label is right.
        smoothness: >= 0, of the agreement between neighbours.
        contrast: > 0; more makes edges matter more.
        iterations: of the mean field.

    Raises:
        ContractError: see ``check_seeds``.
        OptionError: a number out of range.
    """
    check_seeds(image, initial)
    if not 0 < confidence < 1 or smoothness < 0 or not contrast > 0 or iterations < 0:
        raise OptionError(
            "the field wants confidence in (0, 1), smoothness >= 0, contrast > 0 and iterations >= 0; got "
            f"{confidence}, {smoothness}, {contrast} and {iterations}"
        )
    labels = np.unique(initial.array)
    first, second, weight = _edges(image.array.astype(np.float64), image.spacing_mm, contrast)
    n = initial.array.size
    pairs = sparse.coo_array((weight, (first, second)), shape=(n, n)).tocsr()
    neighbours = smoothness * (pairs + pairs.T)
    given = initial.array.reshape(-1, 1) == labels
    unary = np.log(np.where(given, confidence, (1 - confidence) / max(len(labels) - 1, 1)))
    belief = np.exp(unary)
    for _ in range(iterations):
        scores = unary + neighbours @ belief
        belief = np.exp(scores - scores.max(axis=1, keepdims=True))
        belief /= belief.sum(axis=1, keepdims=True)
    return initial.with_array(labels[belief.argmax(axis=1)].reshape(initial.shape))


def _edges(
    values: NDArray[np.float64], spacing_mm: tuple[float, float, float], contrast: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of neighbours and a weight for each: their face over their distance, less at edges."""
    number = np.arange(values.size).reshape(values.shape)
    jumps = [np.diff(values, axis=axis) for axis in range(3)]
    mean = np.mean([(j**2).mean() for j in jumps if j.size]) or 1.0
    unit = float(np.prod(spacing_mm)) ** (1 / 3)
    parts = []
    for axis, jump in enumerate(jumps):
        behind = np.take(number, np.arange(1, values.shape[axis]), axis=axis)
        before = np.take(number, np.arange(values.shape[axis] - 1), axis=axis)
        face = (unit / spacing_mm[axis]) ** 2  # of area V / h over distance h, and 1 for a cube
        parts.append(
            (before.ravel(), behind.ravel(), face * np.exp(-contrast * jump**2 / (2 * mean)).ravel())
        )
    first, second, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return first, second, weight


def _cut(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    weight: NDArray[np.int64],
    *,
    from_source: NDArray[np.int64],
    to_sink: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which voxels stay with the source when the cheapest set of edges is cut."""
    n = len(from_source)
    source, sink = n, n + 1
    voxels = np.arange(n)
    rows = np.concatenate((first, second, np.full(n, source), voxels))
    columns = np.concatenate((second, first, voxels, np.full(n, sink)))
    capacities = np.concatenate((weight, weight, from_source, to_sink)).astype(np.int32)
    graph = sparse.csr_array((capacities, (rows, columns)), shape=(n + 2, n + 2))
    flow = sparse.csgraph.maximum_flow(graph, source, sink, method="dinic").flow
    residual = graph - flow
    residual.data = (residual.data > 0).astype(np.int8)
    residual.eliminate_zeros()
    reached = sparse.csgraph.breadth_first_order(residual, source, return_predecessors=False)
    inside = np.zeros(n + 2, bool)
    inside[reached] = True
    return inside[:n]
