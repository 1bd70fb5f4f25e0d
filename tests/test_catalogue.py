from medseg.catalogue import models
from medseg.plugin import Model
from medseg.registry import Registry, default_registry


def test_models_are_named_in_full_and_hidden_ones_are_asked_for():
    assert "linknet:brain-mask" in models()
    assert "linknet:brain-locator" not in models()
    assert set(models(hidden=True)) - set(models()) == {"linknet:brain-locator"}


def test_the_contract_of_a_model_is_its_description():
    (described,) = [
        found.component
        for found in default_registry().components("model")
        if found.full_name == "linknet:brain-mask"
    ]
    assert isinstance(described, Model)
    assert models()["linknet:brain-mask"] is described


def test_without_plugins_there_are_no_models():
    assert models(registry=Registry()) == {}
