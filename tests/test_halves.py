"""Without an argument two processes run the tests, each test once; one that fails in either fails the command."""

import os
import pathlib
import subprocess
import sys

import pytest

CONFTEST = f"""
import sys
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
from halves import pytest_configure
"""
# Each test notes its process, and waits until all have begun: so that none takes all modules. The second is
# at work still where the first has failed.
MODULE = """
import os, pathlib, time
import pytest
BEGUN = pathlib.Path(__file__).parent / "begun"

@pytest.mark.parametrize("one", range(2))
def test_something(one):
    time.sleep(3 if (__name__, one, FAILS) == ("test_d", 1, "test_a") else 0)
    (BEGUN / f"{__name__}-{one}-{os.getpid()}").touch(exist_ok=False)
    while len({path.name.split("-")[2] for path in BEGUN.iterdir()}) < PROCESSES:
        time.sleep(0.01)
    assert __name__ != FAILS
"""


def run(folder, processes, fails, *args):
    (folder / "begun").mkdir()
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name in "abcd":
        module = f"PROCESSES, FAILS = {processes}, {fails!r}\n" + MODULE
        (folder / f"test_{name}.py").write_text(module)
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    call = [sys.executable, "-m", "pytest", *args]
    done = subprocess.run(call, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    noted = [path.name.rsplit("-", 1) for path in (folder / "begun").iterdir()]
    tests, by = zip(*noted, strict=True)
    assert len(tests) == len(set(tests)) == 8 and len(set(by)) == processes
    return done


@pytest.mark.parametrize("fails", ["test_a", "test_d"])  # of the first process, and of the second
def test_one_that_fails_in_either_half_fails_the_command(tmp_path, fails):
    done = run(tmp_path, 2, fails)
    assert done.returncode == 1 and f"FAILED {fails}.py::test_something[0]" in done.stdout


def test_each_module_is_of_one_process(tmp_path):
    assert run(tmp_path, 2, None).returncode == 0


def test_with_an_argument_there_is_one_process(tmp_path):
    assert run(tmp_path, 1, None, "-q").returncode == 0
