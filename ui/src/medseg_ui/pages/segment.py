"""Open an image, run models on it, look, correct, download."""

import re

import streamlit as st

from medseg_ui.cases import Case
from medseg_ui.components import drop_zone, result_layer, viewer
from medseg_ui.jobs import ENDED
from medseg_ui.model_panel import choose_model
from medseg_ui.open_panel import open_arrivals, show_samples
from medseg_ui.queue_panel import escape, show_jobs
from medseg_ui.result_panel import choose_result, show_result
from medseg_ui.visit import Visit, open_case, visit

# A refusal names what would let its file be read: "... use --allow nonfinite=0".
_PERMISSION = re.compile(r"--allow (\w+)=([\w.,-]*\w)")


def page() -> None:
    """The page."""
    here = visit()
    case = here.case
    if case is None:
        _welcome(here)
        return
    with st.sidebar:
        st.markdown("##### 1 · Image")
        case = _choose_case(here, case)
        if case.facts:
            st.markdown("##### 2 · Model")
            choose_model(here, case)
        show_jobs(here)
        with st.expander("Open another image"):
            _drop(here, key="open-drop")
    st.html('<div class="ms-narrow">The model and its run are behind » at the top.</div>')
    if case.problem:
        _explain(here, case)
    elif case.facts is None:
        with st.container(
            height=300, border=False, vertical_alignment="center", horizontal_alignment="center"
        ):
            st.markdown(f"Reading {escape(case.title)}…")
    else:
        _show(here, case)


def _drop(here: Visit, *, key: str, large: bool = False) -> None:
    sent = drop_zone(
        here.service,
        key=key,
        title="Drop an image here",
        hint="NIfTI, a zip or a folder of DICOM. It stays on the computer that runs medseg.",
        large=large,
    )
    if sent:
        open_arrivals(here, sent)


def _choose_case(here: Visit, case: Case) -> Case:
    cases = here.workspace.cases
    if len(cases) > 1:
        ids = [other.id for other in reversed(cases)]
        titles = {other.id: other.title for other in cases}
        key = st.selectbox("Open", ids, index=ids.index(case.id), format_func=titles.__getitem__)
        case = here.workspace.case(key) or case
    open_case(case)
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(cases) == 1:
            st.caption(escape(case.title))
        if st.button(
            "Close", key=f"close-{case.id}", help="Remove this image and its results from the server"
        ):
            here.workspace.close(case)
            st.query_params.pop("case", None)
            st.rerun()
    return case


def _explain(here: Visit, case: Case) -> None:
    """Why an image was refused, and the permissions that its reader names."""
    st.error(escape(case.problem), icon=":material/block:")
    st.caption("Nothing was guessed. Close this image, or open another.")
    if st.button("Close this image", key=f"close-refused-{case.id}"):
        here.workspace.close(case)
        st.query_params.pop("case", None)
        st.rerun()
    for name, value in dict(_PERMISSION.findall(case.problem)).items():
        if st.button(f"Read it with {name} = {value}", key=f"allow-{case.id}-{name}"):
            open_case(here.workspace.allow(case, {name: value}))
            st.rerun()


def _welcome(here: Visit) -> None:
    st.title("Segment an image")
    st.write("Open a CT or MR image, or begin with one of the sample volumes.")
    _drop(here, key="welcome-drop", large=True)
    show_samples(here)


def _watched(here: Visit, case: Case) -> str | None:
    """The refinement of this image that is going on, if one is."""
    active = (job for job in here.workspace.jobs if job.kind == "refine" and job.state not in ENDED)
    return next((job.id for job in active if job.task["volume"] == str(case.volume)), None)


@st.fragment
def _show(here: Visit, case: Case) -> None:
    """The picture and what belongs to it; a fragment, so that another result leaves the rest as it is."""
    result = choose_result(case, key=f"result-{case.id}")
    layer = result_layer(here.service, case, result, owner=here.owner) if result else None
    saved = viewer(
        here.service,
        case,
        key=f"viewer-{case.id}",
        owner=here.owner,
        labels=layer,
        watch=_watched(here, case),
    )
    if saved:
        st.rerun()
    for note in (case.facts or {})["notes"]:
        st.caption(f":material/info: {escape(note)}")
    if result:
        show_result(here, case, result)
