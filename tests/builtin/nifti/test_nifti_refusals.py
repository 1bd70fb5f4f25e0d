"""Every refusal names the file, what was found, what was wanted and what to do."""

import gzip
import json
import re
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.builtin.nifti import read
from medseg.errors import ResourceError, VolumeError

BAD = Path(__file__).parents[2] / "data" / "nifti_bad"
CASES = json.loads((BAD / "MANIFEST.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_each_case_of_the_manifest_is_read_or_refused_as_promised(case, caplog):
    path = BAD / case["id"]
    if case["expect"] == "refuse":
        with pytest.raises(VolumeError, match=rf"^{re.escape(case['id'])}: .*{case['message']}"):
            read(path, kind=case["kind"])
    else:
        volume = read(path, kind=case["kind"])
        assert volume.shape == (12, 10, 8)
        assert re.search(case["note"], " ".join(volume.notes))
        assert bool(volume.notes) == bool(case["note"])
    assert not caplog.records  # nibabel logs on stderr what it repairs; here nothing is repaired


def test_every_file_in_the_folder_has_its_case():
    halves = {"46_analyze.hdr"}  # refused through its other half
    assert {p.name for p in BAD.iterdir()} - {"MANIFEST.json"} == {case["id"] for case in CASES} | halves


@pytest.mark.parametrize("case", [c for c in CASES if c["expect"] == "read"], ids=lambda case: case["id"])
def test_what_is_read_has_the_values_and_the_place_that_nibabel_finds(case, tmp_path):
    path = BAD / case["id"]
    content = path.read_bytes()
    if path.name.startswith(("34", "35")):  # nibabel wants the right name
        path = tmp_path / ("a.nii.gz" if content[:2] == b"\x1f\x8b" else "a.nii")
        path.write_bytes(content)
    theirs, volume = nib.load(path), read(BAD / case["id"])
    scale = 1000 if "meter" in case["id"] else 1
    assert np.array_equal(volume.array, np.asarray(theirs.dataobj).reshape(volume.shape))
    assert np.allclose(volume.affine[:3], theirs.affine[:3] * scale, rtol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_no_text_of_the_header_reaches_notes_or_messages(case):
    try:
        said = " ".join(read(BAD / case["id"], kind=case["kind"]).notes)
    except VolumeError as error:
        said = str(error)
    assert not re.search(r"DOE|JANE|MRN|SYNTH|PHANTOM", said)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dim": [0, 7, 6, 5, 1, 1, 1, 1]}, r"dim\[0\] \(number of axes\) is 0"),
        ({"dim": [9, 7, 6, 5, 1, 1, 1, 1]}, r"dim\[0\] \(number of axes\) is 9"),
        ({"dim": [3, 7, 0, 5, 1, 1, 1, 1]}, r"dim is 7 x 0 x 5"),
        ({"dim": [4, 7, 6, 5, 2, 1, 1, 1]}, r"4 axes \(7 x 6 x 5 x 2\): several volumes"),
        ({"dim": [5, 7, 6, 5, 1, 3, 1, 1]}, r"5 axes \(7 x 6 x 5 x 1 x 3\)"),
        ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, r"30000 x 30000 x 30000 .*the file has 772 bytes"),
        ({"bitpix": 8}, "datatype is int16, but bitpix is 8; wanted 16"),
        ({"datatype": 1536, "bitpix": 128}, r"datatype is 1536 \(float128\)"),
        ({"datatype": 2304, "bitpix": 32}, r"datatype is 2304 \(RGBA\)"),
        ({"vox_offset": 348}, "at least 352"),
        ({"vox_offset": 352.5}, "vox_offset .* is 352.5"),
        ({"vox_offset": np.nan}, "vox_offset .* is nan"),
        ({"vox_offset": 5000}, r"end at byte 5,420; the file has 772 bytes"),
        ({"magic": b"ni1"}, r"name this file \.hdr and put its \.img beside it"),
        ({"pixdim": [1, 0, 1, 1, 0, 0, 0, 0]}, r"qform cannot be used: pixdim is 0 x 1 x 1"),
        ({"pixdim": [1, 1, np.inf, 1, 0, 0, 0, 0], "sform_code": 0}, "pixdim is 1 x inf x 1"),
        ({"quatern_c": np.nan, "sform_code": 0}, "quaternion is .*nan"),
        ({"srow_x": [1, 1, 0, 0], "srow_y": [1, 1, 0, 0]}, "sform cannot be used: the affine is singular"),
        ({"pixdim": [1, -1, 1, 1, 0, 0, 0, 0], "sform_code": 0, "qform_code": 0}, "no orientation"),
    ],
)  # fmt: skip
def test_a_header_that_leaves_a_doubt_is_refused(nifti_file, ramp, fields, message):
    with pytest.raises(VolumeError, match=rf"^a\.nii: .*{message}"):
        read(nifti_file("a.nii", ramp, **fields))


