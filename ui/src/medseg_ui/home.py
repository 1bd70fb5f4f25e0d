"""The script that Streamlit runs for every visit: who is there, then the page."""

from pathlib import Path

import streamlit as st

from medseg_ui.pages import cohort, compare, history, models, segment
from medseg_ui.visit import Visit, enter

_STATIC = Path(__file__).parent / "static"
# An icon by name would be fetched from a host on the internet.
_ICON = str(_STATIC / "icon.png")

st.set_page_config(page_title="medseg", page_icon=_ICON, layout="wide")
st.html(_STATIC / "page.css")


def show(visit: Visit) -> None:
    """The page that was asked for, with what stands around every page."""
    pages = [
        st.Page(
            segment.page, title="Segment", icon=":material/view_in_ar:", url_path="segment", default=True
        ),
        st.Page(compare.page, title="Compare", icon=":material/compare:", url_path="compare"),
        st.Page(cohort.page, title="Cohort", icon=":material/table_rows:", url_path="cohort"),
        st.Page(models.page, title="Models", icon=":material/deployed_code:", url_path="models"),
        st.Page(history.page, title="History", icon=":material/history:", url_path="history"),
    ]
    chosen = st.navigation(pages, position="top")
    if visit.service.settings.warn_open:
        st.warning(
            "This viewer listens to the network and nobody has to log in: its address is the only key.",
            icon=":material/warning:",
        )
    chosen.run()
    st.caption("medseg · research only, not for clinical use")


visit = enter()
if visit:
    show(visit)
