import gzip
import itertools

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from medseg.builtin.nifti import read, sniff
from medseg.errors import OptionError, VolumeError
from medseg.volume import Volume

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def simpleitk_affine(path):
    """Voxel index to RAS+ mm, as SimpleITK understands the file."""
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return RAS_FROM_LPS @ affine, SimpleITK.GetArrayFromImage(image).T


def orientations():
    for axes in itertools.permutations(("LR", "PA", "IS")):
        for signs in itertools.product((0, 1), repeat=3):
            yield "".join(pair[sign] for pair, sign in zip(axes, signs, strict=True))


@pytest.mark.parametrize("codes", list(orientations()))
def test_all_48_orientations_agree_with_nibabel_and_simpleitk(nifti_file, ramp, codes):
    affine = np.diag([0.0, 0, 0, 1])
    for axis, (code, spacing) in enumerate(zip(codes, (1.5, 1.25, 3.0), strict=True)):
        affine["LRPAIS".index(code) // 2, axis] = spacing if code in "RAS" else -spacing
    affine[:3, 3] = -20, 12.5, 7.25
    path = nifti_file("a.nii.gz", ramp, affine)
    volume = read(path)
    theirs = nib.load(path)
    assert volume.orientation == codes == "".join(nib.aff2axcodes(theirs.affine))
    assert np.allclose(volume.affine, theirs.affine, atol=1e-6)
    assert np.array_equal(volume.array, np.asarray(theirs.dataobj))
    itk_affine, itk_array = simpleitk_affine(path)
    assert np.allclose(volume.affine, itk_affine, atol=1e-5)
    assert np.array_equal(volume.array, itk_array)


@pytest.mark.parametrize("stated", ["both", "sform", "qform"])
def test_an_oblique_volume_agrees_with_nibabel_and_simpleitk(nifti_file, ramp, stated):
    codes = {"sform": {"qform_code": 0}, "qform": {"sform_code": 0}}.get(stated, {})
    path = nifti_file("a.nii", ramp, **codes)
    volume = read(path)
    assert np.allclose(volume.affine, nib.load(path).affine, atol=1e-5)
    assert np.allclose(volume.affine, simpleitk_affine(path)[0], atol=1e-4)


DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", DTYPES)
def test_unscaled_values_keep_their_type_and_every_bit(nifti_file, dtype, order, name):
    values = np.random.default_rng(0).integers(0, 256, 60 * np.dtype(dtype).itemsize, np.uint8).view(dtype)
    array = (
        np.nan_to_num(values, posinf=1, neginf=2).reshape(3, 4, 5).astype(np.dtype(dtype).newbyteorder(order))
    )
    image = nib.Nifti1Pair if name.endswith(".img") else nib.Nifti1Image
    volume = read(nifti_file(name, array, image=image))
    assert volume.array.dtype == np.dtype(dtype)
    assert np.array_equal(volume.array, array)


@pytest.mark.parametrize("order", "<>")
def test_nifti_2_is_read_in_either_byte_order(tmp_path, ramp, order):
    header = nib.Nifti2Header(endianness=order)
    header.set_data_dtype(np.int16)
    image = nib.Nifti2Image(ramp, np.diag([2.0, 2.0, 3.0, 1.0]), header)
    nib.save(image, tmp_path / "a.nii.gz")
    volume = read(tmp_path / "a.nii.gz")
    assert np.array_equal(volume.array, ramp)
    assert volume.spacing_mm == (2, 2, 3)


def test_a_big_endian_header_is_read(tmp_path, ramp):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(ramp, np.eye(4), header), tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
    assert np.array_equal(read(tmp_path / "a.nii").array, ramp)


@pytest.mark.parametrize("asked", ["hdr", "img"])
@pytest.mark.parametrize("ends", [("", ""), (".gz", ".gz"), ("", ".gz"), (".gz", "")])
def test_a_pair_is_read_by_either_name_whichever_half_is_gzipped(tmp_path, ramp, asked, ends):
    for name in ("plain.img", "zipped.img.gz"):
        nib.save(nib.Nifti1Pair(ramp, np.eye(4)), tmp_path / name)
    for half, end in zip(("hdr", "img"), ends, strict=True):
        source = f"zipped.{half}.gz" if end else f"plain.{half}"
        (tmp_path / f"a.{half}{end}").write_bytes((tmp_path / source).read_bytes())
    end = ends[asked == "img"]
    volume = read(tmp_path / f"a.{asked}{end}")
    assert np.array_equal(volume.array, ramp)
    assert "gzip" not in " ".join(volume.notes)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_an_upper_case_pair_finds_its_other_half(tmp_path, ramp, end):
    nib.save(nib.Nifti1Pair(ramp, np.eye(4)), tmp_path / f"a.img{end}")
    for half in ("img", "hdr"):
        name = f"a.{half}{end}"
        (tmp_path / name).rename(tmp_path / name.upper())
    assert np.array_equal(read(tmp_path / f"A.IMG{end.upper()}").array, ramp)


@pytest.mark.parametrize(
    ("stored", "image_type"),
    [("uint8", "float32"), ("int16", "float32"), ("uint16", "float32"), ("int32", "float64"),
     ("float32", "float32"), ("float64", "float64"), ("uint64", "float64")],
)  # fmt: skip
def test_scaled_values_are_the_nearest_floats_to_nibabels(nifti_file, ramp, stored, image_type):
    path = nifti_file("a.nii.gz", ramp.astype(stored), scl_slope=0.1, scl_inter=-1024)
    volume = read(path)
    assert volume.array.dtype == image_type
    assert np.array_equal(volume.array, nib.load(path).get_fdata().astype(image_type))


@pytest.mark.parametrize("label", [255, 70_000, 2**31 + 7, 2**53 + 1, 2**62 + 1])
def test_large_labels_stay_exact(nifti_file, label):
    array = np.array([0, 1, label], np.int64).reshape(1, 1, 3)
    assert read(nifti_file("a.nii", array), kind="labels").array.ravel().tolist() == [0, 1, label]


def test_labels_stored_as_whole_floats_become_integers(nifti_file, ramp):
    volume = read(nifti_file("a.nii", ramp.astype(np.float32)), kind="labels")
    assert volume.array.dtype.kind in "ui"
    assert np.array_equal(volume.array, ramp)


def test_scaled_labels_are_whole_numbers_again(nifti_file, ramp):
    volume = read(nifti_file("a.nii", ramp, scl_slope=2, scl_inter=1), kind="labels")
    assert volume.array.dtype.kind in "ui"
    assert np.array_equal(volume.array, ramp * 2 + 1)


def test_negative_labels_are_refused_by_name(nifti_file, ramp):
    with pytest.raises(VolumeError, match=r"^a\.nii: labels are numbers from 0"):
        read(nifti_file("a.nii", ramp - 1), kind="labels")


@pytest.mark.parametrize(("unit", "factor"), [(1, 1000), (3, 0.001)])
def test_metres_and_micrometres_become_millimetres_as_in_simpleitk(nifti_file, ramp, unit, factor):
    affine = np.diag([1.5, 1.25, 3.0, 1.0])
    affine[:3, 3] = 10, -20, 30
    affine[:3] /= factor
    path = nifti_file("a.nii", ramp, affine, xyzt_units=unit)
    volume = read(path)
    assert np.allclose(volume.spacing_mm, (1.5, 1.25, 3.0))
    assert np.allclose(volume.affine, simpleitk_affine(path)[0], rtol=1e-5)
    assert "converted to millimetres" in volume.notes[0]


def test_microscopy_that_declares_micrometres_needs_no_permission(nifti_file, ramp):
    volume = read(nifti_file("a.nii", ramp, np.diag([0.5, 0.5, 2, 1]), xyzt_units=3))
    assert np.allclose(volume.spacing_mm, (0.0005, 0.0005, 0.002))


@pytest.mark.parametrize("spacing", [0.04, 21.0])
def test_implausible_voxels_need_a_permission(nifti_file, ramp, spacing):
    path = nifti_file("a.nii", ramp, np.diag([spacing, 1, 1, 1]))
    with pytest.raises(VolumeError, match=r"--allow spacing=any"):
        read(path)
    assert np.isclose(read(path, spacing="any").spacing_mm[0], spacing)


def test_sform_or_qform_can_be_chosen_where_they_disagree(nifti_file, ramp):
    path = nifti_file("a.nii", ramp, qoffset_x=20)
    theirs = nib.load(path)
    with pytest.raises(VolumeError, match=r"disagree by 40 mm"):
        read(path)
    assert np.allclose(read(path, orientation="sform").affine, theirs.get_sform())
    chosen = read(path, orientation="qform")
    assert np.allclose(chosen.affine, theirs.get_qform())
    assert "the qform was taken as you said" in chosen.notes[0]


def test_a_difference_of_less_than_a_tenth_of_a_millimetre_is_none(nifti_file, ramp):
    path = nifti_file("a.nii", ramp, qoffset_x=-20.09)
    assert np.allclose(read(path).affine, nib.load(path).get_sform())
    with pytest.raises(VolumeError, match=r"disagree by 0\.11 mm"):
        read(nifti_file("b.nii", ramp, qoffset_x=-20.11))


def test_a_flip_of_one_voxel_is_found_although_no_corner_moves(nifti_file):
    path = nifti_file("a.nii", np.ones((1, 1, 1), np.uint8), np.eye(4), srow_x=[-1, 0, 0, 0])
    with pytest.raises(VolumeError, match=r"LAS\) and qform \(code 1, RAS\) disagree by 0 mm"):
        read(path)


def test_a_broken_form_can_be_passed_over_for_the_sound_one(nifti_file, ramp):
    singular = nifti_file("a.nii", ramp, srow_x=[0, 0, 0, 0])
    with pytest.raises(VolumeError, match=r"sform cannot be used: .*singular.*--allow orientation=qform"):
        read(singular)
    assert np.allclose(read(singular, orientation="qform").affine, nib.load(singular).get_qform())
    quaternion = nifti_file("b.nii", ramp, quatern_b=2)
    with pytest.raises(VolumeError, match=r"qform cannot be used: .*--allow orientation=sform"):
        read(quaternion)
    assert np.allclose(read(quaternion, orientation="sform").affine, nib.load(quaternion).affine)


def test_a_form_that_is_not_there_cannot_be_chosen(nifti_file, ramp):
    with pytest.raises(VolumeError, match=r"qform_code is 0: the file states sform"):
        read(nifti_file("a.nii", ramp, qform_code=0), orientation="qform")


@pytest.mark.parametrize("codes", ["LAS", "RAS", "PSR", "lpi"])
def test_an_orientation_can_be_given_to_a_file_without_one(nifti_file, ramp, codes):
    path = nifti_file("a.nii", ramp, sform_code=0, qform_code=0)
    volume = read(path, assume_orientation=codes)
    assert volume.orientation == codes.upper()
    assert np.allclose(volume.spacing_mm, (1.5, 1.25, 3.0))
    if codes == "LAS":  # what nibabel assumes without a word
        assert np.allclose(volume.affine, nib.load(path).affine)
    assert f"{codes.upper()}, centred on 0, was assumed as you said" in volume.notes[0]


def test_axis_codes_that_are_none_are_a_wrong_option(nifti_file, ramp):
    path = nifti_file("a.nii", ramp, sform_code=0, qform_code=0)
    with pytest.raises(OptionError, match=r"a\.nii: --allow assume-orientation=LLS: .*three letters"):
        read(path, assume_orientation="LLS")


def test_a_sform_that_contradicts_pixdim_is_taken_with_a_note(nifti_file, ramp):
    path = nifti_file(
        "a.nii", ramp, np.diag([2.0, 2.0, 2.0, 1.0]), qform_code=0, pixdim=[1, 1, 1, 1, 1, 1, 1, 1]
    )
    volume = read(path)
    assert volume.spacing_mm == (2, 2, 2)
    assert volume.notes == ("pixdim says 1 x 1 x 1 mm, the sform 2 x 2 x 2 mm; the sform was taken.",)


TILTED = np.array([[1.0, 0, 0, 5], [0, 1, -0.8, -3], [0, 0, 3, 2], [0, 0, 0, 1]])


def tilted_file(nifti_file, **fields):
    """A gantry tilt of 15 degrees; each voxel's value is linear in world coordinates."""
    i, j, k = np.meshgrid(*map(np.arange, (12, 14, 6)), indexing="ij")
    x, y, z = (
        TILTED[row, 0] * i + TILTED[row, 1] * j + TILTED[row, 2] * k + TILTED[row, 3] for row in range(3)
    )
    return nifti_file("a.nii", (8 * x + 12 * y + 20 * z).astype(np.float32), TILTED, **fields)


def test_a_sheared_grid_is_straightened_on_request_and_every_value_stays_in_its_place(nifti_file):
    path = tilted_file(nifti_file)
    with pytest.raises(VolumeError, match=r"sheared: its axes are 14\.93 degrees .*--allow shear=resample"):
        read(path)
    volume = read(path, shear="resample")
    assert np.allclose(volume.spacing_mm, (1, 1, 3))
    assert volume.shape == (12, 18, 6)
    index = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), axis=-1)
    world = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    old = (world - TILTED[:3, 3]) @ np.linalg.inv(TILTED[:3, :3]).T
    inside = ((old >= -1e-6) & (old <= np.array((12, 14, 6)) - 1 + 1e-6)).all(axis=-1)
    assert inside.mean() > 0.6
    assert np.allclose(volume.array[inside], (world @ [8, 12, 20])[inside], atol=1e-3)
    assert "resampled onto a straight one" in volume.notes[-1]


