"""What ``pytest --medseg-plugin NAME`` runs; a plugin's own tests use ``conformance`` instead."""

import pytest

from medseg.errors import UnknownNameError
from medseg.testing.suite import Check, iter_checks, run_as_test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each check of each plugin that was named."""
    checks = []
    for name in metafunc.config.getoption("medseg_plugin"):
        try:
            checks += [(f"{name}:{check.id}", check) for check in iter_checks(name)]
        except UnknownNameError as error:
            raise pytest.UsageError(f"--medseg-plugin {name}: {error}") from error
    metafunc.parametrize("check", [check for _, check in checks], ids=[label for label, _ in checks])


def test_promise(check: Check) -> None:
    """The promise that the test's id names."""
    run_as_test(check)
