"""One visit of a page: the server, the owner, what the owner has open."""

from dataclasses import dataclass

import streamlit as st

from medseg_ui.cases import Case
from medseg_ui.service import Service, current
from medseg_ui.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Visit:
    """Who looks at a page, and at what.

    Args:
        service: the server.
        owner: whose volumes are shown.
        workspace: the owner's cases and jobs.
    """

    service: Service
    owner: str
    workspace: Workspace

    @property
    def case(self) -> Case | None:
        """The case that is open: the one in the address, so that a reload keeps it, else the newest."""
        cases = self.workspace.cases
        asked = self.workspace.case(st.query_params.get("case"))
        return asked or (cases[-1] if cases else None)


def enter() -> Visit | None:
    """The visit that is going on; None after it was answered with a page to log in."""
    service = current()
    cookies = st.context.cookies.to_dict()
    if service.settings.login:
        if not st.user.is_logged_in:
            service.owners.log_out(cookies)
            _ask_to_log_in()
            return None
        service.owners.log_in(cookies, f"{st.user.get('iss')} {st.user.get('sub')}")
    owner = service.owners.owner(cookies)
    if owner is None:
        st.error("Your browser sent no cookie. Allow cookies for this address, then reload the page.")
        return None
    return Visit(service=service, owner=owner, workspace=service.workspace(owner))


def visit() -> Visit:
    """The visit, on a page that only visitors reach."""
    entered = enter()
    if entered is None:
        st.stop()
    return entered


def open_case(case: Case) -> None:
    """Make a case the one that is open."""
    st.query_params["case"] = case.id


def log_out() -> None:
    """End a login here and at the provider's cookie."""
    current().owners.log_out(st.context.cookies.to_dict())
    st.logout()


def _ask_to_log_in() -> None:
    st.title("medseg")
    st.write("Volumes here belong to the person who opened them. Log in to see yours.")
    if st.button("Log in", type="primary"):
        st.login()
