"""NIfTI files for the tests, sound and broken, made with nibabel and then changed field by field."""

import gzip

import nibabel as nib
import numpy as np
import pytest

# Oblique: no axis is parallel to a world axis.
AFFINE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.3, -0.2, 0.1) * [1.5, 1.25, 3.0], [-20, 12.5, 7.25]
)


@pytest.fixture
def ramp():
    """Every voxel different, so that no flip or transposition goes unseen."""
    return np.arange(7 * 6 * 5).reshape(7, 6, 5).astype(np.int16)


@pytest.fixture
def nifti_file(tmp_path):
    """Save an array with nibabel; then set fields of the header to any value at all."""

    def make(name, array, affine=AFFINE, *, image=nib.Nifti1Image, **fields):
        made = image(array, affine, dtype=array.dtype)
        made.header.set_xyzt_units("mm")
        made.set_sform(affine, code=1)
        made.set_qform(affine, code=1)
        nib.save(made, tmp_path / name)
        header = (tmp_path / name).with_suffix(".hdr") if name.endswith(".img") else tmp_path / name
        _set_fields(header, image.header_class, fields)
        return tmp_path / name

    return make


def _set_fields(path, header_class, fields):
    raw = path.read_bytes()
    gzipped = raw[:2] == b"\x1f\x8b"
    plain = gzip.decompress(raw) if gzipped else raw
    size = header_class.template_dtype.itemsize
    header = header_class(plain[:size], check=False)
    for name, value in fields.items():
        header[name] = value
    plain = header.binaryblock + plain[size:]
    path.write_bytes(gzip.compress(plain, 1) if gzipped else plain)
