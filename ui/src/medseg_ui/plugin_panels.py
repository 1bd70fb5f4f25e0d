"""Panels that plugins bring: a form made of a component's options, in the slot that it asks for."""

import streamlit as st

from medseg import MedsegError, Registered, default_registry, options_of
from medseg.plugin import Panel
from medseg_ui.cases import Case, Result
from medseg_ui.model_panel import option_fields
from medseg_ui.queue_panel import escape
from medseg_ui.visit import Visit


def show_panels(visit: Visit, case: Case, result: Result) -> None:
    """The panels of the slot ``result``; a bad one is a box with its error, not a broken page."""
    for found in default_registry().components("panel"):
        panel = found.component
        if isinstance(panel, Panel) and panel.slot == "result":
            with st.expander(escape(panel.title)):
                try:
                    _show(visit, case, result, found, panel)
                except (MedsegError, LookupError, TypeError, ValueError) as error:
                    st.error(escape(f"The panel of {found.plugin} cannot be shown: {error}"))


def _show(visit: Visit, case: Case, result: Result, found: Registered, panel: Panel) -> None:
    registry = default_registry()
    step = registry.find("step", panel.of, within=found.plugin)
    known = options_of(registry.load(step))
    st.caption(escape(panel.summary))
    with st.form(f"{found.full_name}-{result.id}"):
        options = option_fields(known, key=f"{found.full_name}-{result.id}", defaults={})
        if st.form_submit_button("Apply"):
            visit.workspace.refine(case, result, step.full_name, options)
            st.rerun()
