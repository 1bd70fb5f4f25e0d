"""A model as a folder: its contract as JSON, its weights as safetensors, a card for people.

``medseg train`` and ``medseg import`` write such folders; ``-m FOLDER`` runs one, and those in the
user's own folder of models are listed as ``local:NAME``. Reading one needs the standard library alone.
docs/reference/model-folders.md is the definition.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medseg.atomic import whole_folder, write_together
from medseg.description import from_json, to_json
from medseg.errors import ContractError, ResourceError, WeightsError
from medseg.model import Model, Weights
from medseg.model_card import model_card

if TYPE_CHECKING:  # listing models needs no torch
    from torch import Tensor

CONTRACT, WEIGHTS, CARD = "contract.json", "weights.safetensors", "README.md"
VERSION = 1
"""Of the folder's form; a folder of a newer one is refused with a sentence."""


def models_folder() -> Path:
    """Where the user's own models are kept, each in a folder; ``MEDSEG_HOME`` moves it."""
    if home := os.environ.get("MEDSEG_HOME"):
        return Path(home) / "models"
    import platformdirs  # not at the top: the registry imports this module, and needs pluggy alone

    return Path(platformdirs.user_data_dir("medseg")) / "models"


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a contract."""
    return (path / CONTRACT).is_file()


def read_model(folder: Path) -> Model:
    """The contract of a model folder; its weights are looked for when they are used.

    Raises:
        ContractError: there is no contract, or it is not one; the message names the file.
        ResourceError: the system refused to read it.
    """
    path = folder / CONTRACT
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ContractError(
            f"{folder} is no model folder: it has no {CONTRACT}. For a model of nnU-Net, of MONAI or of "
            "another tool: medseg import SOURCE --name NAME"
        ) from None
    except OSError as error:
        raise ResourceError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # also bytes that are not UTF-8
        raise ContractError(f"{path} is no JSON: {error}") from error
    form = data.get("medseg_model") if isinstance(data, dict) else None
    if form != VERSION:
        remedy = (
            "upgrade medseg" if isinstance(form, int) and form > VERSION else "is it another tool's file?"
        )
        raise ContractError(f"{path}: medseg_model is {form!r}, wanted {VERSION}; {remedy}")
    try:
        model = from_json(data.get("model"))
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error
    return _located(model, folder.absolute())


def write_model(
    folder: Path,
    model: Model,
    tensors: "Mapping[str, Tensor]",
    *,
    also: Mapping[str, Callable[[Path], None]] | None = None,
) -> Model:
    """Write a model folder; the contract appears last, so a folder that has one is whole.

    Args:
        folder: made if it is not there; other files in it stay.
        model: its weights' source, sha256 and size are filled in, their licence is kept.
            Components are named in full (``unets:unet3d``): a folder belongs to no plugin.
        tensors: the network's state, strictly as the architecture names it.
        also: further files of the folder by name, and what fills each.

    Returns:
        The model as ``read_model`` reads it back.

    Raises:
        ContractError: a component is named in short.
        ResourceError: the system refused. Nothing is left behind, and older files stay as they were.
    """
    from safetensors.torch import save

    names = [model.architecture, *([model.head] if model.head else [])]
    short = [name for name in names if ":" not in name]
    if short:
        raise ContractError(f"model {model.name}: {', '.join(short)} must be named in full, as plugin:name")
    content = save(_apart(tensors))
    weights = replace(
        model.weights,
        source=f"file:{WEIGHTS}",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
    _write(folder, replace(model, weights=weights), {**(also or {}), WEIGHTS: _filled(content)})
    return read_model(folder)


def write_parts(folder: Path, model: Model, parts: "Sequence[tuple[Model, Mapping[str, Tensor]]]") -> Model:
    """Write a model that is made of others: each in a folder of its own inside, the whole's contract last.

    Args:
        folder: not there, or empty.
        model: whose ``parts`` name them ``./part-1`` and so on.
        parts: model and tensors of each, as for ``write_model``.

    Raises:
        ContractError: as ``write_model``.
        ResourceError: the system refused. In every case no part is left behind.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            folder.rmdir()  # Windows gives no folder a name that is taken, though by an empty one
    except OSError as error:
        raise ResourceError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error
    with whole_folder(folder) as whole:
        written = [
            write_model(whole / part.model, own, tensors)
            for part, (own, tensors) in zip(model.parts, parts, strict=True)
        ]
        _write(whole, replace(model, weights=weights_of_parts(written)), {})
    return read_model(folder)


def weights_of_parts(parts: Sequence[Model]) -> Weights:
    """What stands for the weights of a model that is made of others; there is no such file."""
    digests = "".join(part.weights.sha256 for part in parts)
    return Weights(
        source="parts:",
        sha256=hashlib.sha256(digests.encode()).hexdigest(),
        size=sum(part.weights.size for part in parts),
        licence=" AND ".join(dict.fromkeys(part.weights.licence for part in parts)),
    )


def write_contract(folder: Path, model: Model, *, use: str = "THIS_FOLDER") -> None:
    """Write a model's contract and card into its folder; the weights are there already.

    Args:
        folder: of the model.
        model: its weights' source, sha256 and size are true.
        use: what ``-m`` calls it, for the card.

    Raises:
        ResourceError: the system refused.
    """
    _write(folder, model, {}, use=use)


def _write(
    folder: Path, model: Model, files: Mapping[str, Callable[[Path], None]], *, use: str = "THIS_FOLDER"
) -> None:
    text = json.dumps({"medseg_model": VERSION, "model": to_json(model)}, indent=2, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error
    contents = {
        **files,
        CARD: _filled(model_card(model, use=use).encode()),
        CONTRACT: _filled(text.encode()),
    }
    write_together([(folder / name, fill) for name, fill in contents.items()])


def _filled(content: bytes) -> Callable[[Path], None]:
    def write(part: Path) -> None:
        part.write_bytes(content)

    return write


def _apart(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """The tensors, each with memory of its own: a layer that a network has under two names is two here."""
    apart: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        address = plain.untyped_storage().data_ptr()
        apart[name] = plain.clone() if address in seen else plain
        seen.add(address)
    return apart


def _located(model: Model, folder: Path) -> Model:
    """The model with what its contract names inside its folder as absolute paths."""
    parts = tuple(
        replace(part, model=str(folder / part.model)) if part.model.startswith("./") else part
        for part in model.parts
    )
    model = replace(model, parts=parts)
    scheme, _, rest = model.weights.source.partition(":")
    if scheme != "file":
        return model
    inside = (folder / rest).resolve()
    if not inside.is_relative_to(folder.resolve()):
        raise WeightsError(f"{folder / CONTRACT}: the weights {rest!r} are not inside the folder")
    return replace(model, weights=replace(model.weights, source=f"file:{folder / rest}"))
