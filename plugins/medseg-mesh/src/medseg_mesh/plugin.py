"""What this plugin offers. This module imports nothing heavy."""

from collections.abc import Iterator

from medseg.plugin import Export, hookimpl

MEDSEG_API = 1

MARCHING_CUBES = "Lorensen & Cline 1987, doi:10.1145/37402.37422"


@hookimpl
def medseg_exports() -> Iterator[Export]:
    """The three files of surfaces."""
    yield Export(
        name="stl",
        factory="medseg_mesh.stl:write",
        suffix=".stl",
        summary="One closed surface around the labels, in RAS mm, for 3-D printing",
        reference=MARCHING_CUBES,
    )
    yield Export(
        name="obj",
        factory="medseg_mesh.obj:write",
        suffix=".obj",
        summary="A closed surface for each label, in RAS mm, as groups with colours",
        reference=MARCHING_CUBES,
    )
    yield Export(
        name="ply",
        factory="medseg_mesh.ply:write",
        suffix=".ply",
        summary="A closed surface for each label, in RAS mm, with colours and label numbers",
        reference=MARCHING_CUBES,
    )
