"""How torch computes while a model runs: settings of the process, which several threads want at once."""

import contextlib

import pytest
import torch

from medseg.inference.execution import Execution, arithmetic


def settings():
    cudnn = torch.backends.cudnn
    return torch.are_deterministic_algorithms_enabled(), cudnn.allow_tf32, cudnn.benchmark


@pytest.mark.parametrize("deterministic", [False, True])
def test_of_overlapping_runs_the_last_one_puts_settings_back(deterministic):
    before, wanted = settings(), (deterministic, False, False)
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    with first, second:
        first.enter_context(arithmetic(Execution(deterministic=deterministic)))
        second.enter_context(arithmetic(Execution(deterministic=deterministic)))
        assert settings() == wanted
        first.close()
        assert settings() == wanted
    assert settings() == before


def test_a_run_that_fails_puts_settings_back():
    before = settings()
    with pytest.raises(KeyError), arithmetic(Execution(deterministic=True)):
        raise KeyError
    assert settings() == before
