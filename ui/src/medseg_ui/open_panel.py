"""Ways to open images: what was uploaded, folders of the server, samples."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from medseg import ResourceError, default_registry, find_sample, known_suffixes
from medseg_ui.cases import Case
from medseg_ui.service import SLICE_SUFFIX
from medseg_ui.visit import Visit, open_case

_MOST_LISTED = 500
_SAMPLES = {
    "itk_t1_head_2x2x3mm.nii.gz": ("Head MRI, T1, small", "2 x 2 x 3 mm: the quickest to try"),
    "s1_t1_head_defaced.nii.gz": ("Head MRI, T1", "1 mm, face removed"),
    "colin27_t1_head.nii.gz": ("Head MRI, T1, averaged", "1 mm, 27 scans of one person"),
    "tumour1_t1gd_head.nii.gz": ("Head MRI with a tumour", "T1 with contrast, slices of 6.5 mm"),
    "dicom/head_pd_raw": (
        "Head MRI as DICOM",
        "PD, a series of 20 oblique slices: its results can be written as DICOM SEG",
    ),
    "lung2_ct_chest_half.nii.gz": ("Chest CT with a tumour", "of the lung; halved in plane"),
    "ct_brain_atlas_1mm.nii.gz": ("Brain CT, averaged", "of many people, skull removed"),
}


def open_arrivals(visit: Visit, batch: str) -> None:
    """Open what has just been uploaded, and run the page again with it."""
    opened = [
        visit.workspace.open(arrival.path, title=arrival.title)
        for arrival in visit.service.uploads.take(visit.owner, batch)
    ]
    if opened:
        open_case(opened[-1])
        st.rerun()


def show_samples(visit: Visit) -> None:
    """Buttons for the sample volumes of a source checkout, and for the files of the server's folders."""
    samples = _samples()
    if samples:
        st.markdown("##### Sample volumes")
        for path, title, text in samples:
            name, about = st.columns([1, 3], vertical_alignment="center")
            if name.button(title, key=f"sample-{path.name}", width="stretch"):
                _open(visit, path, title=title)
            about.caption(text)
    for folder in visit.service.settings.folders:
        st.markdown(f"##### {folder.name}")
        files = list_volumes(folder)
        chosen = st.selectbox("Volume", files, format_func=_name_within(folder), index=None)
        if chosen and st.button("Open", key=f"open-{folder}"):
            _open(visit, chosen, title=chosen.name.partition(".")[0])


def list_volumes(folder: Path) -> list[Path]:
    """The volumes under a folder: files of a known format, folders of DICOM slices, nothing behind links."""
    suffixes = tuple(known_suffixes(default_registry()))
    found = []
    for path in sorted(folder.rglob("*")):
        if path.name.lower().endswith(suffixes) and path.is_file() and path.resolve().is_relative_to(folder):
            volume = path.parent if path.suffix.lower() == SLICE_SUFFIX and path.parent != folder else path
            if volume not in found:
                found.append(volume)
    return found[:_MOST_LISTED]


def _open(visit: Visit, path: Path, *, title: str) -> Case:
    case = visit.workspace.open(path, title=title)
    open_case(case)
    st.rerun()


def _samples() -> list[tuple[Path, str, str]]:
    found = []
    for name, (title, about) in _SAMPLES.items():
        with contextlib.suppress(ResourceError):  # they come with a source checkout, not with the wheel
            found.append((find_sample(name), title, about))
    return found


def _name_within(folder: Path) -> Callable[[Path], str]:
    return lambda path: str(path.relative_to(folder))
