"""Settings of the engine that contradict each other."""

import pytest

from medseg.errors import OptionError
from medseg.inference.execution import Execution


@pytest.mark.parametrize("backend", ["auto", "openvino"])
def test_a_memory_limit_is_refused_where_memory_is_not_predicted(backend):
    with pytest.raises(OptionError, match=f"with the backend '{backend}'.*use --backend eager"):
        Execution(backend=backend, max_ram=2**32)


def test_a_memory_limit_stands_with_the_eager_backend():
    assert Execution(max_ram=2**32).max_ram == 2**32
