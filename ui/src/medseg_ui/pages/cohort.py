"""Many images through one model: a table of what came out, the odd ones first."""

import csv
import io
from typing import Any

import numpy as np
import streamlit as st

import medseg
from medseg_ui.cases import Case, Result
from medseg_ui.components import drop_zone
from medseg_ui.jobs import ENDED, Job
from medseg_ui.open_panel import list_volumes
from medseg_ui.pages import segment
from medseg_ui.queue_panel import show_jobs
from medseg_ui.visit import Visit, open_case, visit

_ML = " (mL)"
_FEWEST_FOR_SPREAD = 5


def page() -> None:
    """The page."""
    here = visit()
    cases = here.workspace.cases
    for case in cases:
        result = _latest(case)
        if result and case.reference:
            here.workspace.compare(case, result, case.reference)
    st.title("Cohort")
    if not cases:
        st.write("Many images through one model: each becomes a row of a table.")
        _add(here, large=True)
        return
    _run(here, cases)
    _table(here, cases)
    with st.expander("Add images"):
        _add(here)
    show_jobs(here, only_active=True)


def _add(here: Visit, *, large: bool = False) -> None:
    sent = drop_zone(
        here.service,
        key="cohort-drop",
        title="Drop images here",
        hint="Many NIfTI files, zips, or a folder with a folder of DICOM for each case.",
        large=large,
    )
    if sent:
        for arrival in here.service.uploads.take(here.owner, sent):
            here.workspace.open(arrival.path, title=arrival.title)
        st.rerun()
    for folder in here.service.settings.folders:
        files = list_volumes(folder)
        if st.button(f"Open all {len(files)} of {folder.name}", key=f"all-{folder}", width="stretch"):
            for path in files:
                here.workspace.open(path, title=path.name.partition(".")[0])
            st.rerun()


def _run(here: Visit, cases: list[Case]) -> None:
    models = medseg.models()
    if not models:
        st.info("No model is installed. Models come as plugins, for example: pip install medseg-linknet")
        return
    choice, button = st.columns([3, 1], vertical_alignment="bottom")
    name = choice.selectbox(
        "Model",
        sorted(models, key=lambda n: n.partition(":")[2]),
        format_func=lambda n: f"{n.partition(':')[2]} · {models[n].summary}",
    )
    taken = {
        job.task["volume"]
        for job in here.workspace.jobs
        if job.kind == "segment" and job.task["model"] == name
    }
    ready = [
        case for case in cases if case.facts and str(case.volume) not in taken and not _refuses(case, name)
    ]
    text = f"Run on {len(ready)}" if ready else "Nothing to run"
    if button.button(text, type="primary", width="stretch", disabled=not ready):
        for case in ready:
            here.workspace.segment(case, name, {})
        st.rerun()


def _table(here: Visit, cases: list[Case]) -> None:
    latest = {job.task["volume"]: job for job in here.workspace.jobs if job.kind == "segment"}
    rows = [_row(case, latest.get(str(case.volume))) for case in cases]
    _add_spread(rows)
    event = st.dataframe(
        rows,
        width="stretch",
        hide_index=True,
        placeholder="",
        on_select="rerun",
        selection_mode="single-row",
        key="cohort-table",
        column_config={
            "Dice": st.column_config.ProgressColumn(min_value=0.0, max_value=1.0, format="%.4f"),
            "Spread": st.column_config.NumberColumn(
                format="%.1f", help="How many typical deviations the volume lies from the cohort's median"
            ),
        },
    )
    chosen = event["selection"]["rows"]
    with st.container(horizontal=True):
        if st.button("Open the chosen case", disabled=not chosen):
            open_case(cases[chosen[0]])
            st.switch_page(st.Page(segment.page, title="Segment", default=True))
        st.download_button("Table, CSV", _csv(rows), "cohort.csv", "text/csv")
    st.caption(
        "Click a heading to sort: by Dice, or, with five results, by how far a volume is from the others'."
    )


def _add_spread(rows: list[dict[str, Any]]) -> None:
    """How far each case's volumes lie from the cohort's median, in typical deviations: the largest.

    The typical deviation is 1.4826 times the median absolute one, which the odd cases do not move.
    """
    names = {name for row in rows for name in row if name.endswith(_ML)}
    for name in names:
        values = np.array([row[name] for row in rows if name in row])
        typical = 1.4826 * float(np.median(np.abs(values - np.median(values))))
        if len(values) < _FEWEST_FOR_SPREAD or typical == 0:
            continue
        for row in rows:
            if name in row:
                far = abs(row[name] - float(np.median(values))) / typical
                row["Spread"] = max(row.get("Spread", 0.0), far)


def _row(case: Case, job: Job | None) -> dict[str, Any]:
    result = _latest(case)
    row: dict[str, Any] = {"Case": case.title, "State": _state(case, job)}
    if result:
        row["Result"] = result.title
        for entry in result.entries:
            row[f"{entry['name']}{_ML}"] = round(entry["ml"], 2)
        row["Cut"] = ", ".join(entry["name"] for entry in result.entries if entry["cut"])
        row["Dice"] = _dice(case, result)
    return row


def _latest(case: Case) -> Result | None:
    """What a case's row shows: the newest result that is no reference."""
    return next((result for result in reversed(case.results) if result.origin != "reference"), None)


def _state(case: Case, job: Job | None) -> str:
    if case.problem:
        return f"refused: {case.problem}"
    if case.facts is None:
        return "reading"
    if job is None:
        return "open"
    if job.state not in ENDED:
        return f"{job.state}, {job.fraction:.0%}"
    return job.state if job.state in ("done", "cancelled") else f"{job.state}: {job.message}"


def _dice(case: Case, result: Result) -> float | None:
    reference = case.reference
    job = case.comparisons.get((result.shown_id, reference.shown_id)) if reference else None
    rows = job.outcome.get("rows", []) if job and job.state == "done" else []
    return min((row["dice"] for row in rows), default=None)


def _refuses(case: Case, model: str) -> bool:
    problems = (case.facts or {}).get("problems", {}).get(model, [])
    return any(problem["severity"] == "refuse" for problem in problems)


def _csv(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
