"""A model's probe: the sample that it is run on, and the Dice that comes out."""

from medseg.formats import load
from medseg.model import Probe
from medseg.predict import segment
from medseg.registry import Registry
from medseg.samples import find_sample
from medseg.volume import Volume


def run_probe(probe: Probe, model: str, *, registry: Registry) -> Volume:
    """The labels that a model finds on the probe's volume.

    Args:
        probe: names the sample.
        model: as in ``load_model``.
        registry: where to look names up.

    Raises:
        ResourceError: this installation has no samples.
        ContractError, VolumeError: the model or its reader refuses the sample.
    """
    return segment(find_sample(probe.volume), model, device="cpu", registry=registry).labels


def probe_dice(found: Volume, probe: Probe) -> float:
    """Dice of the probe's label against the probe's truth.

    Raises:
        ResourceError: this installation has no samples.
    """
    truth = load(find_sample(probe.truth), kind="labels")
    wanted = probe.label if probe.truth_label is None else probe.truth_label
    a, b = found.array == probe.label, truth.array == wanted
    return 2 * int((a & b).sum()) / max(1, int(a.sum()) + int(b.sum()))
