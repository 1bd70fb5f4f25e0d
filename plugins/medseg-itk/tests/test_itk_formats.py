"""Good files: the same world values as SimpleITK has, whatever the orientation, and back again."""

import itertools

import numpy as np
import pytest
import SimpleITK

from medseg.errors import OptionError, VolumeError
from medseg.formats import load, save
from medseg.volume import Volume

SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")
WRITTEN = (".mha", ".nrrd")
TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def orientations():
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield np.eye(3)[:, order] * signs


def image_of(array=None, axes=None, *, spacing=(1.5, 1.25, 3.0), origin=(-15.0, 10.5, 7.25)):
    """A SimpleITK image of an array (I, J, K)."""
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) if array is None else array
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection((np.eye(3) if axes is None else axes).ravel().tolist())
    return image


def affine_of(image):
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ affine


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_orientation_is_read_where_simpleitk_puts_it(tmp_path, suffix):
    oblique = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    for number, axes in enumerate((*orientations(), oblique)):
        image = image_of(axes=axes)
        path = tmp_path / f"{number}{suffix}"
        SimpleITK.WriteImage(image, path, useCompression=number % 2 == 0)
        # Without a child each: this one promise is read 49 times.
        volume = read(path)
        np.testing.assert_allclose(volume.affine, affine_of(image), atol=1e-9)
        np.testing.assert_array_equal(volume.array, SimpleITK.GetArrayFromImage(image).T)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_orientation_is_written_where_simpleitk_reads_it(tmp_path, suffix):
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    for axes in orientations():
        affine = np.eye(4)
        affine[:3, :3] = axes * (1.5, 1.25, 3.0)
        affine[:3, 3] = 1 / 3, -20, 30
        path = tmp_path / f"x{suffix}"
        save(Volume(array, affine), path)
        image = SimpleITK.ReadImage(path)
        np.testing.assert_allclose(affine_of(image), affine, atol=1e-12)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image).T, array)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_type_goes_out_and_in_unchanged(tmp_path, suffix, dtype):
    highest = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1 / 3
    array = np.array([0, 1, highest, 2], dtype).reshape(2, 2, 1)
    path = tmp_path / f"x{suffix}"
    save(Volume(array, np.eye(4)), path)
    back = load(path).array
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)).T, array)


def test_the_spaces_of_nrrd_are_one_world(tmp_path):
    image = image_of()
    SimpleITK.WriteImage(image, tmp_path / "lps.nrrd", useCompression=False)
    content = (tmp_path / "lps.nrrd").read_bytes()
    for space, signs in {"RAS": (-1, -1, 1), "left-anterior-superior": (1, -1, 1)}.items():
        head, voxels = content.split(b"\n\n", 1)
        lines = [line for line in head.decode().split("\n") if not line.startswith("space")]
        columns = np.diag(signs) @ np.diag(image.GetSpacing())
        vectors = " ".join("(" + ",".join(map(str, column)) + ")" for column in columns.T)
        origin = ",".join(map(str, np.array(signs) * image.GetOrigin()))
        lines += [f"space: {space}", f"space directions: {vectors}", f"space origin: ({origin})"]
        (tmp_path / "other.nrrd").write_bytes("\n".join(lines).encode() + b"\n\n" + voxels)
        np.testing.assert_allclose(load(tmp_path / "other.nrrd").affine, affine_of(image), atol=1e-9)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_big_endian_voxels_are_read(tmp_path, suffix):
    array = np.arange(120, dtype=">i2").reshape(4, 5, 6)
    name, order = ("BinaryDataByteOrderMSB = False", "BinaryDataByteOrderMSB = True")
    if suffix == ".nrrd":
        name, order = "endian: little", "endian: big"
    path = tmp_path / f"x{suffix}"
    SimpleITK.WriteImage(image_of(array.astype("<i2")), path, useCompression=False)
    content = path.read_bytes()
    head = content[: len(content) - array.nbytes].replace(name.encode(), order.encode())
    path.write_bytes(head + array.tobytes(order="F"))
    np.testing.assert_array_equal(load(path).array, array)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_keys_of_a_header_are_read_past(tmp_path, suffix):
    image = image_of()
    image.SetMetaData("0010|0010", "DOE^JANE")
    SimpleITK.WriteImage(image, tmp_path / f"x{suffix}")
    volume = load(tmp_path / f"x{suffix}")
    assert "DOE" not in repr(volume.notes)
    np.testing.assert_array_equal(volume.array, SimpleITK.GetArrayFromImage(image).T)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_written_file_holds_no_more_than_geometry_and_voxels(tmp_path, suffix):
    save(Volume(np.zeros((4, 5, 6), np.uint8), np.eye(4), notes=("a note",)), tmp_path / f"a{suffix}")
    save(Volume(np.zeros((4, 5, 6), np.uint8), np.eye(4)), tmp_path / f"b{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", WRITTEN)
def test_labels_take_the_smallest_type_and_come_back_as_labels(tmp_path, suffix):
    labels = Volume(np.array([0, 1, 300], np.int64).reshape(3, 1, 1), np.eye(4), "labels")
    save(labels, tmp_path / f"x{suffix}")
    back = load(tmp_path / f"x{suffix}", kind="labels")
    assert (back.kind, back.array.dtype) == ("labels", np.uint16)
    np.testing.assert_array_equal(back.array, labels.array)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_nan_is_written_as_it_is_and_refused_when_read(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    save(Volume(np.array([[[np.nan, 1, np.inf]]], np.float32), np.eye(4)), path)
    with pytest.raises(VolumeError, match="1 NaN and 1 infinite voxels"):
        load(path)
    assert load(path, nonfinite="-1").array.tolist() == [[[-1, 1, -1]]]
    with pytest.raises(OptionError, match="finite in float32"):
        load(path, nonfinite="1e39")


@pytest.mark.parametrize("suffix", WRITTEN)
def test_what_a_format_cannot_hold_is_not_written(tmp_path, suffix):
    sheared = np.eye(4)
    sheared[0, 1] = 0.1
    with pytest.raises(VolumeError, match="not perpendicular"):
        save(Volume(np.zeros((2, 2, 2)), sheared), tmp_path / f"x{suffix}")
    with pytest.raises(OptionError, match="written as one file"):
        save(Volume(np.zeros((2, 2, 2)), np.eye(4)), tmp_path / "x.mhd")
    assert list(tmp_path.iterdir()) == []


def read(path):
    from medseg_itk.reader import read_metaimage, read_nrrd

    return (read_metaimage if path.suffix in (".mha", ".mhd") else read_nrrd)(path)
