import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import medseg.builtin.nifti_write
from medseg.builtin.nifti import read, write
from medseg.errors import OptionError, ResourceError, VolumeError
from medseg.volume import Volume

OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.3, -0.2, 0.1) * [1.5, 1.25, 3.0], [-20, 12.5, 7.25]
)
SHEARED = np.array([[1.0, 0, 0, 5], [0, 1, -0.8, -3], [0, 0, 3, 2], [0, 0, 0, 1]])


def block(dtype=np.int16, kind="image", affine=OBLIQUE):
    return Volume(np.arange(7 * 6 * 5).reshape(7, 6, 5).astype(dtype), affine, kind)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_nibabel_and_simpleitk_read_back_the_same_voxels_in_the_same_place(tmp_path, name):
    volume = block()
    write(volume, tmp_path / name)
    theirs = nib.load(tmp_path / name)
    assert np.array_equal(np.asarray(theirs.dataobj), volume.array)
    assert np.allclose(theirs.get_sform(), volume.affine, atol=1e-5)
    assert np.allclose(theirs.get_qform(), volume.affine, atol=1e-5)
    assert (int(theirs.header["sform_code"]), int(theirs.header["qform_code"])) == (2, 2)
    image = SimpleITK.ReadImage(str(tmp_path / name))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).T, volume.array)
    assert np.allclose(np.array(image.GetOrigin()) * [-1, -1, 1], volume.affine[:3, 3], atol=1e-5)
    assert np.allclose(image.GetSpacing(), volume.spacing_mm)


KEPT = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [*zip(KEPT, KEPT, strict=True), ("bool", "uint8"), ("float16", "float32"), (">i2", "int16")],
)
def test_images_keep_their_type_or_take_the_next_that_there_is(tmp_path, given, stored):
    volume = block(given)
    write(volume, tmp_path / "a.nii.gz")
    back = read(tmp_path / "a.nii.gz")
    assert back.array.dtype == stored
    assert np.array_equal(back.array, volume.array)


@pytest.mark.parametrize(
    ("largest", "stored"), [(1, "uint8"), (255, "uint8"), (256, "uint16"), (65536, "int32"), (2**40, "int64")]
)
def test_labels_get_the_smallest_type_that_holds_them(tmp_path, largest, stored):
    volume = Volume(np.array([0, largest], np.int64).reshape(1, 1, 2), np.eye(4), "labels")
    write(volume, tmp_path / "a.nii")
    back = read(tmp_path / "a.nii", kind="labels")
    assert back.array.dtype == stored
    assert back.array.ravel().tolist() == [0, largest]


def test_the_same_volume_gives_the_same_bytes_under_any_name_and_memory_order(tmp_path):
    write(block(), tmp_path / "a.nii.gz")
    volume = block()
    write(Volume(np.asfortranarray(volume.array), volume.affine, notes=("another",)), tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_the_header_holds_no_text_no_time_and_no_extension(tmp_path):
    source = Path(__file__).parents[2] / "data" / "nifti_bad" / "43_phi_header.nii"
    write(read(source), tmp_path / "a.nii.gz")
    raw = (tmp_path / "a.nii.gz").read_bytes()
    plain = gzip.decompress(raw)
    assert raw[3] == 0  # no name, no comment
    assert raw[4:8] == bytes(4)  # no time
    assert plain[4:39] == bytes(35)  # data_type, db_name, extents, session_error
    assert plain[148:252] == bytes(104)  # descrip, aux_file
    assert plain[328:344] == bytes(16)  # intent_name
    assert plain[348:352] == bytes(4)
    assert len(plain) == 352 + 12 * 10 * 8 * 2


def test_a_sheared_grid_is_written_as_sform_alone_and_reads_back_with_permission(tmp_path):
    write(block(affine=SHEARED), tmp_path / "a.nii")
    header = nib.load(tmp_path / "a.nii").header
    assert int(header["qform_code"]) == 0
    assert np.allclose(header.get_sform(), SHEARED)
    with pytest.raises(VolumeError, match="shear=resample"):
        read(tmp_path / "a.nii")


@pytest.mark.parametrize("name", ["a.hdr", "a.img", "a.img.gz"])
def test_pairs_are_not_written(tmp_path, name):
    with pytest.raises(
        OptionError, match=rf"{name}: NIfTI is written as one file; name it \.nii\.gz or \.nii"
    ):
        write(block(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_nifti_cannot_hold_is_refused_before_writing(tmp_path):
    with pytest.raises(VolumeError, match="NIfTI-1 holds at most 32767 voxels"):
        write(Volume(np.zeros((40000, 1, 1), np.uint8), np.eye(4)), tmp_path / "a.nii")
    if np.dtype(np.longdouble).itemsize > 8:
        with pytest.raises(VolumeError, match=r"cannot be written; convert it with array\.astype"):
            write(block(np.longdouble), tmp_path / "a.nii")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("change", ["voxel", "header", "longer"])
def test_a_disk_that_gives_back_other_bytes_leaves_nothing(tmp_path, monkeypatch, name, change):
    write_part = medseg.builtin.nifti_write._write_part

    def write_wrongly(part, *, head, array, gzipped):
        if change == "header":
            head = head[:292] + b"\x01" + head[293:]  # within srow_x
        if change == "voxel":
            array = array.copy()
            array[-1, -1, -1] += 1
        if change == "longer":
            array = np.concatenate([array, array[..., :1]], axis=2)
        write_part(part, head=head, array=array, gzipped=gzipped)

    monkeypatch.setattr("medseg.builtin.nifti_write._write_part", write_wrongly)
    with pytest.raises(ResourceError, match=f"cannot write {name}: the disk gave back other bytes"):
        write(block(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_the_environments_fault(tmp_path):
    with pytest.raises(ResourceError, match="make it first"):
        write(block(), tmp_path / "nowhere" / "a.nii")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=arrays(
        st.sampled_from([np.uint8, np.int16, np.int64, np.uint64, np.float32, np.float64]),
        array_shapes(min_dims=3, max_dims=3, max_side=5),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    angles=st.tuples(*[st.floats(-3.2, 3.2)] * 3),
    spacing=st.tuples(*[st.floats(0.1, 15)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
)
def test_any_volume_comes_back_bit_for_bit_in_its_place(tmp_path, array, angles, spacing, origin):
    affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(*angles) * spacing, origin)
    write(Volume(array, affine), tmp_path / "a.nii.gz")
    back = read(tmp_path / "a.nii.gz")
    assert back.array.dtype == array.dtype
    assert np.array_equal(back.array, array)
    assert np.array_equal(back.affine, affine.astype(np.float32))
