"""Where medseg keeps what it can make or fetch again."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import platformdirs

from medseg.atomic import write_bytes_whole
from medseg.errors import ResourceError

Part = Literal["weights", "backends", "imported", "sizes"]


def cache_folder(part: Part) -> Path:
    """The folder of one kind of things; ``MEDSEG_HOME`` moves them all."""
    home = os.environ.get("MEDSEG_HOME")
    return (Path(home) if home else Path(platformdirs.user_cache_dir("medseg"))) / part


def key_of(known: Mapping[str, Any]) -> str:
    """A file's name for all that a thing depends on: JSON values."""
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]


def remember_int(part: Part, known: Mapping[str, Any], make: Callable[[], int]) -> int:
    """A number that was found out before, or is now, because there is none or its file is damaged.

    Args:
        part: where it is kept.
        known: all that it depends on.
        make: finds it out.
    """
    kept = cache_folder(part) / f"{key_of(known)}.json"
    try:
        value = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        value = None
    if not isinstance(value, int):
        value = make()
        with contextlib.suppress(OSError, ResourceError):  # found out again next time
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_bytes_whole(kept, f"{value}\n".encode())
    return value
