"""Choose the way to run a network: time each on a real window, keep those that agree, take the fastest.

Which one is fastest depends on the network's layers, the window, the processor and the versions, so it
is measured, never assumed. The choice is remembered under a key of all of these.
"""

import hashlib
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from medseg.atomic import write_whole
from medseg.errors import MedsegError, OptionError
from medseg.inference.calls import Network
from medseg.options import options_of
from medseg.plugin import Backend
from medseg.registry import Registered, Registry
from medseg.weights import cache_folder

REFERENCE = "eager"
SLOW_TO_BEGIN = ("compile",)  # tried by name only: it takes minutes before the first window
AGREEING_LABELS = 0.9999  # of the window's voxels have the reference's label
TOLERANCE = 1e-2  # of the reference's largest logit: engines differ in how they sum, float32 they all are
_PACKAGES = ("torch", "openvino", "onnxruntime")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One backend on one window.

    Args:
        backend: full name.
        seconds: for one window, without making ready; 0 if it failed.
        begin_seconds: to make ready.
        labels: fraction of voxels whose label is the reference's.
        difference: largest difference of a logit, as a fraction of the reference's largest logit.
        problem: why it is left out; empty if it is not.
    """

    backend: str
    seconds: float = 0.0
    begin_seconds: float = 0.0
    labels: float = 0.0
    difference: float = 0.0
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The backend that was taken, and what it was compared with.

    Args:
        backend: full name.
        trials: all that were tried, the reference first; empty if the backend was asked for by name.
        remembered: whether the trials are of an earlier run.
    """

    backend: str
    trials: tuple[Trial, ...] = ()
    remembered: bool = False

    @property
    def sentence(self) -> str:
        """What was chosen and why."""
        if not self.trials:
            return f"{self.backend}: asked for"
        spelt = ", ".join(
            f"{t.backend.partition(':')[2]} "
            + (f"left out ({t.problem})" if t.problem else f"{t.seconds:.2f} s")
            for t in self.trials
        )
        return f"{self.backend}: fastest that agrees, one window: {spelt}" + (
            "; measured earlier" if self.remembered else ""
        )


class Backends:
    """Makes networks ready to run on one device.

    Args:
        wanted: ``auto``, or a backend's name, full or short.
        device: that the network and its windows are on.
        identity: of the model: its name, weights and options.
        registry: whose backends there are.

    Raises:
        UnknownNameError, AmbiguousNameError: see ``Registry.find``.
        OptionError: the backend does not serve the device.
    """

    def __init__(
        self, wanted: str, *, device: torch.device, identity: Mapping[str, Any], registry: Registry
    ) -> None:
        self._device, self._identity, self._registry = device, identity, registry
        self._named = None if wanted == "auto" else self._find(wanted)

    def ready(self, module: nn.Module, window: Tensor) -> tuple[Network, Choice]:
        """The network in the backend that was asked for, or that is best for this window.

        Args:
            module: (1,C,*S) -> logits (1,K,*S).
            window: (1,C,*S), real data.
        """
        if self._named:
            return self._make(self._named, module, window), Choice(backend=self._named.full_name)
        kept = self._folder() / f"{self._key(window)}.json"
        choice = _read_choice(kept)
        if choice is None:
            trials = self.compare(module, window, self.candidates())
            best = min((t for t in trials if not t.problem), key=lambda t: t.seconds)
            choice = Choice(backend=best.backend, trials=tuple(trials))
            write_whole(kept, lambda part: _write_choice(part, choice))
        return self._make(self._find(choice.backend), module, window), choice

    def candidates(self, *, patient: bool = False) -> list[Registered]:
        """Every backend for the device, the reference first.

        Args:
            patient: also those that take minutes to begin.
        """
        found = [
            item
            for item in self._registry.components("backend")
            if self._device.type in cast(Backend, item.component).devices
            and (patient or item.component.name not in SLOW_TO_BEGIN)
        ]
        return sorted(found, key=lambda item: item.full_name != f"builtin:{REFERENCE}")

    def compare(self, module: nn.Module, window: Tensor, candidates: Sequence[Registered]) -> list[Trial]:
        """Time backends on a window and compare each with the first; one that fails says why."""
        trials: list[Trial] = []
        expected: Tensor | None = None
        for item in candidates:
            try:
                begin = time.perf_counter()
                network = self._make(item, module, window)
                answer = network(window)  # the first call allocates and tunes
                ready = time.perf_counter()
                network(window)
                self._wait()
                end = time.perf_counter()
            except (MedsegError, RuntimeError, ImportError, ValueError, TypeError) as error:
                trials.append(Trial(backend=item.full_name, problem=f"{type(error).__name__}: {error}"[:200]))
                continue
            if expected is None:
                expected = answer
            labels, difference = _agreement(answer, expected)
            agrees = labels >= AGREEING_LABELS and difference <= TOLERANCE
            trials.append(
                Trial(
                    backend=item.full_name,
                    seconds=end - ready,
                    begin_seconds=ready - begin,
                    labels=labels,
                    difference=difference,
                    problem=""
                    if agrees
                    else f"labels agree on {labels:.4%}, logits differ by {difference:.2g} of the largest",
                )
            )
        return trials

    def _find(self, name: str) -> Registered:
        found = self._registry.find("backend", name)
        devices = cast(Backend, found.component).devices
        if self._device.type not in devices:
            raise OptionError(
                f"backend {found.full_name} runs on {', '.join(devices)}, not on {self._device.type}; "
                "choose another, or another --device"
            )
        return found

    def _make(self, item: Registered, module: nn.Module, window: Tensor) -> Network:
        factory = self._registry.load(item)
        if "saved" not in options_of(factory):
            return cast(Network, factory(module, window))
        name = f"{self._key(window)}-{item.component.name}.bin"
        return cast(Network, factory(module, window, saved=str(self._folder() / name)))

    def _key(self, window: Tensor) -> str:
        known = {
            "model": self._identity,
            "shape": list(window.shape),
            "device": torch.cuda.get_device_name(self._device)
            if self._device.type == "cuda"
            else [platform.machine(), platform.processor(), torch.backends.cpu.get_cpu_capability()],
            "threads": torch.get_num_threads(),
            "packages": {name: _version_of(name) for name in _PACKAGES},
            "plugins": self._registry.versions(),
        }
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]

    def _folder(self) -> Path:
        folder = cache_folder().parent / "backends"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _agreement(answer: Tensor, expected: Tensor) -> tuple[float, float]:
    """Fraction of equal labels, and the largest difference as a fraction of the largest logit."""
    if answer.shape != expected.shape or not bool(answer.isfinite().all()):
        return 0.0, float("inf")
    lead = [x.argmax(1) if x.shape[1] > 1 else x > 0 for x in (answer, expected)]
    difference = float((answer - expected).abs().max()) / max(float(expected.abs().max()), 1e-12)
    return float((lead[0] == lead[1]).double().mean()), difference


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _write_choice(part: Path, choice: Choice) -> None:
    part.write_text(json.dumps(asdict(choice)), encoding="utf-8")


def _read_choice(kept: Path) -> Choice | None:
    """What an earlier run chose; None if there was none or its file is damaged."""
    try:
        data = json.loads(kept.read_text(encoding="utf-8"))
        trials = tuple(Trial(**trial) for trial in data["trials"])
        return Choice(backend=data["backend"], trials=trials, remembered=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None
