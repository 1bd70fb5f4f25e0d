"""Panels of plugins: forms in their slots, modules that draw, and bad ones that break nothing."""

import json
from typing import Literal

import medseg_ui.plugin_panels
import pytest
from streamlit.testing.v1 import AppTest

from medseg import PluginError, Registry
from medseg.plugin import (
    Architecture,
    Channel,
    Input,
    Label,
    Model,
    Panel,
    Step,
    Weights,
    WholeGrid,
    hookimpl,
)


def make_net(
    in_channels, out_channels, *, dims: int = 3, width: int = 8, norm: Literal["batch", "none"] = "batch"
):
    raise NotImplementedError


def make_step(*, size_mm: float = 3.0):
    return lambda labels: (labels, None)


MODEL = Model(
    name="m",
    summary="s",
    architecture="net",
    weights=Weights(source="file:/nowhere", sha256="0" * 64, size=1, licence="MIT"),
    input=Input(
        channels=(Channel(name="T1w", modality="MR", unit="arbitrary"),),
        spacing_mm=None,
        orientation="RAS",
        patch=WholeGrid(shape=(8, 8, 8), interpolation="linear"),
    ),
    labels=(
        Label(value=0, name="background", colour="#000000"),
        Label(value=1, name="a", colour="#ff0000"),
    ),
    intended_use="-",
    training_data="-",
)


class Plugin:
    MEDSEG_API = 1

    def __init__(self, *panels):
        self.panels = panels

    @hookimpl
    def medseg_architectures(self):
        yield Architecture(name="net", factory=f"{__name__}:make_net", summary="s")

    @hookimpl
    def medseg_steps(self):
        yield Step(name="grow", factory=f"{__name__}:make_step", stage="post", summary="s")

    @hookimpl
    def medseg_panels(self):
        return self.panels


def setup_page(model, architecture):
    import streamlit as st
    from medseg_ui.plugin_panels import setup_panels

    st.json(setup_panels(model, architecture, key="k"))


@pytest.fixture
def page(monkeypatch):
    def shown(*panels, architecture="p:net"):
        registry = Registry.of(p=Plugin(*panels))
        monkeypatch.setattr(medseg_ui.plugin_panels, "default_registry", lambda: registry)
        at = AppTest.from_function(setup_page, kwargs={"model": MODEL, "architecture": architecture})
        return at.run(timeout=60)

    return shown


def panel(**changes):
    about = {"name": "set", "title": "Set", "slot": "setup", "of": "p:net", "summary": "s"} | changes
    return Panel(**about)


def test_a_setup_panel_is_a_form_of_the_networks_options_and_gives_what_differs(page):
    at = page(panel())
    assert [field.label for field in at.number_input] == ["width"]
    assert at.selectbox[0].options == ["batch", "none"]
    at.number_input[0].set_value(16)
    at.run()
    assert json.loads(at.json[0].value) == {"width": 16}


def test_a_setup_panel_of_another_network_is_not_shown(page):
    assert len(page(panel(), architecture="q:net").number_input) == 0


def test_a_bad_panel_is_a_box_with_its_error_beside_the_good_one(page):
    at = page(panel(name="bad", of="p:net", asset="missing.js"), panel())
    assert "missing" in at.error[0].value
    assert not at.exception
    assert len(at.number_input) == 1


def test_a_panel_that_draws_itself_gets_the_options_and_its_values_are_checked(page, monkeypatch):
    module = "export default function ({ data, parentElement }) {\n  parentElement.append(data.title);\n}"
    monkeypatch.setattr(Registry, "read_asset", lambda self, found, path: module)
    at = page(panel(asset="panel.js"))
    assert not at.exception
    assert [e.value for e in at.error] == []
    sent = json.loads(at.get("bidi_component")[0].proto.json)
    assert [(o["name"], o["value"], o["choices"]) for o in sent["options"]] == [
        ("width", 8, []),
        ("norm", "batch", ["batch", "none"]),
    ]


def test_an_asset_is_read_from_inside_the_plugins_package_alone():
    registry = Registry.discover()
    (found,) = [r for r in registry.components("architecture") if r.full_name == "unets:unet"]
    assert "def " in registry.read_asset(found, "plugin.py")
    for path in ("../secret", "/etc/passwd", "nothing.js", ""):
        with pytest.raises(PluginError, match="no file inside its package"):
            registry.read_asset(found, path)
