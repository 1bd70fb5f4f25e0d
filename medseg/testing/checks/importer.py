"""Promises of an importer: ``f(source, name, **options)`` reads another tool's model."""

import tempfile
from pathlib import Path
from typing import cast

from medseg.errors import MedsegError
from medseg.plugin import Importer
from medseg.testing.expectation import BrokenPromiseError, expect
from medseg.testing.subject import Subject


def check_it_recognises_its_own_alone(subject: Subject) -> None:
    """An empty folder and a file of text are not recognised."""
    component = cast(Importer, subject.component)
    recognise = subject.registry.load_string(subject.registered, component.recognise)
    with tempfile.TemporaryDirectory(prefix="medseg-check-") as folder:
        text = Path(folder) / "notes.txt"
        text.write_text("nothing", encoding="utf-8")
        empty = Path(folder) / "empty"
        empty.mkdir()
        claimed = [path.name for path in (text, empty) if recognise(path)]
        expect(
            not claimed,
            got=f"{' and '.join(claimed)} recognised",
            wanted="False for what is no model",
            remedy="Look for the files that make it one",
        )


def check_it_refuses_what_is_no_model(subject: Subject) -> None:
    """An empty folder is refused with one of medseg's errors, which say what is wrong."""
    with tempfile.TemporaryDirectory(prefix="medseg-check-") as folder:
        try:
            found = subject.factory(Path(folder), "check")
        except MedsegError:
            return
    raise BrokenPromiseError(
        f"got {found!r} from an empty folder; wanted a ContractError or WeightsError. Say what is missing"
    )
