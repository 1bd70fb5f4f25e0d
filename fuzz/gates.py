"""Damage sound files at random, for so many seconds, and see what the readers make of them.

    python fuzz/gates.py --seconds 60 [--seed 7] [--target nifti]

A reader may return a volume or refuse; anything else that it raises is a finding, and so are other voxels
than before where the damaged bytes have a checksum, and a file that takes longer than SLOW_SECONDS. A finding
is written to fuzz/findings/, and the exit status is then 1.
"""

import argparse
import hashlib
import random
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from medseg_dicom.reader import read as read_dicom
from medseg_itk.reader import read_metaimage, read_nrrd

from medseg.builtin.nifti import read as read_nifti
from medseg.builtin.nifti import write as write_nifti
from medseg.errors import MedsegError
from medseg.volume import Volume

ROOT = Path(__file__).parents[1]
DICOM = ROOT / "plugins" / "medseg-dicom" / "tests" / "data" / "bad"
FINDINGS = Path(__file__).parent / "findings"
SLOW_SECONDS = 10.0
_EDGES = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\1\0",
    b"\xff\x7f",
    b"\0\x80",
)
_WORDS = (b"nan", b"-1", b"1e999", b"99999999999", b"\n", b"=", b": ", b"LOCAL", b"../x", b"\x1f\x8b")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A reader and a sound file for it.

    Args:
        name: for people, and of the files of findings.
        content: the sound file.
        suffix: of its name.
        read: the reader.
        checksummed_from: from this byte on, damage cannot go unnoticed; None if nowhere.
    """

    name: str
    content: bytes
    suffix: str
    read: Callable[[Path], Volume]
    checksummed_from: int | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A damaged file that a reader did not take as it should."""

    target: str
    content: bytes
    what: str


def make_targets(folder: Path) -> list[Target]:
    """One target for each header gate."""
    array = np.random.default_rng(0).integers(-1000, 1000, (7, 6, 5)).astype(np.int16)
    targets = []
    for suffix in (".nii", ".nii.gz"):
        write_nifti(Volume(array, np.eye(4)), folder / f"sound{suffix}")
        content = (folder / f"sound{suffix}").read_bytes()
        # Behind the gzip header, whose time and system change nothing.
        targets.append(
            _target(f"nifti{suffix}", content, suffix, read_nifti, 10 if suffix == ".nii.gz" else None)
        )
    for name, suffix, end, read in (
        ("metaimage", ".mha", b"LOCAL\n", read_metaimage),
        ("nrrd", ".nrrd", b"\n\n", read_nrrd),
    ):
        path = folder / f"sound{suffix}"
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), path, useCompression=True)
        content = path.read_bytes()
        targets.append(_target(name, content, suffix, read, content.index(end) + len(end)))
    enhanced = next((DICOM / "61_enh_shuffled").iterdir()).read_bytes()
    targets.append(_target("dicom", enhanced, ".dcm", read_dicom))
    with zipfile.ZipFile(folder / "sound.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("E.dcm", enhanced)
    targets.append(_target("zip", (folder / "sound.zip").read_bytes(), ".zip", read_dicom))
    return targets


def _target(
    name: str,
    content: bytes,
    suffix: str,
    read: Callable[[Path], Volume],
    checksummed_from: int | None = None,
) -> Target:
    return Target(name=name, content=content, suffix=suffix, read=read, checksummed_from=checksummed_from)


def hunt(target: Target, folder: Path, *, seconds: float, chance: random.Random) -> tuple[int, list[Finding]]:
    """Damage one target again and again.

    Returns:
        How many files were tried, and what was found; the hunt ends with the third finding.
    """
    path = folder / f"damaged{target.suffix}"
    path.write_bytes(target.content)
    sound = target.read(path)
    end, tries, findings = time.monotonic() + seconds, 0, []
    while time.monotonic() < end and len(findings) < 3:
        content, first = damage(target.content, chance)
        path.write_bytes(content)
        tries += 1
        began = time.monotonic()
        what = _fault(target, path, sound, first)
        if time.monotonic() - began > SLOW_SECONDS:
            what = what or f"took {time.monotonic() - began:.1f} s"
        if what:
            findings.append(Finding(target=target.name, content=content, what=what))
    return tries, findings


def damage(content: bytes, chance: random.Random) -> tuple[bytes, int]:
    """A damaged copy, and the first byte that differs; headers are hit as often as all the rest."""
    damaged, first = bytearray(content), len(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        reach = len(damaged) if chance.random() < 0.5 else min(1024, len(damaged))
        at = chance.randrange(max(1, reach))
        first = min(first, at)
        _change(damaged, at, chance)
    return bytes(damaged), first


def _change(damaged: bytearray, at: int, chance: random.Random) -> None:
    kind = chance.randrange(6)
    if kind == 0:
        del damaged[at:]
    elif kind == 1:
        damaged[at : at + 1] = bytes([chance.randrange(256)])
    elif kind == 2:
        edge = chance.choice(_EDGES)
        damaged[at : at + len(edge)] = edge
    elif kind == 3:
        word = chance.choice(_WORDS)
        damaged[at : at + len(word)] = word
    elif kind == 4:
        del damaged[at : at + chance.randrange(1, 64)]
    else:
        start = chance.randrange(max(1, len(damaged)))
        damaged[at:at] = damaged[start : start + chance.randrange(1, 64)]


def _fault(target: Target, path: Path, sound: Volume, first: int) -> str:
    """What is wrong with how the damaged file was taken; empty if nothing is."""
    try:
        volume = target.read(path)
    except MedsegError:
        return ""
    except Exception:  # noqa: BLE001  # that is what is looked for
        return traceback.format_exc()
    guarded = target.checksummed_from is not None and first >= target.checksummed_from
    same = np.array_equal(volume.array, sound.array) and np.array_equal(volume.affine, sound.affine)
    return "other voxels, although the damaged bytes have a checksum" if guarded and not same else ""


def _store(findings: list[Finding], suffixes: dict[str, str]) -> Iterator[str]:
    FINDINGS.mkdir(exist_ok=True)
    for finding in findings:
        path = (
            FINDINGS
            / f"{finding.target}-{hashlib.sha256(finding.content).hexdigest()[:16]}{suffixes[finding.target]}"
        )
        path.write_bytes(finding.content)
        yield f"{path}\n{finding.what}"


def main() -> int:
    """Hunt through the targets; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=None, help="gives the same damage again")
    parser.add_argument("--target", default="", help="only targets whose name begins so")
    chosen = parser.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(1 << 32)
    found = False
    # Not removed if a decoder kills this process: the file that did it is then still there.
    folder = Path(tempfile.mkdtemp(prefix="medseg-fuzz-"))
    print(f"seed {seed}; the file being read is in {folder}", flush=True)
    targets = [target for target in make_targets(folder) if target.name.startswith(chosen.target)]
    for target in targets:
        chance = random.Random(f"{seed} {target.name}")
        tries, findings = hunt(target, folder, seconds=chosen.seconds / len(targets), chance=chance)
        print(f"{target.name}: {tries:,} damaged files, {len(findings)} findings", flush=True)
        for line in _store(findings, {t.name: t.suffix for t in targets}):
            print(line)
            found = True
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
