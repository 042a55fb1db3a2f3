"""Every test runs in float64 (unless JAXGLOBAL_X64=0), without implicit rank promotion, and warnings are errors.

Nearly all of their time is the compiler's, so they run programs that it hardly optimises, which takes half as long;
those by the clock, and all of them with JAXGLOBAL_OPTIMISED=1, run what users run, as the notebooks do.
"""

import gc
import importlib.metadata
import os
import sys

import jax
import pytest
from halves import pytest_configure  # noqa: F401

# Read by XLA before its first program.
if os.environ.get("JAXGLOBAL_OPTIMISED", "1" if "timing" in sys.argv else "0") == "0":
    flags = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
    if importlib.metadata.version("jaxlib") < "0.11":  # newer ones end at a flag that they do not know
        flags.append("--xla_cpu_use_fusion_emitters=false")
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])

# A trace makes many objects that stay, over which the collector would pass again and again.
gc.set_threshold(100_000, 20, 20)

jax.config.update("jax_enable_x64", os.environ.get("JAXGLOBAL_X64", "1") != "0")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64() -> bool:
    """Whether the suite runs in float64."""
    return bool(jax.config.jax_enable_x64)


@pytest.fixture(autouse=True, scope="module")
def nothing_left_behind():
    """What JAX keeps of a module's programs would halt the next ones whenever the garbage collector passes over it."""
    yield
    jax.clear_caches()
    gc.collect()
    gc.freeze()
