"""What this plugin offers. This module imports nothing heavy."""

from collections.abc import Iterator

from medseg.plugin import Label, Method, Step, hookimpl

MEDSEG_API = 1

OBJECT = (
    Label(value=0, name="background", colour="#000000"),
    Label(value=1, name="object", colour="#e69f00"),
)
USE = "Comparison with networks, and first masks to be corrected; research only"
OTSU = "Otsu 1979, doi:10.1109/TSMC.1979.4310076"
GROWING = "Adams & Bischof 1994, doi:10.1109/34.295913"
WATERSHED = "Vincent & Soille 1991, doi:10.1109/34.87344"
WALKER = "Grady 2006, doi:10.1109/TPAMI.2006.233"
CUT = "Boykov & Jolly 2001, doi:10.1109/ICCV.2001.937505"
FIELD = "Krahenbuhl & Koltun 2011, arXiv:1210.5644, on the grid's six neighbours"
MORPHOLOGY = "Marquez-Neila, Baumela, Alvarez 2014, doi:10.1109/TPAMI.2013.106"
GEODESIC = "Caselles, Kimmel, Sapiro 1997, doi:10.1023/A:1007979827043"
SLIC = "Achanta et al. 2012, doi:10.1109/TPAMI.2012.120"


@hookimpl
def medseg_methods() -> Iterator[Method]:
    """Methods without weights."""
    several: tuple[tuple[str, str, str], ...] = (
        ("multi-otsu", "Several classes by the thresholds of least variance", "Liao, Chen, Chung 2001"),
        ("k-means", "Several classes of intensity around means", "Lloyd 1982, doi:10.1109/TIT.1982.1056489"),
        ("random-field", "Clusters of intensity that agree with their neighbours", FIELD),
        ("slic", "Supervoxels: small pieces of like intensity", SLIC),
    )
    for name, summary, reference in several:
        yield Method(
            name=name,
            factory=f"medseg_classics.methods:{name.replace('-', '_')}",
            intended_use=USE,
            summary=summary,
            reference=reference,
        )
    one: tuple[tuple[str, str, str], ...] = (
        ("otsu", "Two classes by the threshold of least variance", OTSU),
        ("hysteresis", "What is above one threshold and touches what is above another", OTSU),
        ("region-growing", "Connected voxels like those around a point", GROWING),
        ("watershed", "Edges flooded from points", WATERSHED),
        ("random-walker", "The seed that a random walker meets first", WALKER),
        ("graph-cut", "The object of least cost, by a maximum flow", CUT),
        ("morphological-chan-vese", "A mask that moves towards two means", MORPHOLOGY),
        ("morphological-geodesic", "A mask that grows until it meets an edge", MORPHOLOGY),
        ("geodesic", "A level set that grows until it meets an edge", GEODESIC),
    )
    for name, summary, reference in one:
        yield Method(
            name=name,
            factory=f"medseg_classics.methods:{name.replace('-', '_')}",
            labels=OBJECT,
            intended_use=USE,
            summary=summary,
            reference=reference,
        )


@hookimpl
def medseg_steps() -> Iterator[Step]:
    """The same for masks that are there already."""
    steps: tuple[tuple[str, str, str, str], ...] = (
        ("random-field", "random_field", "Neighbours agree unless the image has an edge between them", FIELD),
        ("slic", "majority", "Each supervoxel gets the label that most of it has", SLIC),
        ("watershed", "watershed", "The band around each border is flooded anew", WATERSHED),
        ("random-walker", "random_walker", "The band around each border goes to the likelier side", WALKER),
        ("graph-cut", "graph_cut", "The cheapest border in the band around each border", CUT),
        ("morphological-chan-vese", "morphological_chan_vese", "Each label moves to its mean", MORPHOLOGY),
        ("morphological-geodesic", "morphological_geodesic", "Each label moves to an edge", MORPHOLOGY),
        ("geodesic", "geodesic", "A level set moves each label to an edge", GEODESIC),
    )
    for name, code, summary, reference in steps:
        yield Step(
            name=name,
            factory=f"medseg_classics.refiners:{code}",
            stage="post",
            needs_image=True,
            summary=summary,
            reference=reference,
        )
