"""Turn model folders into a distribution: a plugin with its weights inside, ready to install and to publish.

The folders are those of ``medseg train`` and ``medseg import``. What is written passes the conformance kit
once it is installed, and holds no code but a hook that reads the contracts.
"""

import importlib.metadata
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from medseg.atomic import whole_folder
from medseg.errors import OptionError, ResourceError
from medseg.model import Model, Probe
from medseg.model_card import model_card
from medseg.model_folder import read_model, write_contract, write_model
from medseg.plugin import NAME
from medseg.probing import probe_dice, run_probe
from medseg.registry import LOCAL, Registry, default_registry
from medseg.scaffold.distribution import SUFFIX, TEMPLATES, check_name, fill
from medseg.training.contracts import UNSTATED
from medseg.training.plan import DATA, HISTORY, PLAN
from medseg.weights import locate

CODE_LICENCE = "Apache-2.0"
RECORD = "training.json"
TOLERANCE = 0.005
"""Difference of a probe's Dice that another processor's rounding may make."""
_FLIPPED = 1e-3  # share of the marked voxels whose label 16 bits may change

# Names joined by operators, in parentheses or not; whether a name is one of SPDX is for the index to say.
_SPDX = re.compile(r"\(*[A-Za-z0-9.+-]+\)*( (AND|OR|WITH) \(*[A-Za-z0-9.+-]+\)*)*")

Bits = Literal[16, 32]


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """What became of one model.

    Args:
        model: its description inside the distribution.
        flipped: of the voxels that it marks on the probe, the share whose label 16 bits changed; None if the
            weights stayed as they are.
    """

    model: Model
    flipped: float | None


def package_models(
    runs: Sequence[tuple[str, Path]],
    folder: Path,
    *,
    distribution: str = "",
    bits: Bits | None = None,
    licence: str = "",
    training_data: str = "",
    notices: Sequence[Path] = (),
    probe: Probe | None = None,
    registry: Registry | None = None,
) -> tuple[Path, list[Packaged]]:
    """Write a distribution with the models of some folders.

    Args:
        runs: for each model the name that it shall have, empty for its own, and its folder.
        folder: where the distribution's own folder is made.
        distribution: its name, ``medseg-`` and the plugin's; the first model's, if empty.
        bits: of the weights. None: 16 if there is a probe to compare the labels on, else as they are.
        licence, training_data: of the weights, in the place of what the contracts say.
        notices: files with licences and notices that must go along.
        probe: a sample and a label, whose Dice is measured of each model and put into its contract.
        registry: where to look names up; what is installed, if None.

    Returns:
        The distribution's folder, and what became of each model.

    Raises:
        OptionError: a name that cannot be, a folder that exists, a licence that nobody stated, or labels
            that 16 bits change.
        ContractError, WeightsError: a folder is no model folder, or its weights are not its own.
        ResourceError: the system refused. In every case nothing is left behind.
    """
    registry = registry or default_registry()
    if bits == 16 and probe is None:
        raise OptionError("labels by weights of 16 bits are compared on a probe: give --probe too")
    models = [
        _described(name, run, licence=licence, training_data=training_data, registry=registry)
        for name, run in runs
    ]
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise OptionError(f"several models are called {', '.join(twice)}; give each a name: NAME=RUN")
    distribution = distribution or f"medseg-{names[0]}"
    plugin = distribution.removeprefix("medseg-")
    if plugin == distribution:
        raise OptionError(f"{distribution}: wanted medseg- and the plugin's name, such as medseg-heads")
    check_name(plugin, registry, own=distribution)
    root = folder / distribution
    if root.exists():
        raise OptionError(f"{root} exists; remove it, or choose another name or place")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error
    with whole_folder(root) as part:
        package = distribution.replace("-", "_")
        source = part / "src" / package
        done = []
        for model, (_, run) in zip(models, runs, strict=True):
            target = source / "models" / model.name
            packaged = _write(model, run, target, bits=bits, probe=probe, registry=registry)
            inside = f"package:{package}/models/{model.name}/weights.safetensors"
            weights = replace(packaged.model.weights, source=inside)
            packaged = replace(packaged, model=replace(packaged.model, weights=weights))
            write_contract(target, packaged.model, use=f"{plugin}:{model.name}")
            _write_record(run, target)
            done.append(packaged)
        _write_pages(part, source, [packaged.model for packaged in done], notices, registry)
    return root, done


