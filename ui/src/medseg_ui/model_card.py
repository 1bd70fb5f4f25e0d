"""What a reader must know before using a model."""

import streamlit as st

from medseg.plugin import Model
from medseg_ui.queue_panel import escape


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
        "Dice": _probe(model),
        "Weights": f"{weights.licence}, {weights.size / 1e6:.1f} MB, sha256 {weights.sha256[:12]}…",
        "Reference": model.reference or "none given",
    }
    st.markdown("\n".join(f"- **{heading}:** {escape(text)}" for heading, text in rows.items()))


def _probe(model: Model) -> str:
    if model.probe is None:
        return "none measured here" + ("; see the reference" if model.reference else "")
    return f"{model.probe.dice:g} on {model.probe.volume} against {model.probe.truth}"
