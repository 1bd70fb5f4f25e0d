"""Choose a model for a case: what fits first, with its card and what its contract objects to."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import streamlit as st

import medseg
from medseg import MedsegError, Registered, default_registry, options_of
from medseg.plugin import Architecture, Model
from medseg_ui.cases import Case
from medseg_ui.jobs import ENDED
from medseg_ui.model_card import show_card
from medseg_ui.option_form import option_fields
from medseg_ui.plugin_panels import setup_panels
from medseg_ui.queue_panel import escape
from medseg_ui.visit import Visit

_FITS, _DOUBTFUL, _REFUSED = range(3)


def _shown(name: str) -> str:
    """A model's name without its plugin's."""
    return name.partition(":")[2]


@st.fragment
def choose_model(visit: Visit, case: Case) -> None:
    """The choice, the card, the options, and the button that runs it.

    A fragment: whatever is chosen here changes nothing else on the page.
    """
    models = medseg.models()
    if not models:
        st.info("No model is installed. Models come as plugins, for example: pip install medseg-linknet")
        return
    problems: Mapping[str, list[dict[str, str]]] = (case.facts or {}).get("problems", {})
    ordered = sorted(models, key=lambda name: (_worst(problems.get(name, [])), _shown(name)))
    fitting = [name for name in ordered if _worst(problems.get(name, [])) < _REFUSED]
    everything = (
        st.toggle(f"Also the {len(ordered) - len(fitting)} that do not fit")
        if len(fitting) < len(ordered)
        else False
    )
    offered = ordered if everything else fitting
    if not offered:
        st.info("No installed model takes this image.")
        return
    name = st.selectbox("Model", offered, format_func=_shown)
    model = models[name]
    st.caption(escape(model.summary))
    further = _choose_channels(visit, case, model)
    found = problems.get(name, []) if len(model.input.channels) == 1 else _check(visit, case, name, further)
    for problem in found or []:
        show = st.error if problem["severity"] == "refuse" else st.warning
        show(escape(problem["text"]))
    force = any(p["severity"] == "force" for p in found or []) and st.checkbox(
        "I mean it: run anyway",
        help="The result records what was objected to.",
        key=f"force-{case.id}-{name}",
    )
    with st.popover("Model card", width="stretch"):
        show_card(name, model)
    network = _network_of(model)
    if network is None:
        return
    key = f"{case.id}-{name}"
    options = _options_form(model, network, key=key) | setup_panels(model, network.full_name, key=key)
    execution = _execution_form(model, network, key=key)
    blocked = found is None or any(
        p["severity"] == "refuse" or (p["severity"] == "force" and not force) for p in found
    )
    if st.button("Run", type="primary", width="stretch", disabled=blocked, icon=":material/play_arrow:"):
        visit.workspace.segment(
            case, name, options, further=further or (), execution=execution, force=bool(force)
        )
        st.rerun()


def _choose_channels(visit: Visit, case: Case, model: Model) -> Sequence[Case] | None:
    """The open images for a model's other channels; None while one of them is missing."""
    first, *others = model.input.channels
    if not others:
        return ()
    st.caption(f"This image is taken as {escape(first.name)}; choose the others among the open ones.")
    cases = {other.id: other for other in visit.workspace.cases if other is not case and other.facts}
    chosen = []
    for channel in others:
        key = st.selectbox(
            f"{channel.name} ({channel.modality})",
            list(cases),
            index=None,
            format_func=lambda key: cases[key].title,
            placeholder="Choose an image" if cases else "Open this image first",
            key=f"channel-{case.id}-{channel.name}",
        )
        chosen.append(cases[key] if key else None)
    whole = [other for other in chosen if other is not None]
    return whole if len(whole) == len(others) else None


def _check(
    visit: Visit, case: Case, name: str, further: Sequence[Case] | None
) -> list[dict[str, str]] | None:
    """What the contract objects to in these channels; None while that is not known."""
    if further is None:
        return None
    asked_before = len(visit.workspace.jobs)
    job = visit.workspace.check(case, name, further)
    if len(visit.workspace.jobs) > asked_before:
        st.rerun()  # the whole page: its list of jobs is what notices the end
    if job.state not in ENDED:
        st.caption("Checking the channels…")
        return None
    if job.state != "done":
        return [{"text": job.message, "severity": "refuse"}]
    return list(job.outcome["problems"])


def _execution_form(model: Model, network: Registered, *, key: str) -> dict[str, Any]:
    """What is wanted besides the labels."""
    with st.expander("Maps to look at"):
        wanted = {
            "probabilities": st.checkbox(
                "Probabilities and uncertainty",
                key=f"{key}-probabilities",
                help="The probability of each label, and their entropy, as maps over the image.",
            ),
            "mirror": st.checkbox(
                "Average over mirrored passes",
                value=model.input.mirror_by_default,
                key=f"{key}-mirror",
                help="The network sees every flip of the image: steadier, and up to eight times slower.",
            )
            if model.input.mirror != ()
            else None,
            "attention": st.checkbox(
                "Attention gates",
                key=f"{key}-attention",
                help="What passes the network's gates, as maps over the image: a second pass.",
            )
            if cast(Architecture, network.component).attention
            else None,
        }
    usual = {"probabilities": False, "mirror": model.input.mirror_by_default, "attention": False}
    return {name: value for name, value in wanted.items() if value is not None and value != usual[name]}


def _options_form(model: Model, network: Registered, *, key: str) -> dict[str, Any]:
    """The network's options, folded away: weights fit the contract's own."""
    try:
        known = options_of(default_registry().load(network))
    except MedsegError as error:
        st.error(escape(str(error)))
        return {}
    if not known:
        return {}
    with st.expander("Options of the network"):
        st.caption("The weights were made for the values that stand here; most others will be refused.")
        return option_fields(known, key=key, defaults=model.options)


def _network_of(model: Model) -> Registered | None:
    """The architecture that a model names; None, and its error on the page, if it is not installed."""
    registry = default_registry()
    own = next((found.plugin for found in registry.components("model") if found.component is model), "")
    try:
        return registry.find("architecture", model.architecture, within=own)
    except MedsegError as error:
        st.error(escape(str(error)))
        return None


def _worst(problems: list[dict[str, str]]) -> int:
    return max(
        (_REFUSED if problem["severity"] == "refuse" else _DOUBTFUL for problem in problems), default=_FITS
    )