def test_a_straightened_label_map_has_no_new_labels(nifti_file):
    array = np.zeros((12, 14, 6), np.uint8)
    array[3:9, 4:10, 1:5] = 7
    volume = read(nifti_file("a.nii", array, TILTED), kind="labels", shear="resample")
    assert set(np.unique(volume.array).tolist()) == {0, 7}


def test_permission_for_shear_is_none_for_two_forms_that_disagree_besides(nifti_file):
    path = tilted_file(nifti_file, qoffset_x=9)
    with pytest.raises(VolumeError, match="disagree by 4 mm"):
        read(path, shear="resample")


def test_permission_for_shear_changes_nothing_where_there_is_none(nifti_file, ramp):
    path = nifti_file("a.nii", ramp)
    assert np.array_equal(read(path, shear="resample").array, ramp)


def test_nonfinite_voxels_are_replaced_on_request_and_counted(nifti_file, ramp):
    array = ramp.astype(np.float32)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    path = nifti_file("a.nii", array)
    with pytest.raises(VolumeError, match="1 NaN and 2 infinite voxels"):
        read(path)
    volume = read(path, nonfinite="-1024")
    assert volume.array[0, 0].tolist() == [-1024, -1024, -1024, 3, 4]
    assert volume.notes == ("1 NaN and 2 infinite voxels were replaced by -1024.",)
    for value in ("nan", "air", "1e39"):
        with pytest.raises(OptionError, match=f"--allow nonfinite={value}: wanted a number that is finite"):
            read(path, nonfinite=value)


