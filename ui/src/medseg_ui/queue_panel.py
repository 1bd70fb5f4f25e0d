"""The list of jobs: progress, place in the queue, cancel, and errors that say what to do."""

import streamlit as st

from medseg_ui.jobs import ENDED, Job
from medseg_ui.visit import Visit

_STAGES = {
    "": "starting",
    "start": "loading the model",
    "read": "reading the image",
    "locate": "finding the region",
    "prepare": "preparing the image",
    "network": "running the network",
    "attention": "looking through the gates",
    "refine": "moving the contour",
    "restore": "bringing labels back to the image's grid",
    "finish": "finishing",
    "measure": "measuring",
    "stopping": "stopping",
}
_SHOWN = 4
_LONG = ("segment", "refine")  # with a bar and a button to stop them
_SECONDS, _SECONDS_OF_LONG = 0.25, 1.0  # between two looks at the jobs


def show_jobs(visit: Visit, *, only_active: bool = False) -> None:
    """Jobs as they go on; the page is run again when one ends, so that its result appears.

    Args:
        visit: whose.
        only_active: not those that have ended.
    """
    active = [job for job in visit.workspace.jobs if job.state not in ENDED]
    short = any(job.kind not in _LONG for job in active)
    interval = _SECONDS if short else _SECONDS_OF_LONG
    # A timer only while something runs: it would ask for ever.
    st.fragment(_list_jobs, run_every=interval if active else None)(
        visit, [job.id for job in active], only_active=only_active
    )


def _list_jobs(visit: Visit, active_before: list[str], *, only_active: bool) -> None:
    jobs = visit.workspace.jobs
    active = {job.id for job in jobs if job.state not in ENDED}
    if set(active_before) - active:
        st.rerun(scope="app")
    long = [job for job in jobs if job.kind in _LONG]
    going = [job for job in long if job.id in active]
    ended = [] if only_active else [job for job in reversed(long) if job.id not in active]
    for job in [*going, *ended][:_SHOWN]:  # what runs before what waits, then the newest that ended
        _show_job(visit, job)
    if len(going) > _SHOWN:
        st.caption(f"and {len(going) - _SHOWN} more in the queue")
    # Reading and measuring take a moment, and say in their own place how they ended.
    for job in jobs:
        if job.kind not in _LONG and job.state not in ENDED:
            st.caption(f"{escape(job.title)}…")


def _show_job(visit: Visit, job: Job) -> None:
    with st.container(border=job.state not in ENDED):
        if job.state in ("waiting", "running"):
            st.markdown(f"**{escape(job.title)}**")
            st.progress(job.fraction, text=_say(visit, job))
            if job.memory_bytes:
                st.caption(f"needs about {job.memory_bytes / 1e9:.1f} GB of memory at its peak")
            if st.button("Cancel", key=f"cancel-{job.id}", disabled=job.stage == "stopping", width="stretch"):
                visit.workspace.cancel(job)
                st.rerun(scope="app")
        elif job.state == "done":
            st.markdown(f":green[:material/check_circle:] {escape(job.title)} · {job.seconds:.0f} s")
        elif job.state == "cancelled":
            st.markdown(f":gray[:material/cancel:] {escape(job.title)} · cancelled")
        else:
            st.markdown(f":red[:material/error:] {escape(job.title)}")
            st.caption(escape(job.message))


def _say(visit: Visit, job: Job) -> str:
    if job.state == "waiting":
        ahead = visit.workspace.place_in_queue(job)
        return f"waiting, {ahead} before it" if ahead else "waiting"
    text = _STAGES.get(job.stage, job.stage)
    if job.seconds_left is not None:
        text += f" · about {_spell(job.seconds_left)} left"
    return text


def _spell(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{max(1, round(seconds)):.0f} s"


def escape(text: str) -> str:
    """Text as it is: a file's name is never taken for markup."""
    return "".join("\\" + letter if letter in "\\`*_{}[]()#+-.!|<>$~:" else letter for letter in text)
