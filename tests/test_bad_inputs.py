"""Sound and broken inputs on the command line: each verb reads or refuses them as the manifests say.

The readers' own tests ask what is read; these ask what a script sees: exit status, one REFUSED line,
one document, and nothing written for what was refused.
"""

import gzip
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from nibabel.nifti1 import Nifti1Header

from medseg import isolation
from medseg.cli import main
from medseg.formats import load

ROOT = Path(__file__).parents[1]
NIFTI = ROOT / "tests" / "data" / "nifti_bad"
DICOM = ROOT / "plugins" / "medseg-dicom" / "tests" / "data" / "bad"


@dataclass(frozen=True)
class Case:
    path: Path
    refusal: str  # a pattern; empty if it is read
    kind: str = "image"

    @property
    def several(self):
        """It is sound, but holds several series, which info lists and the other verbs refuse."""
        return "series; wanted one" in self.refusal


def manifest(folder):
    cases = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
    return [Case(folder / c["id"], c.get("message", ""), c.get("kind", "image")) for c in cases]


def bombs(folder):
    """Small files that would become large ones, and an archive of too many members."""
    header = Nifti1Header()
    header.set_data_shape((900, 900, 900))
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"] = 352
    with gzip.open(folder / "bomb.nii.gz", "wb", compresslevel=1) as file:
        file.write(header.binaryblock + bytes(4))
        for _ in range(64):
            file.write(bytes(1 << 20))
    with (
        zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a", "w") as a,
    ):
        for _ in range(300):
            a.write(bytes(1 << 20))
    with zipfile.ZipFile(folder / "many.zip", "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}", b"")
    return [
        Case(folder / "bomb.nii.gz", r"gzip cannot hold more than|decompression bomb"),
        Case(folder / "bomb.zip", "decompression bomb"),
        Case(folder / "many.zip", "20,000 members"),
    ]


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return manifest(NIFTI) + manifest(DICOM) + bombs(tmp_path_factory.mktemp("bombs"))


@pytest.fixture
def run(tiny, monkeypatch):
    """The command in this process; readers too, or every file would wait for a child to import them."""
    monkeypatch.setattr(isolation, "POSSIBLE", False)

    def invoke(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return invoke


def refusals(result):
    return [line for line in result.stderr.splitlines() if line.startswith("REFUSED ")]


def test_info_reads_lists_or_refuses_each_case(run, cases):
    for case in cases:
        done = run("info", case.path, "--kind", case.kind, "--json")
        (volume,) = json.loads(done.stdout)["volumes"]
        if case.several:
            assert (done.exit_code, len(volume["series"])) == (0, 2), case
        elif case.refusal:
            assert (done.exit_code, len(refusals(done))) == (1, 1), case
            assert re.search(case.refusal, volume["refused"]), case
        else:
            assert (done.exit_code, done.stderr) == (0, ""), case
            # A series with a localizer beside it is a list of two, of which one can be read.
            readable = [entry for entry in volume.get("series", [volume]) if not entry.get("refusal")]
            assert len(readable) == 1, case


def test_convert_writes_the_same_world_or_nothing(run, cases, tmp_path):
    for number, case in enumerate(cases):
        target = tmp_path / f"{number}.nii"
        done = run("convert", case.path, target, "--kind", case.kind)
        if case.refusal:
            assert (done.exit_code, len(refusals(done)), target.exists()) == (1, 1, False), case
            assert re.search(case.refusal, done.stderr), case
            continue
        assert (done.exit_code, done.exception) == (0, None), (case, done.stderr)
        before, after = load(case.path, kind=case.kind), load(target, kind=case.kind)
        np.testing.assert_array_equal(after.array, before.array)
        assert after.grid.matches(before.grid), case
    assert len(list(tmp_path.iterdir())) == sum(not case.refusal for case in cases)


@pytest.mark.parametrize("of", ["nifti", "dicom"])
def test_segment_goes_through_all_and_writes_nothing_for_those_it_refuses(run, cases, tmp_path, of):
    # A header and its voxels are one case, and a label map that is no label map is an image.
    chosen = [
        case for case in cases if (".nii" in case.path.name or ".img" in case.path.name) == (of == "nifti")
    ]
    chosen = [case for case in chosen if case.path.suffix != ".hdr"]
    done = run(
        "segment", *(c.path for c in chosen), "-m", "tiny:calm", "--force", "-o", tmp_path / "out", "--json"
    )
    assert done.exit_code == 1
    outcomes = {outcome["case"]: outcome for outcome in json.loads(done.stdout)["cases"]}
    assert len(outcomes) == len(chosen)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    expected = {"medseg-journal.jsonl"}
    for case, outcome in zip(chosen, outcomes.values(), strict=True):
        if case.refusal and case.kind == "image":
            assert outcome["status"] == "refused", (case, outcome)
            assert re.search(case.refusal, outcome["reason"]), (case, outcome)
        else:
            assert outcome["status"] == "done", (case, outcome)
            expected |= {f"{outcome['case']}.json", f"{outcome['case']}.nii.gz"}
    assert written == expected
    assert len(refusals(done)) == sum(outcome["status"] == "refused" for outcome in outcomes.values())
