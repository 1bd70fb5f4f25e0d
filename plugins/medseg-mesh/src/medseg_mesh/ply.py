"""PLY, binary: coloured vertices, each with the number of its label.

Reference: Turk 1994, The PLY Polygon File Format; the comment ``SPACE=RAS`` is read by 3D Slicer.
"""

from pathlib import Path

import numpy as np

from medseg.atomic import write_bytes_whole
from medseg.plugin import Result
from medseg_mesh.bodies import draw_bodies
from medseg_mesh.space import SPACE

_VERTEX = np.dtype([("position", "<f4", 3), ("rgb", "u1", 3), ("label", "<i4")])
_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])


def write(result: Result, path: str | Path, *, labels: tuple[int, ...] = (), smooth_mm: float = 0.0) -> None:
    """Write the closed surface of each label in its colour; arguments and errors as in ``stl.write``."""
    vertices, faces, comments = [], [], []
    first = 0
    for body in draw_bodies(result, labels=labels, smooth_mm=smooth_mm):
        corners = np.zeros(len(body.surface.vertices), _VERTEX)
        corners["position"] = body.surface.vertices
        corners["rgb"] = body.rgb
        corners["label"] = body.label.value
        triangles = np.zeros(len(body.surface.faces), _FACE)
        triangles["count"] = 3
        triangles["corners"] = body.surface.faces + first
        first += len(corners)
        vertices.append(corners.tobytes())
        faces.append(triangles)
        comments.append(f"comment label {body.label.value} {body.group}\n")
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment {SPACE}\ncomment millimetres\n{''.join(comments)}"
        f"element vertex {first}\nproperty float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty int label\n"
        f"element face {sum(map(len, faces))}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    content = [header.encode(), *vertices, *(triangles.tobytes() for triangles in faces)]
    write_bytes_whole(path, b"".join(content))