def _described(name: str, run: Path, *, licence: str, training_data: str, registry: Registry) -> Model:
    """A folder's contract, with what a distribution needs beyond it."""
    model = read_model(run)
    if model.parts:
        raise OptionError(f"{run} is made of {len(model.parts)} models; package each of those folders")
    name = name or model.name
    if not NAME.fullmatch(name):
        raise OptionError(f"{name}: a model's name is lower-case letters and digits, joined by hyphens")
    licence = licence or model.weights.licence
    if licence == UNSTATED:
        raise OptionError(f"{run} does not say the licence of its weights: give --licence, such as CC-BY-4.0")
    if not _SPDX.fullmatch(licence):
        raise OptionError(
            f"{run}: the licence {licence!r} is no SPDX expression, which a package needs: give --licence, "
            "such as CC-BY-SA-4.0 (https://spdx.org/licenses)"
        )
    locator = model.input.locator
    if locator and registry.find("model", locator.model).plugin == LOCAL:
        raise OptionError(
            f"{run} sees what {locator.model} finds, which is in this user's own folder of models alone: "
            "package and install that model, and train with --locator as it is called then"
        )
    used = [registry.find("architecture", model.architecture)]
    used += [registry.find("head", model.head)] if model.head else []
    reference = "; ".join(found.component.reference for found in used if found.component.reference)
    return replace(
        model,
        name=name,
        reference=model.reference or reference,
        training_data=training_data or model.training_data,
        weights=replace(model.weights, licence=licence),
    )


def _write(
    model: Model, run: Path, target: Path, *, bits: Bits | None, probe: Probe | None, registry: Registry
) -> Packaged:
    """Write a model's folder; with a probe, measure it, and hold 16 bits to the labels of before."""
    tensors = load_file(locate(read_model(run).weights))
    if probe is None:
        return Packaged(model=write_model(target, model, tensors), flipped=None)
    if bits == 32:
        before = run_probe(probe, str(run), registry=registry)
        measured = replace(probe, dice=round(probe_dice(before, probe), 4))
        return Packaged(model=write_model(target, replace(model, probe=measured), tensors), flipped=None)
    halves = {name: _halved(name, tensor) for name, tensor in tensors.items()}
    written = write_model(target, model, halves)
    after = run_probe(probe, str(target), registry=registry)
    same = all(halves[name] is tensor for name, tensor in tensors.items())  # it was packaged before
    before = after if same else run_probe(probe, str(run), registry=registry)
    marked = (before.array > 0) | (after.array > 0)
    flipped = float((before.array != after.array)[marked].mean()) if marked.any() else 0.0
    if flipped > _FLIPPED:
        raise OptionError(
            f"{run}: weights of 16 bits change the labels of {flipped:.2%} of the voxels that are marked on "
            f"{probe.volume}; keep them with --bits 32"
        )
    measured = replace(probe, dice=round(probe_dice(after, probe), 4))
    return Packaged(model=replace(written, probe=measured), flipped=flipped)