def test_values_that_overflow_when_scaled_are_refused(nifti_file, ramp):
    with pytest.raises(VolumeError, match="infinite voxels"):
        read(nifti_file("a.nii", ramp, scl_slope=3e38, scl_inter=0))


@pytest.mark.parametrize("fields", [{"scl_slope": np.inf}, {"scl_slope": 2, "scl_inter": np.nan}])
def test_a_scale_that_is_no_number_is_refused(nifti_file, ramp, fields):
    with pytest.raises(VolumeError, match=r"scl_slope is .* wanted finite numbers"):
        read(nifti_file("a.nii", ramp, **fields))


def test_a_constant_volume_has_a_note(nifti_file, ramp):
    assert read(nifti_file("a.nii", ramp * 0 + 3)).notes == ("Every voxel has the value 3.",)


def test_a_sound_file_has_no_notes(nifti_file, ramp):
    assert read(nifti_file("a.nii.gz", ramp)).notes == ()


def test_content_is_recognised_without_a_name(nifti_file, ramp, tmp_path):
    for number, name in enumerate(("a.nii", "b.nii.gz")):
        nifti_file(name, ramp).rename(tmp_path / f"IM{number}")
        assert sniff(tmp_path / f"IM{number}")
        assert np.array_equal(read(tmp_path / f"IM{number}").array, ramp)
    for content in (b"", b"\x1f\x8b", b"\x1f\x8bgarbage", b"<html>", bytes(400)):
        (tmp_path / "other").write_bytes(content)
        assert not sniff(tmp_path / "other")
    assert not sniff(tmp_path)


