"""What medseg-brain-tissue offers: models whose contracts are data. This module imports nothing heavy."""

import importlib.resources
import json
from collections.abc import Iterator

from medseg.description import from_json
from medseg.plugin import Model, hookimpl

MEDSEG_API = 1


@hookimpl
def medseg_models() -> Iterator[Model]:
    """The models, each from the contract beside its weights."""
    models = importlib.resources.files("medseg_brain_tissue") / "models"
    for folder in sorted(models.iterdir(), key=lambda folder: folder.name):
        contract = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
        yield from_json(contract["model"])
