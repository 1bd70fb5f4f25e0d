"""Choose a model for a case: what fits first, with its card and what its contract objects to."""

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import streamlit as st

import medseg
from medseg import MedsegError, Option, default_registry, options_of
from medseg.plugin import Model
from medseg_ui.cases import Case
from medseg_ui.queue_panel import escape
from medseg_ui.visit import Visit


def choose_model(visit: Visit, case: Case) -> None:
    """The choice, the card, the options, and the button that runs it."""
    models = medseg.models()
    if not models:
        st.info("No model is installed. Models come as plugins, for example: pip install medseg-linknet")
        return
    problems: Mapping[str, list[dict[str, str]]] = (case.facts or {}).get("problems", {})
    ordered = sorted(models, key=lambda name: (_worst(problems.get(name, [])), name))
    fitting = [name for name in ordered if _worst(problems.get(name, [])) < 2]
    everything = (
        st.toggle(f"Also the {len(ordered) - len(fitting)} that do not fit")
        if len(fitting) < len(ordered)
        else False
    )
    offered = ordered if everything else fitting
    if not offered:
        st.info("No installed model takes this image.")
        return
    name = st.selectbox("Model", offered, format_func=lambda n: n.partition(":")[2])
    model = models[name]
    st.caption(escape(model.summary))
    found = problems.get(name, [])
    for problem in found:
        show = st.error if problem["severity"] == "refuse" else st.warning
        show(escape(problem["text"]))
    with st.popover("Model card", width="stretch"):
        show_card(name, model)
    options = _options_form(model, key=f"{case.id}-{name}")
    if st.button(
        "Run", type="primary", width="stretch", disabled=_worst(found) == 2, icon=":material/play_arrow:"
    ):
        visit.workspace.segment(case, name, options)
        st.rerun()


def show_card(name: str, model: Model) -> None:
    """What a reader must know before using a model."""
    st.markdown(f"#### {escape(name)}")
    st.markdown(escape(model.summary))
    st.warning("Research only, not for clinical use.", icon=":material/info:")
    spacing = (
        " x ".join(f"{mm:g}" for mm in model.input.spacing_mm) + " mm" if model.input.spacing_mm else "any"
    )
    weights = model.weights
    rows = {
        "Intended use": model.intended_use,
        "Image": ", ".join(f"{c.name} ({c.modality}, {c.unit})" for c in model.input.channels),
        "Spacing": spacing,
        "Orientation": f"any; turned to {model.input.orientation} inside",
        "Labels": ", ".join(label.name for label in model.labels if label.value),
        "Training data": model.training_data,
        "Checked on": _probe(model),
        "Weights": f"{weights.licence}, {weights.size / 1e6:.1f} MB, sha256 {weights.sha256[:12]}…",
        "Reference": model.reference or "none given",
    }
    st.markdown("\n".join(f"- **{heading}:** {escape(text)}" for heading, text in rows.items()))


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


def _options_form(model: Model, *, key: str) -> dict[str, Any]:
    """The network's options, folded away: weights fit the contract's own."""
    registry = default_registry()
    try:
        found = registry.find("architecture", model.architecture, within=_plugin_of(model))
        known = options_of(registry.load(found))
    except MedsegError as error:
        st.error(escape(str(error)))
        return {}
    if not known:
        return {}
    with st.expander("Options of the network"):
        st.caption("The weights were made for the values that stand here; most others will be refused.")
        return option_fields(known, key=key, defaults=model.options)


def _plugin_of(model: Model) -> str:
    return next(
        (found.plugin for found in default_registry().components("model") if found.component is model), ""
    )


def _probe(model: Model) -> str:
    if model.probe is None:
        return "no measured Dice is given"
    return f"Dice {model.probe.dice:g} on {model.probe.volume}"


def _worst(problems: list[dict[str, str]]) -> int:
    return max(({"refuse": 2}.get(problem["severity"], 1) for problem in problems), default=0)
