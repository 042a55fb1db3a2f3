"""Searches with batched linear algebra end, on all threads, with the right answer: what runs is in tests/hangs.py.

With JAX 0.10.2 a batched factorisation that two threads call at once on a CPU can wait for ever. So each search has a
process of its own and a limit on time, after which it has failed.
"""

import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "hangs.py"
SECONDS = 300


def run(name: str, x64: bool) -> None:
    """The program of this name comes to its end, and what it found is right."""
    environment = os.environ | {"JAXGLOBAL_X64": str(int(x64))}
    out = subprocess.run(
        [sys.executable, str(SCRIPT), name], capture_output=True, text=True, env=environment, timeout=SECONDS
    )
    assert out.returncode == 0 and out.stdout.endswith("checked\n"), out.stderr


@pytest.mark.long
@pytest.mark.parametrize("name", ["one", "spectrum", "fits"])
def test_a_search_ends(name, x64):
    run(name, x64)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", ["many", "argmin", "threads", "gradients"])
def test_a_long_search_ends(name, precision):
    run(name, precision == "float64")
