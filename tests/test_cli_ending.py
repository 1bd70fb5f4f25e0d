"""The installed command ends at once, with its status and with all that it said."""

import subprocess
import sys

import pytest

from medseg.cli.ending import end_with

SCRIPT = """
import atexit, sys, threading, time
from medseg.cli.ending import end_with

class Late:
    def __del__(self):
        print("taken apart")  # by Python, which is what is left out

def command():
    {body}

kept = Late()
atexit.register(lambda: print("at exit"))
end_with(command)
"""


def run(body: str) -> subprocess.CompletedProcess[str]:
    program = SCRIPT.format(body=body)
    return subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)


def test_what_was_said_and_the_status_arrive():
    done = run("print('x' * 100_000, flush=False); print('oh', file=sys.stderr); sys.exit(3)")
    assert done.returncode == 3
    assert done.stdout == "x" * 100_000 + "\nat exit\n"
    assert done.stderr == "oh\n"


def test_no_status_is_success():
    assert run("sys.exit()").returncode == 0


def test_threads_end_first():
    done = run("threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start(); sys.exit(4)")
    assert done.returncode == 4
    assert done.stdout.splitlines() == ["thread", "at exit", "taken apart"]


def test_a_sentence_as_status_is_pythons_to_print():
    done = run("sys.exit('no such thing')")
    assert (done.returncode, done.stderr) == (1, "no such thing\n")


def test_an_error_keeps_its_traceback():
    done = run("raise ValueError('odd')")
    assert done.returncode == 1
    assert "ValueError: odd" in done.stderr


def test_a_command_that_returns_goes_on_to_its_caller():
    called = []
    end_with(lambda: called.append(1))
    assert called == [1]
    with pytest.raises(SystemExit):
        end_with(lambda: sys.exit("words"))
