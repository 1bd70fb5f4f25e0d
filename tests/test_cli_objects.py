"""``medseg segment`` and ``info`` on folders of slices, exports, and options of a network."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from medseg.cli import main
from medseg.formats import load, save
from medseg.volume import Volume


@pytest.fixture
def run(tiny):
    """The command in this process, where the plugin ``tiny`` is installed."""

    def invoke(*arguments):
        return CliRunner().invoke(main, [str(a) for a in arguments])

    return invoke


def write_series(folder, series="a", slices=3, value=200):
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(slices):
        np.savetxt(folder / f"{series}-{n}.slice", np.full((4, 5), value + n))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_of_slices_is_one_case_with_the_folders_name(run, tmp_path):
    write_series(tmp_path / "scan.1")

    done = run("segment", tmp_path / "scan.1", "-m", "bright", "-o", tmp_path / "out")

    assert done.exit_code == 0, done.output
    assert names(tmp_path / "out") == ["scan.1.json", "scan.1.nii.gz"]
    assert load(tmp_path / "out" / "scan.1.nii.gz", kind="labels").array.all()


def test_one_folder_of_slices_may_be_written_to_a_file(run, tmp_path):
    write_series(tmp_path / "scan")

    assert run("segment", tmp_path / "scan", "-m", "bright", "-o", tmp_path / "b.nii").exit_code == 0
    assert load(tmp_path / "b.nii", kind="labels").shape == (4, 5, 3)


def test_of_a_tree_each_folder_of_slices_is_a_case_beside_the_files_at_its_top(run, tmp_path):
    write_series(tmp_path / "in" / "one" / "late")
    write_series(tmp_path / "in" / "two")
    (tmp_path / "in" / "empty").mkdir()
    save(Volume(np.full((3, 3, 3), 200, np.int16), np.eye(4)), tmp_path / "in" / "head.nii")

    done = run("segment", tmp_path / "in", "-m", "bright", "-o", tmp_path / "out", "--json")

    assert [case["case"] for case in json.loads(done.stdout)["cases"]] == ["head", "one_late", "two"]


def test_info_lists_several_series_and_says_which_would_be_refused(run, tmp_path):
    write_series(tmp_path / "scan", "a", 3)
    write_series(tmp_path / "scan", "b", 1)

    people = run("info", tmp_path / "scan")
    script = json.loads(run("info", tmp_path / "scan", "--json").stdout)

    assert people.exit_code == 0
    assert "series 1: 3 slices" in people.output
    assert "would be refused: one slice only" in people.output
    assert [series["number"] for series in script["volumes"][0]["series"]] == [1, 2]
    assert script["volumes"][0]["series"][1]["refusal"] == "one slice only"


def test_one_of_several_series_is_chosen_by_its_number(run, tmp_path):
    write_series(tmp_path / "scan", "a", 3)
    write_series(tmp_path / "scan", "b", 2)

    refused = run("segment", tmp_path / "scan", "-m", "bright", "-o", tmp_path / "out")
    chosen = run("info", tmp_path / "scan", "--allow", "series=2", "--json")

    assert refused.exit_code == 1
    assert "REFUSED scan: scan: 2 series; choose with --allow series=NUMBER" in refused.stderr
    assert json.loads(chosen.stdout)["volumes"][0]["shape"] == [4, 5, 2]


def test_an_export_stands_beside_the_label_map_and_knows_its_source(run, tmp_path):
    write_series(tmp_path / "scan")
    out = tmp_path / "out"

    done = run(
        "segment", tmp_path / "scan", "-m", "bright", "-o", out, "--as", "words", "--allow", "series=1"
    )

    assert done.exit_code == 0, done.output
    assert names(out) == ["scan.json", "scan.nii.gz", "scan.words.txt"]
    assert (out / "scan.words.txt").read_text() == (
        "background, bright [red] $x in scan by tiny:bright, read with {'series': '1'}"
    )


def test_an_export_that_refuses_leaves_nothing_of_its_case(run, tmp_path):
    write_series(tmp_path / "scan")

    done = run("segment", tmp_path / "scan", "-m", "bright", "-o", tmp_path / "out", "--as", "never")

    assert done.exit_code == 1
    assert "REFUSED scan: these words cannot hold this result" in done.stderr
    assert names(tmp_path / "out") == []


def test_an_export_that_is_not_installed_is_wrong_usage(run, tmp_path):
    write_series(tmp_path / "scan")

    done = run("segment", tmp_path / "scan", "-m", "bright", "-o", tmp_path / "out", "--as", "wrods")

    assert done.exit_code == 2
    assert "no export 'wrods'. Did you mean" in done.stderr


def test_an_option_of_the_network_stands_beside_the_place_to_write_to(run, tmp_path):
    write_series(tmp_path / "scan", value=80)
    out = tmp_path / "out.nii"

    assert run("segment", tmp_path / "scan", "-m", "bright", "-o", out, "-o", "gain=2").exit_code == 0

    assert load(out, kind="labels").array.all()
    settings = json.loads((tmp_path / "out.json").read_text())["settings"]
    assert float(settings["options"]["gain"]) == 2


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["-o", "out", "-o", "gian=2"], "no option 'gian'. It takes: gain=1.0 (float)"),
        (["-o", "out", "-o", "gain=much"], "option gain is 'much', wanted float (default 1.0)"),
        (["-o", "gain=2"], "-o names 0 places to write to"),
        (["-o", "a", "-o", "b"], "-o names 2 places to write to (a, b)"),
    ],
)
def test_a_wrong_option_or_place_is_refused_with_the_valid_ones(run, tmp_path, given, sentence):
    write_series(tmp_path / "scan")

    done = run("segment", tmp_path / "scan", "-m", "bright", *given)

    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.split())


def test_the_help_behind_a_model_lists_the_options_of_its_network(run):
    assert "gain  float, default 1.0" in run("segment", "-m", "bright", "--help").output
    assert "gain  float" not in run("segment", "--help").output


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--as", "words shout=maybe"], "option shout is 'maybe', wanted bool (default False)"),
        (
            ["--as", "words shuot=yes"],
            "tiny:words has no option 'shuot'. It takes: shout=False (bool)",
        ),
        (["--as", "words", "--as", "words shout=yes"], "another export writes the same file (*.words.txt)"),
    ],
)
def test_a_wrong_option_of_an_export_is_refused_before_anything_is_read(run, tmp_path, given, sentence):
    write_series(tmp_path / "scan")

    done = run("segment", tmp_path / "scan", "-m", "bright", "-o", tmp_path / "out", *given)

    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.split())


def test_options_of_an_export_stand_behind_its_name(run, tmp_path):
    write_series(tmp_path / "scan")

    run("segment", tmp_path / "scan", "-m", "bright", "-o", tmp_path / "out", "--as", "words shout=yes")

    assert (tmp_path / "out" / "scan.words.txt").read_text().startswith("BACKGROUND")


def test_a_permission_reaches_the_readers_that_know_it(run, tmp_path):
    write_series(tmp_path / "in" / "scan")
    write_series(tmp_path / "in" / "scan", "b")
    values = np.zeros((4, 4, 4), np.float32)
    values[1:3], values[0, 0, 0] = 200, np.nan
    save(Volume(values, np.eye(4)), tmp_path / "in" / "head.nii")

    done = run(
        *("segment", tmp_path / "in", "-m", "bright", "-o", tmp_path / "out"),
        *("--allow", "series=2", "--allow", "nonfinite=0"),
    )

    assert done.exit_code == 0, done.output
    assert {"head.nii.gz", "scan.nii.gz"} <= set(names(tmp_path / "out"))


def test_the_time_of_reading_is_in_the_provenance(run, tmp_path):
    write_series(tmp_path / "scan")

    run("segment", tmp_path / "scan", "-m", "bright", "-o", tmp_path / "out")

    seconds = json.loads((tmp_path / "out" / "scan.json").read_text())["seconds"]
    assert seconds["read"] > 0


def test_the_help_of_a_network_without_options_says_so(run, monkeypatch):
    monkeypatch.setattr("medseg.catalogue.model_options", lambda _: {})

    assert "none  it takes no options" in run("segment", "-m", "bright", "--help").output