def test_the_array_is_read_only_and_not_a_view_of_the_file(nifti_file, ramp):
    path = nifti_file("a.nii", ramp)
    volume = read(path)
    path.write_bytes(b"")
    assert isinstance(volume, Volume)
    assert np.array_equal(volume.array, ramp)
    assert not volume.array.flags.writeable


@pytest.mark.parametrize("name", ["four.nii", "four.nii.gz", "four.img"])
def test_one_volume_of_several_is_read_where_it_is_named(tmp_path, name):
    values = np.random.default_rng(0).integers(-999, 999, (5, 4, 3, 4)).astype(np.int16)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    kind = nib.Nifti1Pair if name.endswith("img") else nib.Nifti1Image
    nib.save(kind(values, affine), tmp_path / name)
    for number in range(4):
        volume = read(tmp_path / name, volume=number)
        np.testing.assert_array_equal(volume.array, values[..., number])
        np.testing.assert_array_equal(volume.affine, affine)
        assert f"volume {number} of 4 (5 x 4 x 3 x 4), numbered from 0, was read." in volume.notes
    with pytest.raises(VolumeError, match="volume 4 was asked for; there are 4, numbered from 0"):
        read(tmp_path / name, volume=4)
    with pytest.raises(VolumeError, match="use --allow volume=0 to volume=3"):
        read(tmp_path / name)


def test_a_file_of_several_volumes_is_read_to_its_end(tmp_path):
    file = tmp_path / "four.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((50, 40, 30, 4), np.int16), np.eye(4)), file)
    content = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(content[:-2]))
    with pytest.raises(VolumeError, match="the file is cut: 479,998 of 480,000 bytes of voxels"):
        read(file, volume=0)
    file.write_bytes(gzip.compress(content)[:-4])
    with pytest.raises(VolumeError, match="gzip stream is cut"):
        read(file, volume=3)
    file.write_bytes(gzip.compress(content + bytes(2 * 50 * 40 * 30 * 4)))
    with pytest.raises(VolumeError, match="declares 480,000 bytes of voxels, and another volume or more"):
        read(file, volume=3)


def test_the_only_volume_may_be_named(tmp_path):
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5), np.float32), np.eye(4)), tmp_path / "a.nii")
    assert read(tmp_path / "a.nii", volume=0).shape == (3, 4, 5)
