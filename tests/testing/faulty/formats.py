"""Formats, sound but for one fault each."""

import zipfile

import numpy as np

from medseg.errors import VolumeError
from medseg.volume import Volume

DAMAGE = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile)


def _load(path, kind):
    with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
        return Volume(members["array"], members["affine"], kind=kind)


def read(path, *, kind="image"):
    try:
        return _load(path, kind)
    except DAMAGE as error:
        raise VolumeError(f"{path.name}: {error}") from error


def read_unnamed(path, *, kind="image"):
    try:
        return _load(path, kind)
    except DAMAGE as error:
        raise VolumeError("no good") from error


def read_unguarded(path, *, kind="image"):
    return _load(path, kind)


def read_anything(path, *, kind="image"):
    try:
        return _load(path, kind)
    except DAMAGE:
        return Volume(np.zeros((2, 2, 2)), np.eye(4))


def write(volume, path):
    with path.open("wb") as file:
        np.savez(file, array=volume.array, affine=volume.affine)


def write_without_signs(volume, path):
    write(Volume(volume.array, np.abs(volume.affine), kind=volume.kind), path)


def write_in_eight_bits(volume, path):
    write(volume.with_array(volume.array.astype(np.uint8)), path)


def write_nothing(volume, path):
    raise VolumeError(f"{path.name}: not today")


def sniff_everything(path):
    return True


def sniff_nothing(path):
    return False
