"""Two results of one image side by side, and where they differ."""

import csv
import io

import streamlit as st

from medseg_ui.cases import Case, Result
from medseg_ui.components import drop_zone, layer, result_layer, viewer
from medseg_ui.jobs import ENDED, Job
from medseg_ui.pages import segment
from medseg_ui.queue_panel import escape, show_jobs
from medseg_ui.visit import Visit, visit

_VIEWS = ("Side by side", "Error map")


def page() -> None:
    """The page."""
    here = visit()
    case = here.case
    if case is None or case.facts is None:
        st.title("Compare")
        st.write("Two results of one image side by side, or a result against a reference.")
        st.page_link(
            st.Page(segment.page, title="Segment", default=True),
            label="Open an image first",
            icon=":material/arrow_forward:",
        )
        return
    if len(case.results) < 2:
        st.title("Compare")
        count = len(case.results)
        so_far = "no result yet" if count == 0 else "one result so far"
        st.write(
            f"{escape(case.title)} has {so_far}; two are needed. Run a model, correct a result by hand, "
            "or drop a reference."
        )
        _take_reference(here, case, large=True)
    else:
        _compare(here, case)
        with st.expander("Compare with a reference"):
            _take_reference(here, case)
    show_jobs(here, only_active=True)


def _take_reference(here: Visit, case: Case, *, large: bool = False) -> None:
    sent = drop_zone(
        here.service,
        key="reference-drop",
        title="Drop a reference label map here",
        hint=f"NIfTI, on the grid of {case.title}. The results are measured against it.",
        large=large,
    )
    if sent:
        for arrival in here.service.uploads.take(here.owner, sent):
            here.workspace.add_reference(case, arrival.path, title=arrival.title)
        st.rerun()
    for job in here.workspace.jobs:
        if job.kind == "reference" and job.state in ("refused", "failed"):
            st.error(escape(job.message))


def _compare(here: Visit, case: Case) -> None:
    first, second, view = _choose(case)
    if first is None or second is None or first is second:
        st.info("Choose two different results.")
        return
    job = here.workspace.compare(case, first, second)
    if view == _VIEWS[0]:
        for column, result in zip(st.columns(2), (first, second), strict=True):
            with column:
                _show(here, case, result, key=f"compare-{case.id}-{'a' if result is first else 'b'}")
    elif job.state == "done":
        names = ("agreed", f"only in {first.title}", f"only in {second.title}", "another label")
        if second.origin == "reference":
            names = ("true positive", "false positive", "false negative", "another label")
        entries = [entry | {"name": name} for entry, name in zip(job.outcome["entries"], names, strict=True)]
        errors = layer(
            here.service,
            job.folder / "shown.nii",
            key=job.id,
            title=f"{first.title} against {second.title}",
            entries=entries,
            centre=job.outcome["centre"],
            owner=here.owner,
        )
        viewer(here.service, case, key=f"errors-{case.id}", owner=here.owner, labels=errors, editable=False)
    _show_table(job, first, second)


def _choose(case: Case) -> tuple[Result | None, Result | None, str]:
    ids = [result.id for result in case.results]
    titles = {result.id: result.title for result in case.results}
    reference = case.reference
    default_second = ids.index(reference.id) if reference else len(ids) - 2
    default_first = len(ids) - 1 if default_second != len(ids) - 1 else len(ids) - 2
    columns = st.columns([2, 2, 2], vertical_alignment="bottom")
    a = columns[0].selectbox("First", ids, index=default_first, format_func=titles.__getitem__)
    b = columns[1].selectbox("Second", ids, index=default_second, format_func=titles.__getitem__)
    view = columns[2].segmented_control("View", _VIEWS, default=_VIEWS[0], label_visibility="collapsed")
    return case.result(a), case.result(b), view or _VIEWS[0]


def _show(here: Visit, case: Case, result: Result, *, key: str) -> None:
    shown = result_layer(here.service, case, result, owner=here.owner, editable=False)
    viewer(
        here.service,
        case,
        key=key,
        owner=here.owner,
        labels=shown,
        editable=False,
        group="compare",
        height=520,
    )


def _show_table(job: Job, first: Result, second: Result) -> None:
    if job.state not in ENDED:
        st.caption("Comparing…")
        return
    if job.state != "done":
        st.error(escape(job.message))
        return
    rows = job.outcome["rows"]
    if not rows:
        st.info("Both are empty.")
        return
    headings = {
        "label": "Label",
        "name": "Name",
        "first_ml": f"{first.title} (mL)",
        "second_ml": f"{second.title} (mL)",
        "dice": "Dice",
        "hd95 (mm)": "HD95 (mm)",
        "nsd": "NSD",
    }
    table = [{headings.get(name, name): value for name, value in row.items()} for row in rows]
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config={
            "Dice": st.column_config.ProgressColumn(min_value=0.0, max_value=1.0, format="%.4f"),
            headings["first_ml"]: st.column_config.NumberColumn(format="%.1f"),
            headings["second_ml"]: st.column_config.NumberColumn(format="%.1f"),
            "HD95 (mm)": st.column_config.NumberColumn(
                format="%.2f",
                help="95th percentile of the distance between surfaces; empty if one has none",
            ),
            "NSD": st.column_config.NumberColumn(
                format="%.4f", help="Share of the surfaces that lie within the tolerance of each other"
            ),
        },
    )
    for warning in job.outcome["warnings"]:
        st.warning(escape(warning))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    st.download_button("Table, CSV", text.getvalue(), "comparison.csv", "text/csv")
