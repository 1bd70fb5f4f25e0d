"""The script that Streamlit runs for every visit: who is there, then the page."""

from pathlib import Path

import streamlit as st

from medseg_ui.pages import cohort, compare, history, models, segment
from medseg_ui.visit import Visit, enter

# An icon by name would be fetched from a host on the internet.
_ICON = str(Path(__file__).parent / "static" / "icon.png")

st.set_page_config(page_title="medseg", page_icon=_ICON, layout="wide")
st.html(
    """<style>
    [data-testid="stMainBlockContainer"] { padding: 3.4rem 1.6rem 2rem; max-width: none; }
    [data-testid="stSidebarHeader"] { height: 1.2rem; margin: 0; }
    [data-testid="stSidebarUserContent"] { padding-top: 0; }
    .ms-download { display: inline-block; padding: 0.3rem 0.75rem; margin: 0 0.35rem 0.35rem 0; border-radius: 0.5rem;
      border: 1px solid #3a4653; color: #dfe5ec !important; text-decoration: none !important; font-size: 0.9rem; }
    .ms-download:hover { border-color: #3fa7d6; color: #fff !important; }
    </style>"""
)


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
            "This viewer listens to the network and nobody has to log in: whoever gets its address can use it.",
            icon=":material/warning:",
        )
    chosen.run()
    st.caption("medseg · research only, not for clinical use")


visit = enter()
if visit:
    show(visit)
