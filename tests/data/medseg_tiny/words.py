"""Exports: one that writes, one that refuses."""

from medseg.errors import VolumeError


def write(result, path, *, shout: bool = False):
    names = ", ".join(label.name for label in result.classes)
    names = names.upper() if shout else names
    path.write_text(
        f"{names} in {result.source.name} by {result.model}, read with {dict(result.read_options)}"
    )


def refuse(result, path):
    raise VolumeError("these words cannot hold this result")
