"""Choose the way to run a network: time each on a real window, keep those that agree, take the fastest.

Which one is fastest depends on the network's layers, the window, the processor and the versions, so it
is measured, never assumed. The choice is remembered under a key of all of these. In float32 a way agrees
if it gives nearly the same numbers; in a lower precision, if the labels of a window reach a Dice.
"""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from medseg.agreement import ENOUGH, Agreement, agreement, dice_over
from medseg.atomic import write_whole
from medseg.cache import cache_folder, key_of
from medseg.errors import OptionError
from medseg.inference.calls import Network
from medseg.inference.code import code_of
from medseg.inference.execution import Execution
from medseg.options import options_of
from medseg.plugin import Backend
from medseg.registry import Registered, Registry

REFERENCE = "eager"
SLOW_TO_BEGIN = ("compile",)  # tried by name only: it takes minutes before the first window
AGREEING_LABELS = 0.9999  # of the window's voxels have the reference's label
TOLERANCE = 1e-2  # of the reference's largest logit: engines differ in how they sum, float32 they all are
_PACKAGES = ("torch", "openvino", "nncf", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One backend on one window.

    Args:
        backend: full name.
        seconds: for one window, without making ready; 0 if it failed.
        begin_seconds: to make ready.
        labels: fraction of voxels whose label is the reference's; of two windows the lesser.
        difference: largest difference of a logit, as a fraction of the reference's largest logit; of two
            windows the larger.
        dice: the least of the labels, to the reference's, in a lower precision over all windows that it was
            made with; None if none is large enough.
        problem: why it is left out; empty if it is not.
    """

    backend: str
    seconds: float = 0.0
    begin_seconds: float = 0.0
    labels: float = 0.0
    difference: float = 0.0
    dice: float | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The backend that was taken, and what it was compared with.

    Args:
        backend: full name.
        trials: all that were tried, the reference first; empty if the backend was asked for by name.
        remembered: whether the trials are of an earlier run.
        dice: what a remembered choice of lower precision reached on this run's first volume.
    """

    backend: str
    trials: tuple[Trial, ...] = ()
    remembered: bool = False
    dice: float | None = None

    @property
    def sentence(self) -> str:
        """What was chosen and why."""
        if not self.trials:
            return f"{self.backend}: asked for"
        spelt = ", ".join(
            f"{t.backend.partition(':')[2]} "
            + (f"left out ({t.problem})" if t.problem else f"{t.seconds:.2f} s{_spell_dice(t.dice)}")
            for t in self.trials
        )
        return (
            f"{self.backend}: fastest that agrees, one window: {spelt}"
            + ("; measured earlier" if self.remembered else "")
            + (f"; now{_spell_dice(self.dice)}" if self.dice is not None else "")
        )


class Backends:
    """Makes networks ready to run on one device.

    Args:
        execution: the backend, by full or short name, or ``auto``; the precision, and the Dice to keep it.
            A precision other than float32 has backends of its own: ``eager`` is ``auto`` there.
        device: that the network and its windows are on.
        identity: of the model: its weights, and all of its contract that decides what the network computes.
        registry: whose backends there are.
        regions: as of ``medseg.agreement``.

    Raises:
        UnknownNameError, AmbiguousNameError: see ``Registry.find``.
        OptionError: the backend does not serve the device, or computes in another precision.
    """

    def __init__(
        self,
        execution: Execution,
        *,
        device: torch.device,
        identity: Mapping[str, Any],
        registry: Registry,
        regions: bool = False,
    ) -> None:
        self._device, self._identity, self._registry = device, identity, registry
        self._precision, self._dice, self._regions = execution.precision, execution.least_dice, regions
        unnamed = ("auto",) if self._precision == "float32" else ("auto", REFERENCE)
        self._named = None if execution.backend in unnamed else self._find(execution.backend)

    def ready(
        self, module: nn.Module, windows: Tensor, *, told: Sequence[float] = ()
    ) -> tuple[Network, Choice]:
        """The network in the backend that was asked for, or that is best for these windows.

        Args:
            module: (1,C,*S) -> logits (1,K,*S).
            windows: (N,C,*S), real data; one, or in a lower precision several, to agree on.
            told: what else the module was made for, and computes with: the spacing, if its head is told it.

        Raises:
            OptionError: no backend of the lower precision agrees with float32.
        """
        if self._named and self._precision == "float32":
            return self._make(self._named, module, windows[:1], told), Choice(backend=self._named.full_name)
        kept = self._kept(module, windows.shape, told)
        choice = _read_choice(kept)
        if choice is not None:
            network = self._make(self._find(choice.backend), module, windows, told)
            return network, self._again(choice, network, module, windows)
        trials = self.compare(module, windows, self.candidates(), told=told)
        choice = Choice(backend=self._fastest(trials), trials=tuple(trials))
        write_whole(kept, lambda part: _write_choice(part, choice))
        return self._make(self._find(choice.backend), module, windows, told), choice

    def is_open(self, module: nn.Module, window: Sequence[int], *, told: Sequence[float] = ()) -> bool:
        """Whether backends are yet to be compared for a network on windows (1,C,*S)."""
        named = self._named is not None and self._precision == "float32"
        return not named and _read_choice(self._kept(module, window, told)) is None

    def candidates(self, *, patient: bool = False) -> list[Registered]:
        """Every backend for the device and the precision, after the reference, which is float32.

        Args:
            patient: also those that take minutes to begin.
        """
        reference = self._registry.find("backend", f"builtin:{REFERENCE}")
        if self._named:
            return [reference, self._named]
        found = [
            item
            for item in self._registry.components("backend")
            if self._device.type in cast(Backend, item.component).devices
            and cast(Backend, item.component).precision == self._precision
            and (patient or item.component.name not in SLOW_TO_BEGIN)
            and item.full_name != reference.full_name
        ]
        return [reference, *found]

    def compare(
        self,
        module: nn.Module,
        windows: Tensor,
        candidates: Sequence[Registered],
        *,
        told: Sequence[float] = (),
    ) -> list[Trial]:
        """Time backends on the first window and compare each with the first; one that fails says why.

        Also on that window mirrored, which none is made with: a backend that follows the network's work on
        one window, to repeat it, may have taken for a constant what depends on the window. The Dice of a
        lower precision is that over all windows together.
        """
        trials: list[Trial] = []
        expected: tuple[Tensor, Tensor] | None = None
        reference: Network = module
        window = windows[:1]
        other = window.flip(-1)
        for item in candidates:
            try:
                begin = time.perf_counter()
                network = self._make(item, module, windows, told)
                first = network(window)  # the first call allocates and tunes
                self._wait()
                ready = time.perf_counter()
                second = network(other)
                self._wait()
                end = time.perf_counter()
                exact = cast(Backend, item.component).precision == "float32"
                pairs = ((network(one), reference(one)) for one in windows.chunk(len(windows)))
                together = None if exact else dice_over(pairs, regions=self._regions)
            except Exception as error:  # engines' errors have no class in common; each is reported
                if expected is None:
                    raise  # the reference itself
                trials.append(Trial(backend=item.full_name, problem=f"{type(error).__name__}: {error}"[:300]))
                continue
            if expected is None:
                expected, reference = (first, second), network
            found, again = (
                agreement(answer, wanted, regions=self._regions)
                for answer, wanted in zip((first, second), expected, strict=True)
            )
            dice = found.dice if exact else together
            trials.append(
                Trial(
                    backend=item.full_name,
                    seconds=end - ready,
                    begin_seconds=ready - begin,
                    labels=min(found.labels, again.labels),
                    difference=max(found.difference, again.difference),
                    dice=dice,
                    problem=_inexact(found) or _inexact(again) if exact else self._unlike(dice),
                )
            )
        return trials

    def _fastest(self, trials: Sequence[Trial]) -> str:
        """The backend that agrees and is fastest; in a lower precision the reference is none of them."""
        lower = self._precision != "float32"
        if name := chosen(trials, lower=lower):
            return name
        raise self._refused("; ".join(f"{t.backend}: {t.problem}" for t in trials[lower:]))

    def _again(self, choice: Choice, network: Network, module: nn.Module, windows: Tensor) -> Choice:
        """A remembered choice of lower precision, checked on this run's first volume."""
        if self._precision == "float32":
            return choice
        pairs = ((network(window), module(window)) for window in windows.chunk(len(windows)))
        dice = dice_over(pairs, regions=self._regions)
        if problem := self._unlike(dice):
            raise self._refused(f"{choice.backend}, which agreed on an earlier volume: {problem}")
        return replace(choice, dice=dice)

    def _unlike(self, dice: float | None) -> str:
        """Why a lower precision is left out; empty if it is not."""
        if dice is None:
            return f"no label has {ENOUGH} voxels in the windows of this volume that were looked at"
        reached = f"its labels reach a Dice of {dice:.4f} to float32, wanted {self._dice}"
        return "" if dice >= self._dice else reached

    def _refused(self, why: str) -> OptionError:
        why = why or f"no backend for {self._device.type} computes in it"
        return OptionError(
            f"--precision {self._precision} is refused: {why}. Leave it out, or allow less with --least-dice"
        )

    def _find(self, name: str) -> Registered:
        found = self._registry.find("backend", name)
        devices = cast(Backend, found.component).devices
        if self._device.type not in devices:
            raise OptionError(
                f"backend {found.full_name} runs on {', '.join(devices)}, not on {self._device.type}; "
                "choose another, or another --device"
            )
        precision = cast(Backend, found.component).precision
        if precision != self._precision:
            raise OptionError(
                f"backend {found.full_name} computes in {precision}: give --precision {precision} with it, "
                f"or leave out --backend for the fastest in {self._precision}"
            )
        return found

    def _make(self, item: Registered, module: nn.Module, windows: Tensor, told: Sequence[float]) -> Network:
        factory = self._registry.load(item)
        lower = cast(Backend, item.component).precision != "float32"
        name = f"{self._key(module, windows.shape, told)}-{item.component.name}.bin"
        given = {"saved": str(self._folder() / name), "dice": self._dice, "regions": self._regions}
        known = {key: value for key, value in given.items() if key in options_of(factory)}
        return cast(Network, factory(module, windows if lower else windows[:1], **known))

    def _kept(self, module: nn.Module, window: Sequence[int], told: Sequence[float]) -> Path:
        """The file that a choice is remembered in, among all backends or for the one that was named."""
        named = f"-{self._named.component.name}" if self._named else ""
        return self._folder() / f"{self._key(module, window, told)}{named}.json"

    def _key(self, module: nn.Module, window: Sequence[int], told: Sequence[float]) -> str:
        known = {
            "model": self._identity,
            "code": code_of(module),
            "shape": list(window[1:]),
            "told": [float(value) for value in told],
            "precision": [self._precision, self._dice],
            "device": torch.cuda.get_device_name(self._device)
            if self._device.type == "cuda"
            else [platform.machine(), platform.processor(), torch.backends.cpu.get_cpu_capability()],
            "threads": torch.get_num_threads(),
            "packages": {name: _version_of(name) for name in _PACKAGES},
            "plugins": self._registry.versions(),
        }
        return key_of(known)

    def _folder(self) -> Path:
        folder = cache_folder("backends")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def chosen(trials: Sequence[Trial], *, lower: bool) -> str:
    """The backend that ``auto`` takes: the fastest that agrees; empty if none does.

    Args:
        trials: the reference first.
        lower: they are of a lower precision than the reference, which is then none of them.
    """
    agreeing = [t for t in trials[lower:] if not t.problem]
    return min(agreeing, key=lambda t: t.seconds).backend if agreeing else ""


def _inexact(found: Agreement) -> str:
    """Why a backend in float32 is left out; empty if it is not."""
    if found.labels >= AGREEING_LABELS and found.difference <= TOLERANCE:
        return ""
    return f"labels agree on {found.labels:.4%}, logits differ by {found.difference:.2g} of the largest"


def _spell_dice(dice: float | None) -> str:
    return "" if dice is None else f", Dice {dice:.4f}"


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
