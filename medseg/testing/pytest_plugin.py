"""``pytest --medseg-plugin NAME``: the conformance checks of an installed plugin.

pytest imports this module in every run of an environment that has medseg; it must stay light.
"""

from pathlib import Path

import pytest

KIT = Path(__file__).parent / "kit.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("medseg").addoption(
        "--medseg-plugin",
        action="append",
        default=[],
        metavar="NAME",
        help="Run medseg's conformance checks on this installed plugin; may be given several times.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Point pytest at the checks: in place of ``testpaths``, or beside the paths that were given."""
    if config.getoption("medseg_plugin") and str(KIT) not in config.args:
        given = config.args if config.args_source is config.ArgsSource.ARGS else []
        config.args = [*given, str(KIT)]
