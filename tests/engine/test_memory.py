"""Programs are let go of: a process that searches one function after another does not grow without end."""

import json
import subprocess
import sys

import pytest

# Each function is a program of its own. Fewer are kept than by default, as compiling three hundred takes ten minutes.
FUNCTIONS = """
import json, pathlib, sys
import jax
import jax.numpy as jnp
import numpy as np
import jaxglobal as jg
from jaxglobal.problem import programs

jax.config.update("jax_enable_x64", True)
programs.KEPT = 16


def taken():
    # Lines of the map of memory, of which Linux allows 65,530, and resident kilobytes.
    lines = len(pathlib.Path("/proc/self/maps").read_text().splitlines())
    return lines, int(pathlib.Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])


def search(fun):
    result = jg.minimize(fun, [(-1, 1)] * 2, lanes=4, max_levels=2, progress=False)
    np.testing.assert_allclose(result.x, 0.1, atol=1e-5)


kept, told = [], []
for k in range(int(sys.argv[1])):
    kept.append(lambda x, k=k: jnp.sum((x - 0.1) ** 2) * (1.0 + k))
    search(kept[-1])
    told.append(taken())
search(kept[0])  # whose programs may be gone, and are made anew
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the map of memory in /proc")
def test_functions_that_stay_alive_take_no_more_memory_than_half_of_them():
    call = [sys.executable, "-W", "error", "-c", FUNCTIONS, "80"]
    out = subprocess.run(call, capture_output=True, text=True, timeout=500)
    assert out.returncode == 0, out.stderr
    told = json.loads(out.stdout)
    for half, whole in zip(told[39], told[79], strict=True):
        assert whole <= 1.1 * half, (told[0], told[39], told[79])
