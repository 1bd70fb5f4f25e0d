"""Wavefront OBJ: one group a label, its colour written with each vertex, so that one file is enough.

Reference: Wavefront Advanced Visualizer manual, appendix B1; the comment ``SPACE=RAS`` is read by 3D
Slicer, colours after coordinates by MeshLab, Blender and others.
"""

import io
from pathlib import Path

import numpy as np

from medseg.atomic import write_bytes_whole
from medseg.plugin import Result
from medseg_mesh.bodies import draw_bodies
from medseg_mesh.space import SPACE


def write(result: Result, path: str | Path, *, labels: tuple[int, ...] = (), smooth_mm: float = 0.0) -> None:
    """Write the closed surface of each label as a group; arguments and errors as in ``stl.write``."""
    text = io.StringIO()
    text.write(f"# {SPACE}\n# millimetres; by medseg\n")
    first = 1  # OBJ counts from one
    for body in draw_bodies(result, labels=labels, smooth_mm=smooth_mm):
        red, green, blue = (value / 255 for value in body.rgb)
        text.write(f"g {body.group}\n")
        np.savetxt(text, body.surface.vertices, fmt=f"v %.4f %.4f %.4f {red:.4f} {green:.4f} {blue:.4f}")
        np.savetxt(text, body.surface.faces + first, fmt="f %d %d %d")
        first += len(body.surface.vertices)
    write_bytes_whole(path, text.getvalue().encode())
