"""Exports, with one fault each."""

from medseg.errors import VolumeError


def leaves_a_part(result, path):
    path.write_text("half of it")
    raise VolumeError(f"{path.name}: too large")


def writes_nothing(result, path):
    """Says that all is well."""
