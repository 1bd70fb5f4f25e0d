"""Weights: found, proven, loaded strictly; nothing that could run code is read."""

import errno
import hashlib
import importlib.resources
import io
import os
import pickle
import urllib.error
import urllib.request

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from medseg.cache import cache_folder
from medseg.errors import ResourceError, WeightsError
from medseg.plugin import Weights
from medseg.weights import load_weights, locate, sha256_of

URL = "https://weights.example/w.safetensors"


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2))


@pytest.fixture
def file(tmp_path, network):
    path = tmp_path / "w.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "weights"


def described(path, source=None, **changes):
    content = path.read_bytes()
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "licence": "MIT"}
    return Weights(source=source or f"file:{path}", **{**facts, **changes})


def serve(monkeypatch, reply):
    """Answer every request with ``reply()`` and list the addresses that were asked for."""
    asked = []

    def urlopen(address, timeout):
        asked.append((address, timeout))
        return reply()

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


# --- finding and proving ----------------------------------------------------------------------


def test_a_file_with_the_contracts_size_and_hash_is_found(file):
    assert locate(described(file)) == file


def test_a_path_may_begin_with_the_home_folder(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    assert locate(described(file, source="file:~/w.safetensors")) == file


def test_a_file_inside_an_installed_package_is_found():
    path = importlib.resources.files("medseg") / "py.typed"
    assert locate(described(path, source="package:medseg/py.typed")) == path


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("file:/nowhere/w.safetensors", "there is no file"),
        ("package:medseg/w.safetensors", "there is no file"),
        ("package:medseg", "there is no file"),
        ("package:no_such_package/w.safetensors", "No module named .*install the plugin"),
        ("http://weights.example/w.safetensors", "wanted package:module/path, file:path or https"),
        ("w.safetensors", "wanted package:module/path, file:path or https"),
    ],
)
def test_weights_that_are_not_there_are_named(file, source, message):
    with pytest.raises(WeightsError, match=message):
        locate(described(file, source=source))


def test_a_wrong_hash_is_refused_with_both_hashes(file):
    with pytest.raises(WeightsError, match=f"{sha256_of(file)}, the contract says {'0' * 64}; delete"):
        locate(described(file, sha256="0" * 64))


def test_a_file_that_was_cut_is_refused_by_its_size(file):
    right = described(file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=f"has {right.size - 1} bytes, the contract says {right.size}"):
        locate(right)


def test_one_changed_bit_is_refused(file):
    right, content = described(file), bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="has sha256"):
        locate(right)


# --- fetching ---------------------------------------------------------------------------------


def test_weights_are_fetched_once_and_kept_under_their_hash(file, home, monkeypatch):
    asked = serve(monkeypatch, lambda: io.BytesIO(file.read_bytes()))
    wanted = described(file, source=URL)
    first = locate(wanted)
    assert first == home / f"{wanted.sha256}.safetensors"
    assert locate(wanted) == first
    assert first.read_bytes() == file.read_bytes()
    ((address, timeout),) = asked
    assert address == URL
    assert timeout > 0


def test_without_medseg_home_they_are_kept_in_the_users_cache(monkeypatch):
    monkeypatch.delenv("MEDSEG_HOME")
    assert cache_folder("weights").parts[-2:] == ("medseg", "weights")


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b + b"x", lambda b: b[:-1] + b"\xff"])
def test_a_damaged_download_is_refused_and_not_kept(file, home, monkeypatch, damage):
    serve(monkeypatch, lambda: io.BytesIO(damage(file.read_bytes())))
    with pytest.raises(WeightsError, match="the contract says"):
        locate(described(file, source=URL))
    assert list(home.iterdir()) == []


class Broken(io.BytesIO):
    """A connection that ends in the middle."""

    def __init__(self, error):
        super().__init__(b"")
        self.error = error

    def read(self, *_):
        raise self.error


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route"), TimeoutError("timed out"), ConnectionResetError("reset")]
)
@pytest.mark.parametrize("when", ["at once", "in the middle"])
def test_a_network_that_fails_is_named_with_where_to_put_the_file(file, home, monkeypatch, error, when):
    def fail():
        if when == "at once":
            raise error
        return Broken(error)

    serve(monkeypatch, fail)
    with pytest.raises(ResourceError, match=r"could not be fetched .*Download the file by hand to .*weights"):
        locate(described(file, source=URL))
    assert list(home.iterdir()) == []


def test_a_full_disk_is_not_blamed_on_the_network(file, home, monkeypatch):
    serve(monkeypatch, lambda: Broken(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(ResourceError, match="No space left on device; free some space"):
        locate(described(file, source=URL))
    assert list(home.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named(file, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "taken"))
    with pytest.raises(ResourceError, match="set MEDSEG_HOME"):
        locate(described(file, source=URL))


# --- loading ----------------------------------------------------------------------------------


def test_tensors_are_copied_into_the_network(file, network):
    other = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2))
    load_weights(other, file)
    for name, tensor in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_half_precision_files_fill_a_float32_network(tmp_path, network):
    halves = {k: t.half() if t.is_floating_point() else t for k, t in network.state_dict().items()}
    save_file(halves, tmp_path / "half.safetensors")
    load_weights(network, tmp_path / "half.safetensors")
    assert network[0].weight.dtype == torch.float32
    assert torch.equal(network[0].weight, halves["0.weight"].float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("0.bias"), "0.bias is missing"),
        (lambda t: t.update(extra=torch.ones(1)), "extra is not a tensor of the network"),
        (lambda t: t.update({"0.bias": torch.ones(3)}), r"0.bias is \(3,\), wanted \(2,\)"),
        (lambda t: t.update({f"more{n}": torch.ones(1) for n in range(9)}), "and 4 more"),
        (lambda t: t.update({"0.bias": torch.tensor([1, torch.nan])}), "0.bias holds NaN or infinite"),
        (lambda t: t.update({"0.bias": torch.tensor([1, -torch.inf])}), "0.bias holds NaN or infinite"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(tmp_path, network, change, message):
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    change(tensors)
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_weights(network, tmp_path / "w.safetensors")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


class Bomb:
    """Unpickled, it would make a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_pickle_named_safetensors_is_refused_and_not_run(tmp_path, network, write):
    trap = tmp_path / "sprung"
    with (tmp_path / "w.safetensors").open("wb") as file:
        write(Bomb(str(trap)), file)
    with pytest.raises(WeightsError, match="not a sound safetensors file"):
        load_weights(network, tmp_path / "w.safetensors")
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 64, b"\x08\0\0\0\0\0\0\0{}      tail"])
def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path, network, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"not a sound safetensors file|does not fit"):
        load_weights(network, tmp_path / "w.safetensors")