def test_assumed_orientation_still_wants_voxel_sizes(nifti_file, ramp):
    path = nifti_file("a.nii", ramp, sform_code=0, qform_code=0, pixdim=[1, 0, 1, 1, 0, 0, 0, 0])
    with pytest.raises(VolumeError, match="pixdim is 0 x 1 x 1; wanted three voxel sizes"):
        read(path, assume_orientation="RAS")


def test_one_file_named_as_a_pair_is_told_its_name(nifti_file, ramp, tmp_path):
    nifti_file("a.nii", ramp).rename(tmp_path / "a.hdr")
    (tmp_path / "a.img").write_bytes(b"")
    with pytest.raises(VolumeError, match=r"header and voxels are one file; name that file \.nii"):
        read(tmp_path / "a.hdr")


@pytest.mark.parametrize(("start", "message"), [(b"PK\x03\x04", "zip archive"), (b"abcd", "61 62 63 64")])
def test_other_content_is_called_by_its_name(tmp_path, start, message):
    (tmp_path / "a.nii").write_bytes(start + bytes(600))
    with pytest.raises(VolumeError, match=message):
        read(tmp_path / "a.nii")


def test_dicom_named_nii_is_called_dicom(tmp_path):
    (tmp_path / "a.nii").write_bytes(bytes(128) + b"DICM" + bytes(600))
    with pytest.raises(VolumeError, match="it is a DICOM file"):
        read(tmp_path / "a.nii")


def test_a_header_cut_in_the_middle_says_so(nifti_file, ramp, tmp_path):
    path = nifti_file("a.nii", ramp, image=nib.Nifti2Image)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(VolumeError, match="header is cut: 400 of 540 bytes"):
        read(path)


def test_a_few_bytes_after_the_voxels_are_noted_and_another_volume_is_refused(nifti_file, ramp):
    path = nifti_file("a.nii", ramp)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(10))
    assert read(path).notes == ("10 bytes after the voxels were ignored.",)
    for size in (ramp.nbytes, ramp.nbytes + 1):  # exactly one more volume, as where the fourth axis is lost
        path.write_bytes(whole + bytes(size))
        with pytest.raises(VolumeError, match="does not describe all that the file holds"):
            read(path)


def bomb(path, shape, dtype=np.int16):
    """A file that inflates to a volume of zeros, without making the volume."""
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"] = 352
    member = gzip.compress(bytes(1 << 20), 9)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    rest = gzip.compress(bytes(size % (1 << 20)))
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4)) + member * (size >> 20) + rest)
    return path


def test_a_decompression_bomb_is_refused_from_its_header(tmp_path):
    path = bomb(tmp_path / "a.nii.gz", (1024, 1024, 700))
    tracemalloc.start()
    try:
        with pytest.raises(VolumeError, match=r"1\.37 GiB, from 1\.\d+ MiB of gzip.*--allow inflate=yes"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_size_that_no_gzip_file_so_small_can_hold_is_refused(nifti_file, ramp):
    path = nifti_file("a.nii.gz", ramp, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    with pytest.raises(VolumeError, match=r"bytes of gzip cannot hold more than"):
        read(path, inflate=True)


def test_an_empty_label_map_of_a_whole_body_is_no_bomb(tmp_path):
    volume = read(bomb(tmp_path / "a.nii.gz", (512, 512, 600), np.uint8), kind="labels")
    assert volume.shape == (512, 512, 600)
    assert not volume.array.any()


def test_a_volume_that_does_not_fit_into_memory_is_the_machines_fault(nifti_file, ramp, monkeypatch):
    def full(*_):
        raise MemoryError

    path = nifti_file("a.nii", ramp)
    monkeypatch.setattr("medseg.builtin.nifti.np.empty", full)
    with pytest.raises(ResourceError, match=r"^a\.nii: its voxels need .* GiB of memory"):
        read(path)


@pytest.mark.parametrize("qfac", [np.nan, np.inf])
def test_a_side_that_is_no_number_is_refused(nifti_file, ramp, qfac):
    path = nifti_file("a.nii", ramp, pixdim=[qfac, 1.5, 1.25, 3, 0, 0, 0, 0], sform_code=0)
    with pytest.raises(VolumeError, match=r"pixdim\[0\] \(qfac\), .* is (nan|inf); wanted 1 or -1"):
        read(path)


@pytest.mark.parametrize(("old", "new"), [(b"\r\n\x1a\n", b"\n\x1a\n\n"), (b"\r\n", b"\n\n")])
def test_nifti_2_that_was_transferred_as_text_is_refused(nifti_file, ramp, old, new):
    path = nifti_file("a.nii", ramp, image=nib.Nifti2Image)
    assert read(path).shape == ramp.shape
    content = path.read_bytes()
    path.write_bytes(content[:8] + content[8:12].replace(old, new) + content[12:])
    with pytest.raises(VolumeError, match="line ends in its magic were changed"):
        read(path)
