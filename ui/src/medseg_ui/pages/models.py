"""The installed models, each with its card."""

import streamlit as st

import medseg
from medseg import default_registry
from medseg_ui.model_card import show_card
from medseg_ui.queue_panel import escape


def page() -> None:
    """The page."""
    st.title("Models")
    models = medseg.models()
    if not models:
        st.write("No model is installed. Models come as plugins, for example: pip install medseg-linknet")
    for row in range(0, len(models), 2):
        for column, (name, model) in zip(st.columns(2), list(models.items())[row : row + 2], strict=False):
            with column.container(border=True):
                show_card(name, model)
    for record in default_registry().failures:
        st.error(escape(f"The plugin {record.name} ({record.distribution}) cannot be used: {record.reason}"))
