"""``medseg segment``: exit statuses, REFUSED lines, one JSON document, whole files or none."""

import json
import signal
import sys

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

from medseg.cli import main
from medseg.errors import ResourceError
from medseg.formats import load, save
from medseg.volume import Volume

SEGMENTED = ["head.json", "head.nii.gz"]
JOURNAL = "medseg-journal.jsonl"


@pytest.fixture
def run(tiny):
    """The command in this process, where the plugin ``tiny`` is installed."""

    def invoke(*arguments):
        return CliRunner().invoke(main, [str(a) for a in arguments])

    return invoke


def write_head(path, *, brightest=200):
    """A volume of 1 mm whose voxels above 100 are a block of 4 x 5 x 6."""
    values = np.zeros((18, 20, 17), np.int16)
    values[3:7, 8:13, 10:16] = brightest
    save(Volume(values, np.diag([-1.0, -1.0, 1.0, 1.0])), path)
    return values > 100


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_document(result):
    """Standard output is one JSON document: nothing before it, nothing behind it, no NaN in it."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(result.stdout, parse_constant=refuse)


def test_a_file_becomes_a_file_with_its_origin_beside_it(run, tmp_path):
    truth = write_head(tmp_path / "head.nii.gz")
    done = run("segment", tmp_path / "head.nii.gz", "-m", "tiny:bright", "-o", tmp_path / "out" / "mask.nii")
    assert done.exit_code == 0, done.stderr
    assert names(tmp_path / "out") == ["mask.json", "mask.nii"]
    mask = load(tmp_path / "out" / "mask.nii", kind="labels")
    assert np.array_equal(mask.array, truth)
    assert mask.grid.matches(load(tmp_path / "head.nii.gz").grid)
    assert "bright [red] $x" in done.stdout
    assert "120" in done.stdout
    origin = json.loads((tmp_path / "out" / "mask.json").read_text())
    assert (origin["model"], origin["plugins"]["medseg-tiny"]) == ("tiny:bright", "0.3")


def test_options_of_a_cohort_are_said_to_change_nothing_for_one_case(run, tmp_path):
    write_head(tmp_path / "head.nii.gz")
    command = ("segment", tmp_path / "head.nii.gz", "-m", "tiny:bright", "-o", tmp_path / "a.nii.gz")
    done = run(*command, "--workers", 2, "--case-timeout", "4h")
    assert done.exit_code == 0, done.stderr
    assert "--workers, --case-timeout: for cohorts; this is one case" in done.stderr
    assert "for cohorts" not in run(*command, "--overwrite").stderr


def test_a_file_and_a_folder_make_a_folder(run, tmp_path):
    write_head(tmp_path / "head.nii.gz")
    done = run("segment", tmp_path / "head.nii.gz", "-m", "bright", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert names(tmp_path / "out") == SEGMENTED


def test_several_files_make_a_folder_of_their_names(run, tmp_path):
    for name in ("a.nii", "b.nii.gz", "[red] \u2603.nii.gz"):
        write_head(tmp_path / name)
    inputs = [tmp_path / name for name in ("a.nii", "b.nii.gz", "[red] \u2603.nii.gz")]
    done = run("segment", *inputs, "-m", "bright", "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    assert sorted({*names(tmp_path / "out")} - {JOURNAL}) == sorted(
        f"{name}{end}" for name in ("a", "b", "[red] \u2603") for end in (".json", ".nii.gz")
    )
    document = one_document(done)
    assert [(c["case"], c["status"]) for c in document["cases"]] == [
        (name, "done") for name in ("a", "b", "[red] \u2603")
    ]
    assert [label["voxels"] for c in document["cases"] for label in c["labels"]] == [120] * 3


def test_what_a_network_prints_is_not_in_the_document(run, tmp_path):
    write_head(tmp_path / "head.nii.gz")
    done = run("segment", tmp_path / "head.nii.gz", "-m", "bright", "-o", tmp_path / "out", "--json")
    one_document(done)
    assert "what a network prints" in done.stderr


def test_of_a_folder_the_readable_files_are_segmented_and_the_others_left(run, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    for name in ("one.nii", "two.img.nii.gz", "._one.nii"):
        write_head(folder / name)
    (folder / "notes.txt").write_text("not a volume")
    (folder / "deeper.nii").mkdir()
    done = run("segment", folder, "-m", "bright", "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    assert [case["case"] for case in one_document(done)["cases"]] == ["one", "two.img"]


def test_a_refused_case_has_its_line_and_no_file_and_the_others_go_on(run, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    write_head(folder / "c-sound.nii.gz")
    (folder / "a-damaged.nii.gz").write_bytes((folder / "c-sound.nii.gz").read_bytes()[:-20])
    (folder / "b-empty.nii").write_bytes(b"")
    save(Volume(np.full((4, 4, 4), 7, np.int16), np.eye(4)), folder / "d-constant.nii")
    done = run("segment", folder, "-m", "bright", "-o", tmp_path / "out", "--json")
    assert done.exit_code == 1
    refused = [line for line in done.stderr.splitlines() if line.startswith("REFUSED ")]
    assert [line.split(":")[0] for line in refused] == [
        "REFUSED a-damaged",
        "REFUSED b-empty",
        "REFUSED d-constant",
    ]
    assert "Traceback" not in done.stderr
    assert names(tmp_path / "out") == ["c-sound.json", "c-sound.nii.gz", JOURNAL]
    cases = one_document(done)["cases"]
    assert [case["status"] for case in cases] == ["refused", "refused", "done", "refused"]
    assert refused[0] == f"REFUSED a-damaged: {cases[0]['reason']}"


def test_a_fault_in_a_network_fails_its_case_with_a_traceback_and_the_others_go_on(run, tmp_path):
    write_head(tmp_path / "a.nii.gz", brightest=5000)
    write_head(tmp_path / "b.nii.gz")
    done = run(
        "segment",
        tmp_path / "a.nii.gz",
        tmp_path / "b.nii.gz",
        "-m",
        "bright",
        "-o",
        tmp_path / "out",
        "--json",
    )
    assert done.exit_code == 1
    assert "REFUSED a: ZeroDivisionError: a fault in the network's code\nTraceback" in done.stderr
    assert names(tmp_path / "out") == ["b.json", "b.nii.gz", JOURNAL]
    assert [case["status"] for case in one_document(done)["cases"]] == ["failed", "done"]


def test_a_result_that_exists_is_kept_until_overwrite_is_said(run, tmp_path):
    write_head(tmp_path / "head.nii.gz")
    arguments = ("segment", tmp_path / "head.nii.gz", "-m", "bright", "-o", tmp_path / "out")
    assert run(*arguments).exit_code == 0
    (tmp_path / "out" / "head.nii.gz").write_text("older")
    again = run(*arguments)
    assert again.exit_code == 1
    assert "REFUSED head: " in again.stderr
    assert "exists; use --overwrite to replace it" in again.stderr
    assert (tmp_path / "out" / "head.nii.gz").read_text() == "older"
    assert run(*arguments, "--overwrite").exit_code == 0
    assert load(tmp_path / "out" / "head.nii.gz", kind="labels").array.any()


def test_a_file_beside_the_result_that_is_not_ours_is_kept(run, tmp_path):
    # BIDS keeps the scanner's settings under the very name that the origin would have.
    write_head(tmp_path / "head.nii.gz")
    (tmp_path / "mask.json").write_text("settings of the scanner")
    done = run("segment", tmp_path / "head.nii.gz", "-m", "bright", "-o", tmp_path / "mask.nii.gz")
    assert done.exit_code == 1
    assert names(tmp_path) == ["head.nii.gz", "mask.json"]
    assert (tmp_path / "mask.json").read_text() == "settings of the scanner"


def test_a_picture_comes_with_the_rest(run, tmp_path):
    write_head(tmp_path / "$a_{b}$ [red].nii.gz")
    done = run(
        "segment", tmp_path / "$a_{b}$ [red].nii.gz", "-m", "bright", "-o", tmp_path / "out", "--picture"
    )
    assert done.exit_code == 0, done.stderr
    assert names(tmp_path / "out") == [f"$a_{{b}}$ [red]{end}" for end in (".json", ".nii.gz", ".png")]
    assert (tmp_path / "out" / "$a_{b}$ [red].png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("failing", ["medseg.results.save", "medseg.picture.draw"])
def test_files_appear_together_or_not_at_all(run, tmp_path, monkeypatch, failing):
    write_head(tmp_path / "head.nii.gz")
    arguments = ("segment", tmp_path / "head.nii.gz", "-m", "bright", "-o", tmp_path / "out", "--picture")
    assert run(*arguments).exit_code == 0
    before = content(tmp_path / "out")

    def fill_the_disk(*_, **__):
        raise ResourceError("no space left on device")

    monkeypatch.setattr(failing, fill_the_disk)
    done = run(*arguments, "--overwrite")
    assert done.exit_code == 3
    assert done.stderr == "Error: no space left on device\n"
    assert content(tmp_path / "out") == before

    done = run(*arguments[:-2], tmp_path / "elsewhere", "--picture")
    assert done.exit_code == 3
    assert names(tmp_path / "elsewhere") == []


def test_a_permission_is_passed_to_the_reader(run, tmp_path):
    head = write_head(tmp_path / "head.nii.gz").astype(np.float32) * 200
    head[0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(head, np.eye(4)), tmp_path / "nan.nii")
    arguments = ("segment", tmp_path / "nan.nii", "-m", "bright", "-o", tmp_path / "out")
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert "REFUSED nan: " in refused.stderr
    assert run(*arguments, "--allow", "nonfinite=0").exit_code == 0
    assert json.loads((tmp_path / "out" / "nan.json").read_text())["input"][0]["notes"] != []


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("head.nii.gz", "-m", "brihgt", "-o", "out"), 2, "no model 'brihgt'. Did you mean bright?"),
        (("head.nii.gz", "-m", "tiny:[red]", "-o", "out"), 2, "no model 'tiny:[red]'"),
        (("head.nii.gz", "-m", "bright", "-o", "head.nii.gz"), 2, "is an input; choose another place"),
        (("head.nii.gz", "-m", "bright", "-o", "."), 2, "is an input; choose another place"),
        (("head.nii.gz", "copy/head.nii", "-m", "bright", "-o", "out"), 2, "several inputs are called head"),
        (("nowhere.nii", "-m", "bright", "-o", "out"), 2, "'nowhere.nii' does not exist"),
        (("empty", "-m", "bright", "-o", "out"), 2, "nothing readable in empty; looked for "),
        (("head.nii.gz", "-m", "bright"), 2, "Missing option '-o'"),
        (("-m", "bright", "-o", "out"), 2, "Missing argument 'INPUT...'"),
        (("head.nii.gz", "-m", "bright", "-o", "out", "--allow", "sform"), 2, "--allow 'sform': write NAME="),
        (
            ("head.nii.gz", "-m", "bright", "-o", "out", "--allow", "x=1"),
            2,
            "--allow x: no reader of these inputs has it",
        ),
        (("head.nii.gz", "-m", "bright", "-o", "out.hdr"), 2, "name it .nii.gz or .nii"),
        (("head.nii.gz", "-m", "bright", "-o", "notes.txt/out"), 3, "cannot make the folder notes.txt/out"),
        (("head.nii.gz", "-m", "bright", "-o", "notes.txt/out.nii"), 3, "cannot make the folder notes.txt"),
        (("head.nii.gz", "-m", "bright", "-o", "out", "--device", "tpu"), 3, "wanted auto, cpu, cuda or"),
        (("head.nii.gz", "-m", "bright", "-o", "x" * 300), 3, "File name too long"),
        (
            ("head.nii.gz", "-m", "broken", "-o", "out"),
            3,
            "architecture tiny:unimportable of medseg-tiny 0.3 cannot be loaded",
        ),
    ],
)
def test_wrong_usage_is_2_and_a_fault_of_the_environment_3_each_with_a_sentence(
    run, tmp_path, monkeypatch, arguments, status, sentence
):
    monkeypatch.chdir(tmp_path)
    write_head(tmp_path / "head.nii.gz")
    (tmp_path / "copy").mkdir()
    write_head(tmp_path / "copy" / "head.nii")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    before = content(tmp_path)
    done = run("segment", *arguments, "--json")
    assert done.exit_code == status, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError("3 TB"), "Error: MemoryError: 3 TB"),
        (OSError(28, "No space left on device"), "Error: OSError: [Errno 28] No space left on device"),
        (ImportError("libcuda.so"), "Error: ImportError: libcuda.so"),
    ],
)
def test_a_failure_of_the_system_stops_the_batch_with_3(run, tmp_path, monkeypatch, error, sentence):
    def fail(*_, **__):
        raise error

    write_head(tmp_path / "head.nii.gz")
    monkeypatch.setattr("medseg.loaded.LoadedModel.segment", fail)
    done = run("segment", tmp_path / "head.nii.gz", "-m", "bright", "-o", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (3, sentence + "\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to whole consoles alone")
def test_ctrl_c_ends_with_130_and_leaves_nothing(start_medseg, tiny_site, tmp_path):
    write_head(tmp_path / "head.nii.gz")
    arguments = ("segment", tmp_path / "head.nii.gz", "-m", "tiny:sleepy", "-o", tmp_path / "out", "--json")
    process = start_medseg(*arguments, site=tiny_site)
    assert process.stderr.readline() == "the network runs\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr == "Cancelled; no unfinished result was written.\n"
    assert names(tmp_path / "out") == []
