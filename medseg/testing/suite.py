"""Run the promises on an installed plugin: one generator, and what becomes of each check.

Nothing heavy is imported until a check is run.
"""

import importlib
import importlib.metadata
import inspect
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from medseg.errors import UnknownNameError
from medseg.registry import GROUP, PluginRecord, Registry, default_registry
from medseg.testing.expectation import BrokenPromiseError, CannotRunError
from medseg.testing.subject import PluginSubject, Subject

SUITES: dict[str, tuple[str, ...]] = {
    "plugin": ("plugin",),
    "architecture": ("description", "code", "architecture"),
    "head": ("description", "code", "head"),
    "loss": ("description", "code", "loss"),
    "metric": ("description", "code", "metric"),
    "format": ("description", "code", "format"),
    "export": ("description", "code", "export"),
    "step": ("description", "code", "step"),
    "backend": ("description", "code", "backend"),
    "model": ("description", "model"),
    "method": ("description", "code", "method"),
    "importer": ("description", "code", "importer"),
    "panel": ("description", "panel"),
}
"""The modules of ``medseg.testing.checks`` whose promises each kind must keep."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One promise of one plugin or component.

    Args:
        id: ``plugin/loads`` or ``architecture/unet/scores-are-raw``: kind, name, promise.
        promise: the promise in a sentence.
        run: raises ``BrokenPromiseError`` or whatever the component raises; ``CannotRunError`` if it
            cannot be told here.
    """

    id: str
    promise: str
    run: Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a check.

    Args:
        check: which.
        status: ``not run`` says why in the message.
        message: empty if it passed.
        seconds: wall time.
    """

    check: Check
    status: Literal["passed", "failed", "not run"]
    message: str
    seconds: float


def iter_checks(plugin: str, *, registry: Registry | None = None) -> Iterator[Check]:
    """All checks that apply to a plugin and its components; for a broken one those of the plugin alone.

    Args:
        plugin: its name, as in ``medseg plugin list``.
        registry: where to look it up; what is installed, if None.

    Raises:
        UnknownNameError: no such plugin is installed.
    """
    registry = registry or default_registry()
    record = _find(plugin, registry)
    module = _entry_module(record)
    for promise in promises("plugin"):
        yield _check(promise, "plugin", PluginSubject(record=record, module=module))
    for registered in record.components:
        subject = Subject(registered=registered, registry=registry, module=module)
        for promise in promises(registered.kind):
            yield _check(promise, f"{registered.kind}/{registered.component.name}", subject)


def run_check(check: Check) -> Outcome:
    """Run one check; an exception of the component is a failure with its place in the code."""
    begin = time.perf_counter()
    status: Literal["passed", "failed", "not run"] = "failed"
    message = ""
    try:
        check.run()
        status = "passed"
    except BrokenPromiseError as error:
        message = str(error)
    except CannotRunError as error:
        status, message = "not run", str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin may raise anything; the report goes on
        message = _spell(error)
    return Outcome(check=check, status=status, message=message, seconds=time.perf_counter() - begin)


def promises(kind: str) -> list[Callable[[Any], None]]:
    """The check functions of a kind, or of ``"plugin"``, in the order in which they are run."""
    return [promise for module in SUITES[kind] for promise in promises_in(module)]


def promises_in(module: str) -> list[Callable[[Any], None]]:
    """The check functions of one module of ``medseg.testing.checks``."""
    loaded = importlib.import_module(f"medseg.testing.checks.{module}")
    return [
        value
        for name, value in vars(loaded).items()
        if name.startswith("check_") and value.__module__ == loaded.__name__
    ]


def slug(promise: Callable[[Any], None]) -> str:
    """A promise's name in an id: ``check_scores_are_raw`` is ``scores-are-raw``."""
    return promise.__name__.removeprefix("check_").replace("_", "-")


def conformance(plugin: str, *, expected_failures: Mapping[str, str] | None = None) -> Callable[..., None]:
    """A test for pytest that holds every check of a plugin.

    Args:
        plugin: its name, as in ``medseg plugin list``.
        expected_failures: reasons by id of the checks that are known to fail; one that passes after all
            fails the test, so that the list stays true.

    Raises:
        UnknownNameError: no such plugin is installed, or an expected failure is no check of it.

    Example:
        >>> from medseg.testing import conformance
        >>> test_conformance = conformance("builtin")
    """
    import pytest

    expected = dict(expected_failures or {})
    checks = list(iter_checks(plugin))
    unknown = sorted(set(expected) - {check.id for check in checks})
    if unknown:
        ids = "\n".join(check.id for check in checks)
        raise UnknownNameError(f"no such check of {plugin}: {', '.join(unknown)}. It has\n{ids}")
    parameters = [
        pytest.param(
            check,
            id=check.id,
            marks=[pytest.mark.xfail(reason=expected[check.id], strict=True)] if check.id in expected else [],
        )
        for check in checks
    ]

    @pytest.mark.parametrize("check", parameters)
    def test(check: Check) -> None:
        run_as_test(check)

    return test


def run_as_test(check: Check) -> None:
    """Run a check inside pytest: what cannot be told here is skipped with its reason."""
    import pytest

    __tracebackhide__ = True
    outcome = run_check(check)
    if outcome.status == "not run":
        pytest.skip(outcome.message)
    if outcome.status == "failed":
        pytest.fail(f"{check.promise}\n{outcome.message}", pytrace=False)


def _find(plugin: str, registry: Registry) -> PluginRecord:
    for record in registry.records:
        if record.name == plugin:
            return record
    names = ", ".join(record.name for record in registry.records) or "none"
    raise UnknownNameError(f"no plugin {plugin!r} is installed. Installed: {names}")


def _entry_module(record: PluginRecord) -> str:
    found = importlib.metadata.entry_points(group=GROUP, name=record.name)
    return next((e.module for e in found if e.dist and e.dist.name == record.distribution), "")


def _check(promise: Callable[[Any], None], about: str, subject: object) -> Check:
    sentence = (inspect.getdoc(promise) or "").partition("\n\n")[0].replace("\n", " ")
    return Check(id=f"{about}/{slug(promise)}", promise=sentence, run=partial(promise, subject))


def _spell(error: BaseException) -> str:
    """The exception, and the last place outside the kit where it passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "medseg/testing" not in f.filename]
    where = f" ({frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"it raised {type(error).__name__}: {error}{where}"
