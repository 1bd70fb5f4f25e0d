"""STL, binary: triangles without colours or names.

Reference: the format of 3D Systems 1988; the header's ``SPACE=RAS`` is read by 3D Slicer
(vtkMRMLModelStorageNode).
"""

from pathlib import Path

import numpy as np

from medseg.atomic import write_bytes_whole
from medseg.plugin import Result
from medseg_mesh.bodies import draw_union
from medseg_mesh.space import SPACE

_HEADER_BYTES = 80
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write(result: Result, path: str | Path, *, labels: tuple[int, ...] = (), smooth_mm: float = 0.0) -> None:
    """Write one closed surface around all the labels together; STL cannot tell labels apart.

    Args:
        result: what is drawn.
        path: the file.
        labels: values to draw; all that the map holds if empty.
        smooth_mm: standard deviation of the smoothing, 0 for none.

    Raises:
        OptionError: a label that the model does not have.
        VolumeError: nothing to draw.
        ResourceError: the disk refused the file.
    """
    surface = draw_union(result, labels=labels, smooth_mm=smooth_mm)
    triangles = np.zeros(len(surface.faces), _TRIANGLE)
    triangles["normal"] = surface.normals
    triangles["corners"] = surface.vertices[surface.faces]
    # A binary file must not begin with "solid", by which readers know the text form.
    header = f"binary STL by medseg, mm. {SPACE}".encode().ljust(_HEADER_BYTES)
    write_bytes_whole(path, header + np.uint32(len(triangles)).astype("<u4").tobytes() + triangles.tobytes())
