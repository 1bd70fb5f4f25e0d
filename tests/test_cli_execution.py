"""``medseg bench``, and how ``medseg segment`` is told to run a network."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from medseg.cli import main
from medseg.formats import load, save
from medseg.volume import Volume


@pytest.fixture
def run(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "cache"))

    def invoke(*arguments):
        return CliRunner().invoke(main, [str(a) for a in arguments])

    return invoke


@pytest.fixture
def head(tmp_path):
    values = np.zeros((18, 20, 17), np.int16)
    values[3:7, 8:13, 10:16] = 200
    save(Volume(values, np.eye(4)), tmp_path / "head.nii.gz")
    return tmp_path / "head.nii.gz"


def test_bench_names_every_quick_backend_and_compares_it_with_eager(run, head):
    done = run("bench", head, "-m", "tiny:bright", "--device", "cpu", "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    trials = answer["trials"]
    assert answer["chosen"] == min(trials, key=lambda t: t["seconds"])["backend"]
    assert [t["backend"] for t in trials] == [
        "builtin:eager",
        "builtin:channels-last",
        "builtin:onnxruntime",
        "builtin:openvino",
        "winograd:winograd",
    ]
    assert all(t["labels"] >= 0.9999 and t["seconds"] > 0 and not t["problem"] for t in trials)


def test_bench_without_an_input_runs_on_noise(run):
    done = run("bench", "-m", "tiny:bright", "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert "builtin:openvino" in done.stdout
    assert "is the fastest that agrees with builtin:eager, and what --backend auto takes" in done.stdout


def test_auto_gives_the_labels_of_eager_and_says_what_it_chose(run, head, tmp_path):
    for backend in ("eager", "auto"):
        done = run(
            "segment", head, "-m", "tiny:bright", "-o", tmp_path / f"{backend}.nii", "--backend", backend
        )
        assert done.exit_code == 0, done.stderr
    eager, auto = (load(tmp_path / f"{name}.nii", kind="labels").array for name in ("eager", "auto"))
    np.testing.assert_array_equal(eager, auto)
    said = json.loads((tmp_path / "auto.json").read_text())["backend_trials"]
    assert "fastest that agrees, one window: eager" in said


def test_too_little_memory_ends_with_the_environments_status_and_writes_nothing(run, head, tmp_path):
    done = run("segment", head, "-m", "tiny:bright", "-o", tmp_path / "mask.nii", "--max-ram", "1MB")
    assert done.exit_code == 3
    assert "--max-ram allows 0.00 GB" in done.stderr
    assert not (tmp_path / "mask.nii").exists()
    assert (
        run("segment", head, "-m", "tiny:bright", "-o", tmp_path / "m.nii", "--max-ram", "x").exit_code == 2
    )


def test_probabilities_are_files_beside_the_labels_and_are_not_overwritten(run, head, tmp_path):
    arguments = ("segment", head, "-m", "tiny:bright", "-o", tmp_path / "mask.nii", "--probabilities")
    assert run(*arguments).exit_code == 0
    labels = load(tmp_path / "mask.nii", kind="labels")
    likely, entropy = (load(tmp_path / f"mask_{name}.nii.gz").array for name in ("probability_1", "entropy"))
    np.testing.assert_array_equal(likely > 0.5, labels.array == 1)
    assert 0 <= entropy.min() <= entropy.max() <= 1
    (tmp_path / "mask.nii").unlink()
    (tmp_path / "mask.json").unlink()
    again = run(*arguments)
    assert again.exit_code == 1
    assert "mask_probability_1.nii.gz exists" in again.stderr


def test_a_precision_that_the_model_or_the_machine_has_not_is_refused_by_name(
    run, head, tmp_path, monkeypatch
):
    """The tiny model is one convolution, which stays in float32; and then the processor is a plain one."""
    for precision, why in (
        ("int8", "no layer of the network can be in int8"),
        ("float16", "this processor has no float16 arithmetic"),
        ("bfloat16", "this processor has no bfloat16 arithmetic"),
    ):
        arguments = ("segment", head, "-m", "tiny:bright", "-o", tmp_path / "m.nii", "--precision", precision)
        done = run(*arguments, "--device", "cpu")
        assert done.exit_code == 2
        assert f"--precision {precision} is refused: " in done.stderr
        assert why in done.stderr
        plain = SimpleNamespace(get_property=lambda device, name: ["FP32", "INT8"])
        monkeypatch.setattr("medseg.builtin.openvino_backends._core", lambda plain=plain: plain)
    assert not (tmp_path / "m.nii").exists()


def test_bench_of_a_precision_shows_its_backends_after_eager(run, head):
    done = run("bench", head, "-m", "tiny:bright", "--device", "cpu", "--precision", "int8", "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    eager, int8 = answer["trials"]
    assert answer["chosen"] is None
    assert (eager["backend"], int8["backend"]) == ("builtin:eager", "builtin:openvino-int8")
    assert "no layer of the network can be in int8" in int8["problem"]


def test_with_a_body_mask_a_result_says_how_many_windows_were_not_computed(run, tmp_path):
    values = np.zeros((18, 20, 90), np.int16)
    values[3:7, 8:13, 3:9] = 200
    values += np.arange(90, dtype=np.int16) % 2  # air is not one value
    save(Volume(values, np.diag([4, 4, 4, 1])), tmp_path / "head.nii")
    labels = {}
    for name, options in (("all", []), ("body", ["--body-mask"])):
        out = tmp_path / f"{name}.nii"
        done = run("segment", tmp_path / "head.nii", "-m", "tiny:bright", "-o", out, *options)
        assert done.exit_code == 0, done.stderr
        labels[name] = load(out, kind="labels").array
    skipped = json.loads((tmp_path / "body.json").read_text())["windows_without_body"]
    assert skipped > 0
    assert f"windows without body, taken for background: {skipped}" in done.stdout
    np.testing.assert_array_equal(labels["all"], labels["body"])
    assert json.loads((tmp_path / "all.json").read_text())["windows_without_body"] is None
