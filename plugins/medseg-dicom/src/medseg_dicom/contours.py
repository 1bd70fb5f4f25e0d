"""Outlines of a mask in one plane, along the borders of its pixels.

Inside such an outline lie the centres of exactly those pixels that the mask holds, and its area is
theirs. A contour of DICOM has no holes, so a region with a hole is cut into two along a row of pixels.

Reference: DICOM PS3.3, C.8.8.6.3 (closed planar contours).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
_AROUND = np.ones((3, 3), bool)
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
"""(row, column) of a step along a border: east, south, west, north; one further is a turn to the right."""
_AHEAD = {0: ((-1, 0), (0, 0)), 1: ((0, 0), (0, -1)), 2: ((0, -1), (-1, -1)), 3: ((-1, -1), (-1, 0))}
"""The pixels ahead, to the left and to the right, of a walker at a corner; corner (r, c) is pixel (r, c)'s
upper left one."""


def outline(mask: Mask) -> list[NDArray[np.float64]]:
    """The outlines of a mask.

    Args:
        mask: (R, C).

    Returns:
        Closed polygons (N, 2) of (row, column), in pixels, with 0, 0 at the first pixel's centre. They
        turn clockwise in the image, do not overlap, and the last corner is joined to the first.
    """
    if not mask.any():  # as on most images of a series, and numbering regions takes long
        return []
    return [_trace(piece) + offset - 0.5 for piece, offset in _pieces(mask)]


def _pieces(mask: Mask) -> Iterator[tuple[Mask, NDArray[np.intp]]]:
    """Regions whose pixels are joined by their sides, without holes; each with its upper left corner."""
    waiting = [(mask, np.zeros(2, np.intp))]
    while waiting:
        part, corner = waiting.pop()
        numbers, _ = ndimage.label(part)
        for number, box in enumerate(ndimage.find_objects(numbers), start=1):
            piece, offset = numbers[box] == number, corner + [side.start for side in box]
            # Around a region that is joined by sides, the outside is joined by corners too.
            holes = ndimage.binary_fill_holes(piece, _AROUND) & ~piece
            if not holes.any():
                yield piece, offset
                continue
            row = int(np.flatnonzero(holes.any(axis=1))[0])
            waiting += [(piece[:row], offset), (piece[row:], offset + np.array([row, 0]))]


def _trace(piece: Mask) -> NDArray[np.float64]:
    """Corners of the one border of a piece, found by walking along it with the piece to the right."""
    padded = np.pad(piece, 1).tolist()  # lists are faster than arrays to read one by one
    start = row, column = 0, piece[0].argmax().item()
    heading = 3  # the border of the first pixel of the first row comes up on its left
    corners: list[tuple[int, int]] = []
    while not corners or (row, column, heading) != (*start, 3):
        left, right = (padded[row + down + 1][column + across + 1] for down, across in _AHEAD[heading])
        # To the right first: where two pixels touch at this corner alone, stay with the own one.
        turn = 1 if not right else -1 if left else 0
        if turn:
            corners.append((row, column))
        heading = (heading + turn) % 4
        row, column = row + _STEPS[heading][0], column + _STEPS[heading][1]
    return np.array(corners, np.float64)
