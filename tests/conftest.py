"""Every test runs in float64 (unless JAXGLOBAL_X64=0), without implicit rank promotion, and warnings are errors."""

import gc
import os

import jax
import pytest

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
