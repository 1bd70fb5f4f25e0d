"""Work shared by threads."""

import threading

import numpy as np
import pytest
import torch

from medseg.inference.upsampling import classify
from medseg.interpolation import sample_parallel
from medseg.threads import share


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_results_are_in_order_and_no_thread_is_left(threads):
    threads(4)
    before = threading.active_count()
    assert share(lambda n: n * n, range(20)) == [n * n for n in range(20)]
    assert threading.active_count() == before


def test_several_parts_are_worked_on_at_once(threads):
    threads(2)
    both = threading.Barrier(2, timeout=60)
    share(lambda _: both.wait(), range(2))


def test_an_error_in_a_part_is_raised(threads):
    threads(2)
    with pytest.raises(ZeroDivisionError):
        share(lambda n: 1 // n, range(3))


def test_the_number_of_threads_changes_no_byte(threads):
    chance = np.random.default_rng(0)
    scores = chance.normal(size=(3, 40, 90, 90)).astype(np.float32)
    positions = tuple(np.sort(chance.uniform(0, n - 1, 2 * n)) for n in scores.shape[1:])
    found = []
    for size in (1, 3):
        threads(size)
        found.append((classify(scores, positions), sample_parallel(scores[0], positions, "cubic", 0)))
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])
