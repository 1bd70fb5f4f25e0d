"""The three files, read back by trimesh; refusals; nothing half-written."""

import subprocess
import sys

import numpy as np
import pytest
import trimesh

from medseg.errors import OptionError, ResourceError, VolumeError
from medseg.options import check_options
from medseg.plugin import Label, Result
from medseg.registry import default_registry
from medseg.volume import Volume

CLASSES = (
    Label(value=0, name="background", colour="#000000"),
    Label(value=1, name="left lobe", colour="#ff8000"),
    Label(value=2, name="right lobe", colour="#0040ff"),
    Label(value=5, name="cyst", colour="#00ff00"),
)
AFFINE = np.array([[-1.0, 0, 0, 12], [0, 1.5, 0, -30], [0, 0, 2.0, 100], [0, 0, 0, 1]])


def result_of(array):
    return Result(
        labels=Volume(array, AFFINE, kind="labels"), classes=CLASSES, model="toy:lobes", provenance={}
    )


@pytest.fixture
def lobes():
    """Two blocks that touch; label 5 is absent."""
    array = np.zeros((10, 9, 8), np.uint8)
    array[2:5, 2:7, 2:6] = 1
    array[5:8, 2:7, 2:6] = 2
    return result_of(array)


@pytest.fixture(params=["stl", "obj", "ply"])
def kind(request):
    return request.param


def export(kind, result, path, **options):
    registry = default_registry()
    factory = registry.load(registry.find("export", f"mesh:{kind}"))
    factory(result, path, **check_options(factory, options, owner=kind))
    return path


def blocks_mm(low, high):
    """World box of voxels low to high (inclusive), out to their borders."""
    low, high = np.array(low) - 0.5, np.array(high) + 0.5
    return np.sort(np.array([low, high]) @ AFFINE[:3, :3].T + AFFINE[:3, 3], axis=0)


def test_every_file_is_closed_and_lies_on_the_voxels_in_ras(kind, lobes, tmp_path):
    mesh = trimesh.load_mesh(export(kind, lobes, tmp_path / f"a.{kind}"), process=kind == "stl")

    assert mesh.is_watertight
    assert mesh.volume > 0
    np.testing.assert_allclose(mesh.bounds, blocks_mm((2, 2, 2), (7, 6, 5)), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "where"), [("stl", slice(0, 80)), ("obj", slice(0, 20)), ("ply", slice(0, 60))]
)
def test_every_file_tells_slicer_that_it_is_ras(kind, where, lobes, tmp_path):
    content = export(kind, lobes, tmp_path / f"a.{kind}").read_bytes()
    assert b"SPACE=RAS" in content[where]
    assert not content.startswith(b"solid")


def test_stl_has_no_wall_between_labels_that_touch(lobes, tmp_path):
    both = trimesh.load_mesh(export("stl", lobes, tmp_path / "both.stl"))
    left = trimesh.load_mesh(export("stl", lobes, tmp_path / "left.stl", labels="1"))
    border = AFFINE[0, 0] * 4.5 + AFFINE[0, 3]

    assert not np.isclose(both.triangles[:, :, 0], border).all(axis=1).any()
    assert np.isclose(left.triangles[:, :, 0], border).all(axis=1).any()


def test_stl_holds_the_normals_of_its_triangles(lobes, tmp_path):
    content = export("stl", lobes, tmp_path / "a.stl").read_bytes()
    count = int.from_bytes(content[80:84], "little")
    assert len(content) == 84 + 50 * count
    numbers = np.frombuffer(content[84:], np.dtype([("f", "<f4", (4, 3)), ("attribute", "<u2")]))["f"]
    np.testing.assert_allclose(numbers[:, 0], trimesh.load_mesh(tmp_path / "a.stl").face_normals, atol=1e-5)


def test_obj_has_a_group_and_a_colour_for_each_label_present(lobes, tmp_path):
    path = export("obj", lobes, tmp_path / "a.obj")
    scene = trimesh.load_scene(path, group_material=False, split_groups=True)

    assert set(scene.geometry) == {"left_lobe", "right_lobe"}
    for name, rgb in (("left_lobe", (255, 128, 0)), ("right_lobe", (0, 64, 255))):
        assert scene.geometry[name].is_watertight
        assert (scene.geometry[name].visual.vertex_colors[:, :3] == rgb).all()


def test_ply_has_colours_and_label_numbers(lobes, tmp_path):
    mesh = trimesh.load_mesh(export("ply", lobes, tmp_path / "a.ply"), process=False)
    vertex = mesh.metadata["_ply_raw"]["vertex"]["data"]

    assert set(vertex["label"].ravel().tolist()) == {1, 2}
    left = vertex["label"].ravel() == 1
    assert (mesh.visual.vertex_colors[left, :3] == (255, 128, 0)).all()
    assert (mesh.visual.vertex_colors[~left, :3] == (0, 64, 255)).all()
    np.testing.assert_allclose(
        [mesh.vertices[left].min(axis=0), mesh.vertices[left].max(axis=0)],
        blocks_mm((2, 2, 2), (4, 6, 5)),
        atol=1e-4,
    )


def test_labels_can_be_chosen_and_smoothed(kind, lobes, tmp_path):
    path = export(kind, lobes, tmp_path / f"a.{kind}", labels="2", smooth_mm="1.0")
    mesh = trimesh.load_mesh(path, process=kind == "stl")

    assert mesh.is_watertight
    assert mesh.centroid[0] == pytest.approx(AFFINE[0, 0] * 6 + AFFINE[0, 3], abs=1e-3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"labels": "7"}, OptionError, r"toy:lobes has no label 7 to draw.*1 \(left lobe\)"),
        ({"labels": "0"}, OptionError, "no label 0 to draw"),
        ({"labels": "1,5"}, VolumeError, r"no voxel of label 5 \(cyst\)"),
        ({"smooth_mm": "-1"}, OptionError, "smooth_mm is -1.0; wanted millimetres, 0 or more"),
        ({"smooth_mm": "nan"}, OptionError, "smooth_mm is nan"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_nothing_written(kind, options, error, message, lobes, tmp_path):
    with pytest.raises(error, match=message):
        export(kind, lobes, tmp_path / f"a.{kind}", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_map_is_refused(kind, tmp_path):
    with pytest.raises(VolumeError, match="holds background alone"):
        export(kind, result_of(np.zeros((4, 4, 4), np.uint8)), tmp_path / f"a.{kind}")


def test_a_label_that_the_model_does_not_describe_is_refused(kind, tmp_path):
    with pytest.raises(VolumeError, match="label 3, which toy:lobes does not have"):
        export(kind, result_of(np.full((4, 4, 4), 3, np.uint8)), tmp_path / f"a.{kind}")


def test_a_folder_that_is_not_there_is_a_sentence(kind, lobes, tmp_path):
    with pytest.raises(ResourceError, match="the folder does not exist"):
        export(kind, lobes, tmp_path / "nowhere" / f"a.{kind}")


def test_the_same_result_gives_the_same_bytes(kind, lobes, tmp_path):
    one, two = (export(kind, lobes, tmp_path / f"{n}.{kind}").read_bytes() for n in "ab")
    assert one == two


def test_the_entry_module_imports_nothing_heavy():
    code = "import sys, medseg_mesh.plugin; print({'numpy', 'scipy', 'skimage'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
