import threading

import pytest

from medseg.errors import Cancelled
from medseg.progress import CancelToken


def test_a_token_stops_its_call_once_another_thread_cancels_it():
    token = CancelToken()
    token.check()
    canceller = threading.Thread(target=token.cancel)
    canceller.start()
    canceller.join()
    assert token.cancelled
    with pytest.raises(Cancelled, match="nothing was written"):
        token.check()


def test_one_token_does_not_cancel_another():
    cancelled, other = CancelToken(), CancelToken()
    cancelled.cancel()
    other.check()
