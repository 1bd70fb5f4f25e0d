"""How a check speaks: what it got, what it wanted, what to do."""


class BrokenPromiseError(AssertionError):
    """A component does not do what the plugin API promises on its behalf."""


class CannotRunError(Exception):
    """A check that this machine or this installation cannot carry out; the message says what it lacks."""


def expect(fulfilled: object, *, got: str, wanted: str, remedy: str) -> None:
    """Go on if a promise is kept.

    Raises:
        BrokenPromiseError: it is not; the message holds all three texts.
    """
    if not fulfilled:
        raise BrokenPromiseError(f"got {got}; wanted {wanted}. {remedy}")
