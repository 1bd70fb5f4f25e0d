"""What every backend does that turns a module into another engine's graph by tracing it."""

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Tracers warn of every Python branch on a size; the size is fixed here, and answers are compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
