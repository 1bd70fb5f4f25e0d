"""A form made of a component's options: its factory's signature is the only schema."""

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import streamlit as st

from medseg import Option


def option_fields(options: Mapping[str, Option], *, key: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A field for each option of a component; the values that differ from the defaults."""
    chosen = {}
    for name, option in options.items():
        default = defaults.get(name, option.default)
        value = _field(option, default, key=f"{key}-{name}")
        if value != default:
            chosen[name] = value
    return chosen


def _field(option: Option, default: Any, *, key: str) -> Any:
    label = option.name.replace("_", " ")
    if get_origin(option.type) is Literal:
        choices = list(get_args(option.type))
        return st.selectbox(label, choices, index=choices.index(default), key=key)
    if option.type is bool:
        return st.checkbox(label, value=default, key=key)
    if option.type is int:
        return int(st.number_input(label, value=default, step=1, key=key))
    if option.type is float:
        return float(st.number_input(label, value=float(default), key=key))
    text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    typed = st.text_input(label, value=text, key=key, help=f"{option.type_name}")
    return default if typed == text else typed
