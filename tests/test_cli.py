"""The commands beside ``segment``, and what all commands promise scripts and people."""

import importlib.metadata
import json
import os
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

from medseg.cli import main
from medseg.formats import load, save
from medseg.samples import FOLDER
from medseg.volume import Volume

HEAVY = ("torch", "monai", "nibabel", "numpy", "scipy", "matplotlib", "SimpleITK")
HEAD = FOLDER / "itk_t1_head_2x2x3mm.nii.gz"


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def small(tmp_path):
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    save(Volume(values, np.diag([2.0, 2.0, 3.0, 1.0])), tmp_path / "small.nii.gz")
    return tmp_path / "small.nii.gz"


# --- What all commands promise. -----------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("segment", "--help"),
        ("plugin", "list"),
        ("plugin", "list", "--kind", "architecture"),
    ],
)
def test_what_a_user_types_first_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom medseg.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        f"finally:\n    print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


def test_listing_models_imports_no_torch():
    code = "import sys, medseg; assert medseg.models(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_listing_plugins_takes_well_under_a_second_of_processor_time():
    # Not wall time, which on a busy machine is that of its neighbours; the least of three runs.
    spent = []
    for _ in range(3):
        before = os.times()
        subprocess.run(
            [sys.executable, "-c", "from medseg.cli import main; main(['plugin', 'list'])"],
            capture_output=True,
            check=True,
        )
        after = os.times()
        used = (after.children_user + after.children_system) - (before.children_user + before.children_system)
        spent.append(used)
    assert min(spent) < 0.8


def test_every_command_that_reports_has_json():
    silent = {"plugin", "ui"}  # a group; a server
    assert {name for name, command in main.commands.items() if "--json" not in flags(command)} <= silent
    assert "--json" in flags(main.commands["plugin"].commands["list"])


def flags(command):
    return {flag for parameter in command.params for flag in parameter.opts}


def test_each_option_says_what_it_is():
    for command in main.commands.values():
        assert command.help, command.name
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "kind":
                assert parameter.help, f"{command.name} {parameter.name}"


@pytest.mark.parametrize(
    "arguments",
    [("plugin", "list"), ("models", "--all"), ("doctor",), ("info", HEAD)],
)
def test_json_is_one_document_and_nothing_else(medseg, arguments):
    done = medseg(*arguments, "--json")
    assert done.returncode in (0, 1)
    assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.parametrize("arguments", [("plugin", "list"), ("info", HEAD)])
def test_a_reader_who_stops_reading_sees_no_traceback(start_medseg, arguments):
    with start_medseg(*arguments) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.parametrize("arguments", [("plugin", "list"), ("models",)])
def test_a_narrow_terminal_loses_no_name(medseg, arguments):
    shown = medseg(*arguments, COLUMNS="40").stdout
    assert max(map(len, shown.splitlines())) <= 40
    first = "".join(line.split(" ")[0] for line in shown.splitlines())
    assert "linknet" in first


@pytest.mark.parametrize(
    ("arguments", "status"), [((), 2), (("nosuch",), 2), (("info",), 2), (("info", "x"), 2)]
)
def test_wrong_usage_is_2(arguments, status):
    assert run(*arguments).exit_code == status


