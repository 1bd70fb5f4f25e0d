"""A volume: voxels, and where they are in the world.

Array axes are (i, j, k), the columns of the affine; the affine maps voxel centres to RAS+
millimetres, as in nibabel. Spacing and every other triple are in that order.
"""

import itertools
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from medseg.errors import VolumeError

Kind = Literal["image", "labels"]
Affine = NDArray[np.float64]
"""(4, 4): voxel index (i, j, k, 1) to RAS+ millimetres."""
Voxels = NDArray[Any]
"""(I, J, K) array of numbers."""

_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
MAX_VOXELS_PER_AXIS = 32767  # the NIfTI-1 limit; nothing that is scanned comes near it


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels are, without their values: a shape and an affine."""

    shape: tuple[int, int, int]
    affine: Affine

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise VolumeError(f"the affine must be 4 x 4 finite numbers; got {affine.tolist()}")
        if not np.array_equal(affine[3], (0, 0, 0, 1)):
            raise VolumeError(f"the affine's last row must be 0 0 0 1; got {affine[3].tolist()}")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        # Relative to the spacing, so that microscopy's micrometres are not taken for a singular matrix.
        if not lengths.all() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
            raise VolumeError(f"the affine is singular: {affine[:3, :3].tolist()}")
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along i, j, k in mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return i, j, k

    @property
    def orientation(self) -> str:
        """Nearest axis codes, such as ``"RAS"``: i grows to the Right, j Anterior, k Superior."""
        codes = [""] * 3
        for axis, (world, sign) in enumerate(nearest_axes(self.affine)):
            codes[axis] = _LETTERS[world][sign > 0]
        return "".join(codes)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def matches(self, other: "Grid", *, tolerance_mm: float = 1e-3) -> bool:
        """Same shape, and every voxel in the same place to within a tolerance and a hundredth of a voxel."""
        if self.shape != other.shape:
            return False
        # A micrometre is nothing in a patient and several voxels in microscopy.
        tolerance_mm = min(tolerance_mm, 0.01 * min(self.spacing_mm))
        return corner_distance_mm(self.affine, other.affine, self.shape) <= tolerance_mm

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.shape))
        spacing = " x ".join(f"{mm:.4g}" for mm in self.spacing_mm)
        return f"{size} voxels of {spacing} mm, {self.orientation}"


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels on a grid; frozen, and its arrays are read-only.

    Args:
        array: (I, J, K) real numbers; integers if ``kind`` is ``labels``.
        affine: (4, 4), voxel index to RAS+ mm.
        kind: ``image`` (interpolated when resampled) or ``labels`` (never mixed).
        notes: what a reader had to decide, for people and for the provenance.
        modality: ``CT``, ``MR``, ``PT`` and so on, as in DICOM, where the file says it; else empty.
        unit: of the values, such as ``HU`` or ``Bq/ml``, where the file says it; else empty.

    Raises:
        VolumeError: not three axes, not real numbers, labels that are not whole numbers >= 0,
            or an affine that is singular or not finite.

    Example:
        >>> import numpy as np
        >>> from medseg import Volume
        >>> head = Volume(np.zeros((4, 5, 6), np.float32), np.diag([2.0, 2.0, 3.0, 1.0]))
        >>> head.spacing_mm, head.orientation
        ((2.0, 2.0, 3.0), 'RAS')
    """

    array: Voxels
    affine: Affine
    kind: Kind = "image"
    notes: tuple[str, ...] = field(default=(), repr=False)
    modality: str = field(default="", repr=False)
    unit: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        array = np.asarray(self.array).view()
        if array.ndim != 3 or 0 in array.shape:
            raise VolumeError(f"a volume has three axes (i, j, k); got an array of shape {array.shape}")
        if array.dtype.kind not in "iufb":
            raise VolumeError(f"a volume holds real numbers; got {array.dtype}")
        if self.kind not in get_args(Kind):
            raise VolumeError(f"a volume's kind is 'image' or 'labels'; got {self.kind!r}")
        if self.kind == "labels":
            array = _as_labels(array)
        array.flags.writeable = False
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "affine", Grid(array.shape, self.affine).affine)

    @property
    def grid(self) -> Grid:
        """Shape and affine."""
        return Grid(self.shape, self.affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(I, J, K)."""
        i, j, k = self.array.shape
        return i, j, k

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along i, j, k in mm."""
        return self.grid.spacing_mm

    @property
    def orientation(self) -> str:
        """Nearest axis codes, such as ``"RAS"``."""
        return self.grid.orientation

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL."""
        return self.grid.voxel_ml

    def with_array(self, array: Voxels, *, kind: Kind | None = None) -> "Volume":
        """Other values (I, J, K) on the same grid."""
        if array.shape != self.array.shape:
            raise VolumeError(f"wanted an array of shape {self.shape}, got {array.shape}")
        return replace(self, array=array, kind=kind or self.kind)

    def with_notes(self, *notes: str) -> "Volume":
        """The same volume with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def __repr__(self) -> str:
        return f"<Volume {self.kind} {self.array.dtype}, {self.grid!r}>"


def nearest_axes(affine: Affine) -> list[tuple[int, int]]:
    """For each array axis the world axis (0, 1, 2) it runs along best, and its sign (+1, -1).

    Each world axis is given out once, the strongest alignment first, as in nibabel's
    ``io_orientation``. Where two alignments tie (an axis at 45 degrees), the choice does not depend
    on the order or the directions of the array's axes, so that a turned volume has the axis codes
    it was turned to.
    """
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    # The nearest orthogonal matrix, so that a strongly oblique grid cannot give one axis twice.
    u, _, vt = np.linalg.svd(cosines)
    rotation = u @ vt
    ranked = []
    for order in itertools.permutations(range(3)):  # array axis of each world axis
        signs = np.where(np.diag(rotation[:, order]) < 0, -1, 1)
        turned = (rotation[:, order] * signs).round(6)
        alignments = sorted(np.diag(turned).tolist(), reverse=True)
        ranked.append((alignments, turned.tolist(), order, signs.tolist()))
    *_, order, signs = max(ranked)
    found = {axis: (world, signs[world]) for world, axis in enumerate(order)}
    return [found[axis] for axis in range(3)]


def corner_distance_mm(a: Affine, b: Affine, shape: tuple[int, int, int]) -> float:
    """Largest distance in mm between where two affines put the corner voxels of a grid."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    difference = (a - b)[:3, :3] @ corners + (a - b)[:3, 3:]
    return float(np.linalg.norm(difference, axis=0).max())


def slices(array: Voxels) -> Voxels:
    """The array with the axis first along which slices are whole pieces of memory, to go through them."""
    return np.moveaxis(array, int(np.argmax(np.abs(array.strides))), 0)


def smallest_integer_type(largest: int) -> type[np.integer[Any]]:
    """The smallest unsigned type up to 16 bits, then int32 or int64, that holds 0..largest."""
    for kind in (np.uint8, np.uint16, np.int32):
        if largest <= np.iinfo(kind).max:
            return kind
    return np.int64


def _as_labels(array: Voxels) -> Voxels:
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.round(array))
        if not whole.all():
            bad = array[~whole]
            raise VolumeError(
                f"a label map holds whole numbers; {bad.size} voxels do not, such as {bad.flat[0]}. "
                "Is it an image or a probability map? Read it with kind='image'"
            )
        largest = float(array.max())
        if largest >= 2.0 ** min(np.finfo(array.dtype).nmant + 1, 53):
            raise VolumeError(f"label {largest:.6g} is too large to be exact in {array.dtype}")
        if array.min() >= 0:
            array = array.astype(smallest_integer_type(int(largest)))
    if array.min() < 0:
        raise VolumeError(f"labels are numbers from 0 (background) up; found {array.min()}")
    return array
