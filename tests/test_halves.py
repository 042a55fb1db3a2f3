"""Without an argument two processes run the tests, each test once; one that fails in either fails the command."""

import os
import pathlib
import subprocess
import sys
import time

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


def begin(folder, processes, fails, *args, before=(), **more):
    (folder / "begun").mkdir()
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name in "abcd":
        module = f"PROCESSES, FAILS = {processes}, {fails!r}\n" + MODULE
        (folder / f"test_{name}.py").write_text(module)
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"} | more
    call = [*before, sys.executable, "-m", "pytest", *args]
    return subprocess.Popen(call, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)


def run(folder, processes, fails, *args, **options):
    begun = begin(folder, processes, fails, *args, **options)
    said, _ = begun.communicate(timeout=300)
    noted = [path.name.rsplit("-", 1) for path in (folder / "begun").iterdir()]
    tests, by = zip(*noted, strict=True)
    assert len(tests) == len(set(tests)) == 8 and len(set(by)) == processes
    assert ("the other half" in said) == (processes == 2)
    return begun.returncode, said


@pytest.mark.parametrize("fails", ["test_a", "test_d"])  # of the first process, and of the second
def test_one_that_fails_in_either_half_fails_the_command(tmp_path, fails):
    code, said = run(tmp_path, 2, fails)
    assert code == 1 and f"FAILED {fails}.py::test_something[0]" in said
    assert (tmp_path / ".pytest_cache" / "v" / "cache" / "lastfailed").exists() == (fails == "test_a")


def test_each_module_is_of_one_process(tmp_path):
    assert run(tmp_path, 2, None)[0] == 0


def test_with_an_argument_there_is_one_process(tmp_path):
    assert run(tmp_path, 1, None, "-q")[0] == 0


def test_with_options_of_the_environment_there_is_one_process(tmp_path):
    assert run(tmp_path, 1, None, PYTEST_ADDOPTS="-q")[0] == 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are not bound to cores")
def test_on_a_single_core_there_is_one_process(tmp_path):
    one = min(os.sched_getaffinity(0))
    bound = f"import os, sys; os.sched_setaffinity(0, [{one}]); os.execv(sys.argv[1], sys.argv[1:])"
    assert run(tmp_path, 1, None, before=[sys.executable, "-c", bound])[0] == 0


@pytest.mark.skipif(os.name != "posix", reason="there is no parent that is gone")
def test_the_second_process_ends_when_the_first_is_gone(tmp_path, tmp_path_factory):
    """Both wait in their first test, until it is gone and a third seems to have begun."""
    notes = tmp_path / "begun"
    with begin(tmp_path, 3, None, TMPDIR=str(tmp_path_factory.mktemp("taken"))) as first:
        try:
            until(lambda: len(list(notes.iterdir())) == 2)
        finally:
            first.kill()
    (second,) = {path.name.rsplit("-", 1)[1] for path in notes.iterdir()} - {str(first.pid)}
    (notes / "test_z-0-0").touch()
    until(lambda: not running(second))
    assert len(list(notes.iterdir())) == 3


def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def running(pid):
    """Whether the process runs; one that has ended may wait for somebody to ask for its status."""
    status = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True).stdout.strip()
    return bool(status) and not status.startswith("Z")