def test_a_name_that_the_terminal_cannot_show_is_spelt_out(medseg, small):
    odd = small.with_name("\u2603 caf\udce9.nii.gz")
    small.rename(odd)
    done = medseg("info", odd, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("\\u2603 caf\\udce9.nii.gz\n")
    assert json.loads(medseg("info", odd, "--json").stdout)["volumes"][0]["file"] == odd.name


# --- info ---------------------------------------------------------------------------------------


def test_info_states_what_the_file_holds_as_nibabel_reads_it(small):
    (row,) = json.loads(run("info", small, "--json").stdout)["volumes"]
    theirs = nibabel.load(small)
    assert row["shape"] == list(theirs.shape)
    assert row["spacing_mm"] == [float(mm) for mm in theirs.header.get_zooms()]
    assert row["affine"] == theirs.affine.tolist()
    assert row["range"] == [0, 59]
    assert (row["type"], row["orientation"], row["kind"]) == ("int16", "RAS", "image")


def test_info_counts_labels(tmp_path):
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[0] = 7
    save(Volume(labels, np.eye(4), "labels"), tmp_path / "l.nii")
    (row,) = json.loads(run("info", tmp_path / "l.nii", "--kind", "labels", "--json").stdout)["volumes"]
    assert row["labels"] == {"0": 18, "7": 9}
    assert "voxels of each label: 0: 18, 7: 9" in run("info", tmp_path / "l.nii", "--kind", "labels").stdout


def test_info_refuses_with_a_line_and_goes_on(small):
    small.with_name("a.nii").write_bytes(b"junk")
    done = run("info", small.parent, "--json")
    assert done.exit_code == 1
    assert done.stderr.startswith("REFUSED a.nii: ")
    refused, read = json.loads(done.stdout)["volumes"]
    assert refused["file"] == "a.nii"
    assert f"REFUSED {refused['refused']}\n" == done.stderr
    assert read["shape"] == [3, 4, 5]


def test_names_in_info_are_not_markup(small):
    odd = small.with_name("[red]:smile:[bold] $x.nii.gz")
    small.rename(odd)
    assert run("info", odd).stdout.startswith("[red]:smile:[bold] $x.nii.gz\n")


def test_a_folder_that_may_not_be_read_is_a_fault_of_the_environment(small, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    done = run("info", small.parent)
    assert done.exit_code == 3
    assert done.stderr.startswith(f"Error: cannot look into {small.parent}: Permission denied; check")


# --- convert ------------------------------------------------------------------------------------


def test_convert_writes_the_same_volume(small, tmp_path):
    done = run("convert", small, tmp_path / "copy.nii", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["written"] == str(tmp_path / "copy.nii")
    ours, theirs = load(tmp_path / "copy.nii"), nibabel.load(small)
    assert np.array_equal(ours.array, np.asarray(theirs.dataobj))
    assert np.array_equal(ours.affine, theirs.affine)


@pytest.mark.parametrize(
    ("target", "flags", "status", "sentence"),
    [
        ("small.nii.gz", (), 2, "exists; use --overwrite to replace it"),
        ("small.nii.gz", ("--overwrite",), 2, "is the input; choose another name"),
        ("folder", (), 2, "is a folder; name a file in it"),
        ("folder", ("--overwrite",), 2, "is a folder; name a file in it"),
        ("small.txt", (), 2, "no format is written under this suffix"),
        ("x.docx", (), 2, "no format is written under this suffix"),
        ("x.hdr", (), 2, "name it .nii.gz or .nii"),
        ("nowhere/x.nii", (), 3, "the folder does not exist: make it first"),
        ("small.nii.gz/x.nii", (), 3, "is a file, not a folder"),
        ("x" * 300 + ".nii", (), 3, "File name too long; choose a shorter name"),
    ],
)
def test_convert_says_why_it_cannot_write_and_leaves_nothing(small, target, flags, status, sentence):
    (small.parent / "folder").mkdir()
    before = small.read_bytes()
    done = run("convert", small, small.parent / target, *flags)
    assert done.exit_code == status, done.stderr
    assert sentence in done.stderr
    assert sorted(path.name for path in small.parent.rglob("*")) == ["folder", "small.nii.gz"]
    assert small.read_bytes() == before


def test_convert_refuses_with_a_line_and_a_document(small, tmp_path):
    small.write_bytes(b"junk")
    done = run("convert", small, tmp_path / "x.nii", "--json")
    assert done.exit_code == 1
    assert done.stderr.startswith("REFUSED small.nii.gz: ")
    assert f"REFUSED {json.loads(done.stdout)['refused']}\n" == done.stderr
    assert not (tmp_path / "x.nii").exists()


# --- models, plugin list, doctor ----------------------------------------------------------------


def test_models_shows_the_whole_contract():
    (model,) = [
        m
        for m in json.loads(run("models", "--json").stdout)["models"]
        if m["full_name"] == "linknet:brain-mask"
    ]
    assert model["weights"]["licence"] == "MIT"
    assert model["input"]["orientation"] == "RAS"
    assert [label["name"] for label in model["labels"]] == ["background", "brain"]


def test_hidden_models_are_shown_when_asked_for():
    assert "brain-locator" not in run("models").stdout
    assert "brain-locator" in run("models", "--all").stdout


def test_without_a_model_the_list_says_where_models_come_from(medseg):
    done = medseg("models", MEDSEG_PLUGINS="")
    assert (done.returncode, done.stdout) == (0, "")
    assert "pip install medseg-linknet" in done.stderr
    assert json.loads(medseg("models", "--json", MEDSEG_PLUGINS="").stdout) == {"models": [], "methods": []}


def test_the_plugin_list_counts_what_each_offers():
    rows = run("plugin", "list").stdout.splitlines()
    (linknet,) = [row for row in rows if row.startswith("linknet ")]
    assert linknet.split()[1:4] == ["medseg-linknet", "0.1.0", "ok"]
    assert linknet.strip().endswith("1 architecture, 2 models")


def test_the_plugin_list_of_a_kind_names_its_components():
    assert "linknet:linknet" in run("plugin", "list", "--kind", "architecture").stdout
    listed = json.loads(run("plugin", "list", "--kind", "architecture", "--json").stdout)
    kinds = {component["kind"] for plugin in listed["plugins"] for component in plugin["components"]}
    assert kinds == {"architecture"}
    wrong = run("plugin", "list", "--kind", "[networks]")
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("Error: there is no kind '[networks]'; there are architecture, head")


def test_doctor_finds_nothing_wrong_here():
    done = run("doctor", "--json")
    assert done.exit_code == 0, done.stdout
    assert json.loads(done.stdout)["problems"] == []
    assert run("doctor").stdout.endswith("no problems found\n")


# --- demo: the one run of the real brain mask in these tests ------------------------------------


def test_the_demo_segments_a_real_head_and_agrees_with_its_surfaces(medseg, tmp_path):
    done = medseg("demo", "-o", tmp_path / "out", "--device", "cpu", "--json", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["agreement"]["covered"] > 0.99
    # Below 1 by nature: the mask also holds what is not cerebrum.
    assert document["agreement"]["dice"] == pytest.approx(0.811, abs=0.005)
    (case,) = document["cases"]
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["s1_brain.json", "s1_brain.nii.gz", "s1_brain.png"]
    assert json.loads((tmp_path / "out" / "s1_brain.json").read_text()) == case["provenance"]
    mask = np.asarray(nibabel.load(tmp_path / "out" / "s1_brain.nii.gz").dataobj)
    assert [label["voxels"] for label in case["labels"]] == [int(mask.sum())]


def test_a_viewer_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [])

    done = run("ui", "--port", "1")

    assert done.exit_code == 3
    assert "the viewer is not installed; run: pip install medseg-ui" in done.stderr
