"""The runs of the past, and the two buttons that erase."""

import time

import streamlit as st

from medseg_ui.visit import log_out, visit


def page() -> None:
    """The page."""
    here = visit()
    st.title("History")
    st.write("Which models ran, how they ended, what they measured. No names, no files, no images.")
    runs = here.service.history.of(here.owner)
    if runs:
        table = [
            {
                "Started": time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started)),
                "Model": run.model,
                "State": run.state,
                "Seconds": run.seconds,
                "Volumes": ", ".join(f"{name} {ml:,.1f} mL" for name, ml in run.labels.items()),
                "Weights": run.weights_sha256[:12],
            }
            for run in runs
        ]
        st.dataframe(table, width="stretch", hide_index=True)
    else:
        st.info("Nothing has run yet.")
    st.markdown("##### Erase")
    with st.container(horizontal=True):
        if st.button("Erase the history", disabled=not runs):
            here.service.history.erase(here.owner)
            st.rerun()
        if st.button("Remove all my images and results from the server"):
            here.workspace.erase()
            st.query_params.clear()
            st.rerun()
        if here.service.settings.login and st.button("Log out"):
            log_out()
    hours = here.service.settings.keep_hours
    st.caption(f"Images are removed when the server ends, and after {hours:g} hours without use.")
