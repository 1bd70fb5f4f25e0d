"""Find a model's weights, prove that they are the right ones, load them strictly.

Only safetensors files are read: nothing that can run code is ever unpickled.
"""

import hashlib
import importlib.resources
import shutil
import urllib.request
from collections.abc import Container
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from urllib.error import URLError

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from medseg.atomic import write_whole
from medseg.cache import cache_folder
from medseg.errors import ResourceError, WeightsError
from medseg.plugin import Weights

_TIMEOUT_S = 60  # without a byte from the server
_AGAIN = "delete that file and get it again, or install the plugin again"


def locate(weights: Weights) -> Path:
    """The verified file of some weights, fetched into the cache first if they are a URL.

    Raises:
        WeightsError: the file is not there, or its size or sha256 is not the contract's.
        ResourceError: it could not be fetched or stored.
    """
    scheme, _, rest = weights.source.partition(":")
    if scheme == "package":
        package, _, inner = rest.partition("/")
        path = _package_folder(package, weights) / inner
    elif scheme == "file":
        path = Path(rest).expanduser()
    elif scheme == "https":
        path = cache_folder("weights") / f"{weights.sha256}.safetensors"
        if not path.exists():
            _fetch(weights, path)
    else:
        raise WeightsError(
            f"weights source {weights.source!r}: wanted package:module/path, file:path or https://..."
        )
    if not path.is_file():
        raise WeightsError(f"weights {weights.source}: there is no file {path}")
    _verify(path, weights)
    return path


def load_weights(module: nn.Module, path: Path, *, reshaped: Container[str] = ()) -> None:
    """Copy a safetensors file into a module, strictly: same names, same shapes, finite numbers.

    Args:
        module: what takes them.
        path: of the file.
        reshaped: tensors that may have another shape in the module, which keeps its own.

    Raises:
        WeightsError: the file is damaged or does not fit; the message lists what differs.
    """
    tensors = read_weights(path)
    wanted = dict(module.state_dict())
    tensors |= {name: wanted[name] for name in tensors if name in reshaped and name in wanted}
    differences = _differences(tensors, wanted)
    if differences:
        shown = "; ".join(differences[:5]) + (
            f"; and {len(differences) - 5} more" if len(differences) > 5 else ""
        )
        raise WeightsError(f"{path.name} does not fit {type(module).__name__}: {shown}")
    module.load_state_dict(tensors)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name.

    Raises:
        WeightsError: the file is damaged, or holds numbers that are not finite.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is not a sound safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(f"{path.name}: tensor {name} holds NaN or infinite numbers")
    return tensors


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _differences(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> list[str]:
    found = [f"{name} is missing" for name in wanted if name not in got]
    found += [f"{name} is not a tensor of the network" for name in got if name not in wanted]
    found += [
        f"{name} is {tuple(got[name].shape)}, wanted {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in got and got[name].shape != tensor.shape
    ]
    return found


def _verify(path: Path, weights: Weights) -> None:
    size = path.stat().st_size
    if size != weights.size:
        raise WeightsError(
            f"weights {weights.source}: {path} has {size} bytes, the contract says {weights.size}; {_AGAIN}"
        )
    found = sha256_of(path)
    if found != weights.sha256:
        raise WeightsError(
            f"weights {weights.source}: {path} has sha256 {found}, the contract says {weights.sha256}; "
            f"{_AGAIN}"
        )


def _package_folder(package: str, weights: Weights) -> Path:
    try:
        return Path(str(importlib.resources.files(package)))
    except ImportError as error:
        raise WeightsError(f"weights {weights.source}: {error}; install the plugin that has them") from error


def _fetch(weights: Weights, path: Path) -> None:
    def download(part: Path) -> None:
        try:
            with urllib.request.urlopen(weights.source, timeout=_TIMEOUT_S) as reply, part.open("wb") as file:  # noqa: S310  # https only, checked by locate
                shutil.copyfileobj(reply, file)
        # The network's own failures; those of the disk are write_whole's to explain.
        except (URLError, HTTPException, ConnectionError, TimeoutError, SSLError) as error:
            raise ResourceError(
                f"weights {weights.source} could not be fetched ({error}). "
                f"Download the file by hand to {path}"
            ) from error

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"weights cannot be kept in {path.parent} ({error}); set MEDSEG_HOME to a folder you may write to"
        ) from error
    write_whole(path, download, verify=lambda part: _verify(part, weights))
