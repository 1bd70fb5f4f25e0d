"""Factories of a loss whose signature is no schema."""

NOT_CODE = 3


def positional_option(weight=1.0):
    """An option that no user sees."""


def any_keyword(**options):
    """Options without names."""


def no_annotation(*, weight=1.0):
    """An option without a type."""


def wrong_default(*, weight: int = "heavy"):
    """A default of another type."""


def no_dims(in_channels, out_channels):
    """An architecture that cannot be told its dims."""
