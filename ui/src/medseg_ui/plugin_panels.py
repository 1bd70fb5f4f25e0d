"""Panels that plugins bring: a form made of a component's options, in the slot that it asks for.

A bad panel is a box with its error, not a broken page.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast, get_args

import streamlit as st

from medseg import MedsegError, Option, PluginError, Registered, check_options, default_registry, options_of
from medseg.plugin import Model, Panel
from medseg_ui.cases import Case, Result
from medseg_ui.option_form import option_fields
from medseg_ui.queue_panel import escape
from medseg_ui.visit import Visit


def setup_panels(model: Model, architecture: str, *, key: str) -> dict[str, Any]:
    """The panels of the slot ``setup`` for a model's network, by its full name; the options they choose."""
    chosen: dict[str, Any] = {}
    for found in _panels("setup"):
        panel = cast(Panel, found.component)
        if panel.of == architecture:
            with st.expander(escape(panel.title)):
                draw = functools.partial(_values, found, panel, "architecture", model.options, key)
                chosen |= _guarded(found, draw) or {}
    return chosen


def result_panels(visit: Visit, case: Case, result: Result) -> None:
    """The panels of the slot ``result``, each with a button that applies its step."""
    for found in _panels("result"):
        with st.expander(escape(cast(Panel, found.component).title)):
            _show(visit, case, result, found)


@st.fragment
def _show(visit: Visit, case: Case, result: Result, found: Registered) -> None:
    _guarded(found, functools.partial(_form, visit, case, result, found))


def _form(visit: Visit, case: Case, result: Result, found: Registered) -> None:
    panel = cast(Panel, found.component)
    options = _values(found, panel, "step", {}, result.id)
    if st.button("Apply", key=f"{found.full_name}-{result.id}-apply"):
        visit.workspace.refine(case, result, panel.of, options)
        st.rerun()


def _values(found: Registered, panel: Panel, kind: str, given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The form of a panel, or what its own module draws; the values that differ from the defaults."""
    registry = default_registry()
    of = registry.find(kind, panel.of, within=found.plugin)
    factory = registry.load(of)
    known = options_of(factory)
    st.caption(escape(panel.summary))
    key = f"{found.full_name}-{key}"
    if not panel.asset:
        return option_fields(known, key=key, defaults=given)
    component = _drawn_by(found.full_name, registry.read_asset(found, panel.asset))
    data = {"title": panel.title, "options": [_describe(o, given) for o in known.values()]}
    answer = component(key=key, data=data, on_chosen_change=_nothing).chosen or {}
    if not isinstance(answer, dict):
        raise PluginError(f"its module chose {answer!r}; wanted an object of options by name")
    return check_options(factory, answer, owner=panel.of)


def _describe(option: Option, given: Mapping[str, Any]) -> dict[str, Any]:
    value = given.get(option.name, option.default)
    choices = list(get_args(option.type)) if option.type_name.startswith("'") else []
    return {
        "name": option.name,
        "type": option.type_name,
        "value": list(value) if isinstance(value, tuple) else value,
        "choices": choices,
    }


@functools.cache
def _drawn_by(name: str, module: str) -> Callable[..., Any]:
    # Streamlit takes a string of several lines for the module itself.
    component: Callable[..., Any] = st.components.v2.component(
        f"panel-{name.replace(':', '-')}", js=module + "\n", isolate_styles=True
    )
    return component


def _guarded(found: Registered, draw: Callable[[], Any]) -> Any:
    try:
        return draw()
    except Exception as error:  # noqa: BLE001  # a plugin may raise anything, and Streamlit about its values
        text = str(error) if isinstance(error, MedsegError) else f"{type(error).__name__}: {error}"
        st.error(escape(f"The panel of {found.plugin} cannot be shown: {text}"))
        return None


def _panels(slot: str) -> list[Registered]:
    return [f for f in default_registry().components("panel") if cast(Panel, f.component).slot == slot]


def _nothing() -> None:
    """Streamlit sends a state only if somebody listens."""
