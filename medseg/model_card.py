"""A model's contract as a page for people. Standard library only."""

from medseg.model import Input, Model, Slices, WholeGrid, Windows


def model_card(model: Model, *, use: str = "THIS_FOLDER") -> str:
    """Markdown: what the model is for, what it wants, what it finds, where it comes from.

    Args:
        model: its contract.
        use: what ``-m`` calls it.
    """
    wanted = model.input
    channels = ", ".join(f"{c.name} ({c.modality}, {c.unit})" for c in wanted.channels)
    rows = [
        ("intended use", model.intended_use),
        ("training data", model.training_data),
        ("reference", model.reference or "none given"),
        ("licence of the weights", model.weights.licence),
        ("sha256 of the weights", f"`{model.weights.sha256}`"),
        ("architecture", _network(model)),
        ("channels", channels),
        ("orientation", wanted.orientation),
        ("voxel size", _spacing(wanted)),
        ("seen as", _patch(wanted.patch) + ", averaged with its mirror images" * wanted.mirror_by_default),
    ]
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)
    labels = "\n".join(f"| {label.value} | {_cell(label.name)} |" for label in model.labels)
    return (
        f"# {model.name}\n\n{model.summary}\n\n| | |\n|---|---|\n{table}\n\n"
        f"| label | meaning |\n|---|---|\n{labels}\n\n"
        f"Run it: `medseg segment IMAGE -m {use} -o OUT`. Research only, not for clinical use.\n"
    )


def _network(model: Model) -> str:
    if model.parts:
        return f"{len(model.parts)} models, their labels laid over one another"
    return f"`{model.architecture}`" + (f" with head `{model.head}`" if model.head else "")


def _spacing(wanted: Input) -> str:
    return " x ".join(f"{mm:g}" for mm in wanted.spacing_mm) + " mm" if wanted.spacing_mm else "as it comes"


def _patch(patch: Windows | Slices | WholeGrid) -> str:
    if isinstance(patch, WholeGrid):
        return f"one whole grid of {_times(patch.shape)} voxels"
    if isinstance(patch, Slices):
        return f"slices along axis {patch.axis}, windows of {_times(patch.size)} pixels"
    return f"windows of {_times(patch.size)} voxels, overlap {patch.overlap:g}"


def _times(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
