"""What was made of a case: choose a result, read where it came from, download it."""

import csv
import html
import io
import json
from pathlib import Path

import streamlit as st

from medseg import default_registry
from medseg.plugin import Export
from medseg_ui.cases import Case, Result, download_stem
from medseg_ui.jobs import ENDED
from medseg_ui.measures import csv_rows
from medseg_ui.plugin_panels import result_panels
from medseg_ui.queue_panel import escape
from medseg_ui.visit import Visit

# Words in the names of exports that are no abbreviations.
_WRITTEN = {"slicer": "3D Slicer", "colours": "colours", "itksnap": "ITK-SNAP", "labels": "labels"}
_ORIGINS = {"model": "by a model", "edited": "by hand", "reference": "reference", "refined": "refined"}


def choose_result(case: Case, *, key: str, label: str = "Result") -> Result | None:
    """The result that is shown: the newest, until another is chosen."""
    if not case.results:
        return None
    ids = [result.id for result in case.results]
    seen = f"{key}-seen"
    # A new one appears by itself; and a visit of another page forgets the choice.
    if st.session_state.get(seen) != ids or key not in st.session_state:
        st.session_state[seen] = ids
        st.session_state[key] = ids[-1]
    titles = {result.id: f"{result.title} · {_ORIGINS[result.origin]}" for result in case.results}
    chosen = st.segmented_control(label, ids, format_func=titles.__getitem__, key=key)
    return case.result(chosen)


def show_result(visit: Visit, case: Case, result: Result) -> None:
    """Downloads, warnings, provenance and the plugins' panels."""
    for warning in result.warnings:
        st.warning(escape(warning))
    st.markdown("##### Download")
    _downloads(visit, case, result)
    result_panels(visit, case, result)
    with st.expander("Where this result came from"):
        st.json(dict(result.provenance), expanded=1)


def _downloads(visit: Visit, case: Case, result: Result) -> None:
    stem = download_stem(result)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(csv_rows(result.entries))
    table, origin = result.folder / "volumes.csv", result.folder / "provenance.json"
    table.write_text(text.getvalue(), encoding="utf-8")
    origin.write_text(json.dumps(dict(result.provenance), indent=2) + "\n", encoding="utf-8")
    files = [
        ("NIfTI", result.labels, f"{stem}.nii.gz"),
        ("Volumes, CSV", table, f"{stem}.csv"),
        ("Provenance, JSON", origin, f"{stem}.json"),
    ]
    picture = result.folder / "picture.png"
    if picture.exists():
        files.append(("Picture, PNG", picture, f"{stem}.png"))
    made: list[tuple[str, Path, str]] = []
    waiting: list[tuple[str, str, str, str]] = []
    for found in default_registry().components("export"):
        assert isinstance(found.component, Export)  # the registry checked it; this tells mypy
        if found.component.image_format not in ("", (case.facts or {}).get("format", "")):
            continue  # it refers to images of another format than this one's
        job = result.exports.get(found.full_name)
        title = _title(found.component.name)
        if job and job.state == "done":
            file = job.outcome["file"]
            made.append((title, job.folder / file, file))
        else:
            waiting.append((found.full_name, title, found.component.suffix, found.component.summary))
    links = [_link(visit, text, path, name) for text, path, name in files if path.exists()]
    # What was asked for stands out among what is always there.
    links += [_link(visit, text, path, name, look="ms-made") for text, path, name in made]
    st.html("".join(links))
    if waiting:
        with st.container(horizontal=True):
            for name, title, suffix, summary in waiting:
                _export_button(visit, case, result, name=name, title=title, suffix=suffix, summary=summary)
    for job in result.exports.values():
        if job.state in ("refused", "failed"):
            st.error(escape(job.message))


def _export_button(
    visit: Visit, case: Case, result: Result, *, name: str, title: str, suffix: str, summary: str
) -> None:
    job = result.exports.get(name)
    busy = job is not None and job.state not in ENDED
    text = f"{title}…" if busy else f"Make {title}"
    if st.button(text, key=f"export-{result.id}-{name}", help=summary, disabled=busy):
        visit.workspace.export(case, result, name, suffix)
        st.rerun()


def _link(visit: Visit, text: str, path: Path, name: str, *, look: str = "") -> str:
    token = visit.service.storage.share(path, owner=visit.owner, name=name)
    url = f"/medseg/file/{token}?download=1"
    return f'<a class="ms-download {look}" href="{url}" download>{html.escape(text)}</a>'


def _title(name: str) -> str:
    return " ".join(_WRITTEN.get(word, word.upper()) for word in name.split("-"))