def _halved(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    half = tensor.to(torch.float16)  # itself, if it is so already
    if not bool(half.isfinite().all()):
        raise OptionError(f"{name} holds numbers that are too large for 16 bits; keep them with --bits 32")
    return half


def _write_record(run: Path, target: Path) -> None:
    """How a model was trained, if its folder says: the plan, what each epoch was like, and facts of the data.

    Cases are numbered: names of files may be those of patients. A model that was packaged before has its
    record in this form.
    """
    if (run / RECORD).is_file():
        (target / RECORD).write_bytes((run / RECORD).read_bytes())
    elif (run / PLAN).is_file():
        data = json.loads((run / DATA).read_text(encoding="utf-8"))
        cases = [{**case, "name": f"case {number}"} for number, case in enumerate(data["cases"], start=1)]
        record = {"plan": json.loads((run / PLAN).read_text(encoding="utf-8")), "cases": cases}
        (target / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    else:
        return
    if (run / HISTORY).is_file():
        (target / HISTORY).write_bytes((run / HISTORY).read_bytes())


def _write_pages(
    root: Path, source: Path, models: Sequence[Model], notices: Sequence[Path], registry: Registry
) -> None:
    """Everything around the models."""
    distribution = source.name.replace("_", "-")
    plugin = distribution.removeprefix("medseg-")
    licences = list(dict.fromkeys([CODE_LICENCE, *_terms(model.weights.licence for model in models)]))
    texts = _named(notices)
    values = {
        "name": plugin,
        "distribution": distribution,
        "package": source.name,
        "description": f"Models for medseg: {', '.join(model.name for model in models)}",
        "dependencies": ", ".join(f'"{need}"' for need in _needs(models, registry)),
        "licence": " AND ".join(f"({one})" if " OR " in one else one for one in licences),
        "first": models[0].name,
        "table": "\n".join(_row(model) for model in models),
        "cards": "\n".join("#" + model_card(m, use=f"{plugin}:{m.name}").rstrip() + "\n" for m in models),
        "weights": "\n".join(f"    {model.name}: {model.weights.licence}" for model in models),
        "notices": textwrap.fill(
            f"Notices that go along: {', '.join(texts)}." if texts else "No further notices go along.", 100
        ),
        "text": _own_licence(),
    }
    pages = {
        root / "pyproject.toml": TEMPLATES / f"pyproject.toml{SUFFIX}",
        root / "README.md": TEMPLATES / "packaged" / f"README.md{SUFFIX}",
        root / "LICENSE": TEMPLATES / "packaged" / f"LICENSE{SUFFIX}",
        root / "tests" / "test_conformance.py": TEMPLATES / f"test_conformance.py{SUFFIX}",
        source / "plugin.py": TEMPLATES / "packaged" / f"plugin.py{SUFFIX}",
    }
    (root / "tests").mkdir()
    for path, template in pages.items():
        path.write_text(fill(template, values), encoding="utf-8")
    (source / "__init__.py").write_text(f'"""The models of {distribution}."""\n', encoding="utf-8")
    (source / "py.typed").touch()
    for name, notice in texts.items():
        (root / name).write_bytes(notice.read_bytes())


def _terms(licences: Iterable[str]) -> Iterator[str]:
    """What must all be kept to; what is joined otherwise than by AND alone stays as it is."""
    for licence in licences:
        yield from [licence] if "(" in licence or " OR " in licence else licence.split(" AND ")


def _named(notices: Sequence[Path]) -> dict[str, Path]:
    """Notices by the names that they get; those of one name get a number, for none may take another's."""
    texts: dict[str, Path] = {}
    taken: set[str] = set()
    for notice in notices:
        stem, number = notice.stem.removeprefix("LICENSE."), 1
        name = f"LICENSE.{stem}.txt"
        while name.lower() in taken:  # some disks take capital letters for small ones
            number += 1
            name = f"LICENSE.{stem}-{number}.txt"
        taken.add(name.lower())
        texts[name] = notice
    return texts


def _needs(models: Sequence[Model], registry: Registry) -> list[str]:
    """The distributions of all components that the models name."""
    used = set()
    for model in models:
        kinds = [("architecture", model.architecture), *((("head", model.head),) if model.head else ())]
        kinds += [("step", name) for name, _ in (*model.input.steps, *model.post)]
        kinds += [("step", name) for channel in model.input.channels for name, _ in channel.steps]
        kinds += [("model", model.input.locator.model)] if model.input.locator else []
        used |= {registry.find(kind, name, within="builtin").plugin for kind, name in kinds}
    found = {record.distribution for record in registry.records if record.name in used}
    return ["medseg", *sorted(found - {"medseg"})]


def _row(model: Model) -> str:
    mebibytes = model.weights.size / 2**20
    return f"| `{model.name}` | {model.summary} | {mebibytes:.1f} MiB, {model.weights.licence} |"


def _own_licence() -> str:
    """The text of medseg's licence, which is that of the few lines of code in a distribution."""
    text = importlib.metadata.distribution("medseg").read_text("licenses/LICENSE")
    if text is None:
        raise ResourceError("this installation of medseg lacks its licence file: install it again")
    return text.rstrip()
