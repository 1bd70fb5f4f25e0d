"""How a model is run: repeatable, mirrored, within a limit of memory; and the record of it."""

import threading
from weakref import WeakValueDictionary

import numpy as np
import pytest

from medseg.errors import Cancelled, OptionError, ResourceError
from medseg.inference.execution import Execution
from medseg.inference.memory import plan_memory
from medseg.inference.room import Room
from medseg.predict import load_model, segment
from medseg.progress import CancelToken
from medseg.volume import Volume


class Noted(WeakValueDictionary):
    """Notes the address of each map that is made."""

    def __init__(self, noted):
        super().__init__()
        self.noted = noted

    def __setitem__(self, key, value):
        self.noted.append(key)
        super().__setitem__(key, value)


@pytest.fixture
def run(tiny):
    values = np.random.default_rng(0).uniform(0, 200, (18, 20, 17)).astype(np.float32)

    def segmented(**settings):
        return segment(
            Volume(values, np.eye(4)), "tiny:bright", device="cpu", execution=Execution(**settings)
        )

    return segmented


def test_a_deterministic_run_gives_the_same_bytes_again(run):
    first, again = (run(deterministic=True).labels.array for _ in range(2))
    assert first.tobytes() == again.tobytes()


def test_mirroring_changes_nothing_for_a_network_that_looks_at_single_voxels(run):
    mirrored = run(mirror=True)
    np.testing.assert_array_equal(mirrored.labels.array, run().labels.array)
    assert mirrored.provenance["execution"]["mirror"] is True


def test_a_run_that_needs_more_memory_than_allowed_is_refused(run):
    with pytest.raises(ResourceError, match=r"this run needs about .* GB, .*--max-ram allows 0\.00 GB"):
        run(max_ram=10**6)


def test_a_limit_on_a_gpus_memory_is_refused_on_a_cpu(run):
    with pytest.raises(OptionError, match=r"--max-vram.* was given for tiny:bright, which runs on the CPU"):
        run(max_vram=2**30)


def test_a_result_says_how_it_was_run_and_what_memory_was_predicted(run):
    record = run().provenance
    assert record["execution"] == {
        "backend": "eager",
        "precision": "float32",
        "least_dice": 0.995,
        "mirror": False,
        "body_mask": False,
        "deterministic": False,
        "probabilities": False,
        "attention": False,
        "max_ram": None,
        "max_vram": None,
    }
    assert record["predicted_memory_bytes"]["peak"] > record["predicted_memory_bytes"]["before"]


def test_probabilities_are_those_of_the_network_and_their_entropy(run):
    """The tiny network's second logit is the voxel less 100.5, its first is 0."""
    result = run(probabilities=True)
    values = np.random.default_rng(0).uniform(0, 200, (18, 20, 17)).astype(np.float32)
    p = 1 / (1 + np.exp(100.5 - values.astype(np.float64)))
    assert list(result.probabilities) == [1]
    np.testing.assert_allclose(result.probabilities[1].array, p, atol=1e-5)
    assert result.probabilities[1].grid.matches(result.labels.grid)
    np.testing.assert_array_equal(result.labels.array == 1, result.probabilities[1].array > 0.5)
    expected = -(p * np.log2(p) + (1 - p) * np.log2(np.maximum(1 - p, 1e-300)))
    np.testing.assert_allclose(result.entropy.array, expected, atol=1e-5)


def test_without_being_asked_there_are_no_probabilities(run):
    assert (run().probabilities, run().entropy) == (None, None)


def test_in_the_smallest_room_arrays_are_on_the_disk_and_labels_the_same(run, monkeypatch):
    """As if every array were large, and the limit such that only the smallest plan fits."""
    smallest = Room(stitch="disk", arrays="disk")
    monkeypatch.setattr("medseg.storage._SMALL", 0)
    monkeypatch.setattr(
        "medseg.inference.planner.fit_memory", lambda task, _, **__: plan_memory(task, smallest)
    )
    mapped = []
    monkeypatch.setattr("medseg.storage._maps", Noted(mapped))
    result = run(max_ram=2**32, probabilities=True)
    assert len(mapped) >= 5  # image, sums, labels, a probability, the entropy
    monkeypatch.undo()
    np.testing.assert_array_equal(result.labels.array, run().labels.array)


@pytest.mark.parametrize("backend", ["auto", "openvino"])
def test_another_backend_is_measured_and_kept_within_a_limit(run, backend, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path))
    result = run(backend=backend, max_ram=10**11)
    np.testing.assert_array_equal(result.labels.array, run().labels.array)
    with pytest.raises(ResourceError, match="this run needs about"):
        run(backend=backend, max_ram=10**6)


@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_cancelling_ends_within_one_window_and_leaves_no_thread(tiny, backend, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path))
    loaded = load_model("tiny:bright", device="cpu", execution=Execution(backend=backend, max_ram=10**11))
    image = Volume(np.random.default_rng(0).uniform(0, 200, (60, 20, 17)).astype(np.float32), np.eye(4))
    loaded.segment(image)  # what a backend begins stays with the model
    threads, token, windows = set(threading.enumerate()), CancelToken(), []

    def stop_after_two(progress):
        if progress.stage == "network" and progress.total > 1:
            windows.append(progress.done)
            if progress.done == 2:
                token.cancel()

    with pytest.raises(Cancelled):
        loaded.segment(image, progress=stop_after_two, cancel=token)
    assert windows == [1, 2]
    assert set(threading.enumerate()) == threads
