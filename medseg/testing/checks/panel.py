"""Promises of a panel: a component whose options make the form, and a module to draw with."""

import importlib.resources
from pathlib import PurePosixPath
from typing import cast

from medseg.errors import MedsegError
from medseg.options import options_of
from medseg.plugin import KINDS, Panel
from medseg.registry import Registered
from medseg.testing.expectation import BrokenPromiseError, CannotRunError, expect
from medseg.testing.subject import Subject


def check_its_form_can_be_made(subject: Subject) -> None:
    """``of`` is the full name of an installed component whose factory has at least one option."""
    about = cast(Panel, subject.component)
    found = [r for kind in KINDS for r in subject.registry.components(kind) if r.full_name == about.of]
    expect(
        found,
        got=f"of={about.of!r}, which no installed plugin offers",
        wanted="the full name of a component, plugin:name",
        remedy="Correct the name; medseg plugin list --json shows them all",
    )
    expect(
        any(_has_options(subject, registered) for registered in found),
        got=f"of={about.of!r}, which has no options",
        wanted="a component with keyword-only options",
        remedy="A form needs at least one field",
    )


def _has_options(subject: Subject, registered: Registered) -> bool:
    if not registered.component.factory:
        return False
    try:
        return bool(options_of(subject.registry.load(registered)))
    except MedsegError as error:
        raise BrokenPromiseError(f"{error}. The form cannot be made from it") from error


def check_its_asset_is_in_the_package(subject: Subject) -> None:
    """If there is an ``asset``, it is a file inside the plugin's package, so that the wheel has it."""
    asset = cast(Panel, subject.component).asset
    if not asset:
        return
    if not subject.module:
        raise CannotRunError("the plugin was registered in this process and has no package")
    package = subject.module.partition(".")[0]
    path = PurePosixPath(asset)
    expect(
        not path.is_absolute()
        and ".." not in path.parts
        and importlib.resources.files(package).joinpath(*path.parts).is_file(),
        got=f"asset={asset!r}, which is no file inside {package}",
        wanted=f"a path inside the package {package}, such as panel.js",
        remedy="Put the file beside the code, and correct the path",
    )
