"""A test that hangs ends the run, with the place where each thread is, as pyproject.toml says."""

import pathlib
import subprocess
import sys

CONFIGURATION = pathlib.Path(__file__).parents[1] / "pyproject.toml"
# Two threads that wait for each other, outside the reach of Python's signals.
HANGING = """
import threading

def test_before():
    pass

def test_that_waits_for_ever():
    lock = threading.Lock()
    lock.acquire()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
"""


def test_a_hang_fails_and_does_not_wait(tmp_path):
    (tmp_path / "test_hanging.py").write_text(HANGING)
    call = [sys.executable, "-m", "pytest", "-c", str(CONFIGURATION), "--rootdir", str(tmp_path)]
    call += ["-p", "no:cacheprovider", "-o", "faulthandler_timeout=1", str(tmp_path)]
    out = subprocess.run(call, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert out.returncode == 1
    assert "Timeout (0:00:01)!" in out.stderr and "in test_that_waits_for_ever" in out.stderr


def test_every_test_has_a_limit(pytestconfig):
    assert 0 < float(pytestconfig.getini("faulthandler_timeout")) <= 600
    assert pytestconfig.getini("faulthandler_exit_on_timeout")
