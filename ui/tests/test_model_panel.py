"""What is asked for besides the labels: as the model's contract has it, until somebody says otherwise."""

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from medseg.plugin import Architecture, Channel, Input, Model, Weights, Windows
from medseg.registry import Registered

MODEL = Model(
    name="m",
    summary="s",
    architecture="net",
    weights=Weights(source="file:/nowhere", sha256="0" * 64, size=1, licence="MIT"),
    input=Input(
        channels=(Channel(name="T1w", modality="MR", unit="arbitrary"),),
        spacing_mm=None,
        orientation="RAS",
        patch=Windows(size=(8, 8, 8)),
    ),
    labels=(),
    intended_use="-",
    training_data="-",
)


def form_page(model, network):
    import streamlit as st
    from medseg_ui.model_panel import _execution_form

    st.json(_execution_form(model, network, key="k"))


@pytest.fixture
def page():
    def shown(*, attention=False, **of_input):
        model = replace(MODEL, input=replace(MODEL.input, **of_input))
        net = Architecture(name="net", factory="math:sqrt", summary="s", attention=attention)
        network = Registered(component=net, kind="architecture", plugin="p")
        return AppTest.from_function(form_page, kwargs={"model": model, "network": network}).run(timeout=60)

    return shown


def asked_for(at):
    return json.loads(at.json[0].value)


@pytest.mark.parametrize("by_default", [True, False])
def test_windows_are_mirrored_as_the_contract_says_until_the_box_is_changed(page, by_default):
    at = page(mirror_by_default=by_default)
    (box,) = [box for box in at.checkbox if box.label == "Average over mirrored passes"]
    assert box.value is by_default
    assert asked_for(at) == {}
    box.set_value(not by_default).run(timeout=60)
    assert asked_for(at) == {"mirror": not by_default}


def test_what_a_network_cannot_do_is_not_offered(page):
    assert [box.label for box in page(mirror=()).checkbox] == ["Probabilities and uncertainty"]
    at = page(mirror=(), attention=True)
    at.checkbox[1].check().run(timeout=60)
    assert asked_for(at) == {"attention": True}
