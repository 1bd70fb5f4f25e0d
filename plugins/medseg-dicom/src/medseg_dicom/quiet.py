"""Keep pydicom and its codecs silent: their warnings and log lines quote what tags hold."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_LOUD = ("pydicom", "highdicom", "pylibjpeg", "openjpeg", "libjpeg", "rle")
_lock = threading.Lock()
_inside = 0
_restore = ExitStack()


@contextmanager
def silenced() -> Iterator[None]:
    """Nothing that the DICOM libraries warn of or log gets out of this block.

    Filters of warnings belong to the process, not to a thread. So the first reader to come in sets
    them, the last to leave puts them back, and meanwhile the warnings of other threads are lost too.
    """
    global _inside  # noqa: PLW0603  # counts the readers of this process, of which there is one set
    with _lock:
        _inside += 1
        if _inside == 1:
            _restore.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for name in _LOUD:
                logger = logging.getLogger(name)
                _restore.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _restore.close()
