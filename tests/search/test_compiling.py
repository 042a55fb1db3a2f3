"""Programs that are compiled soon, and those that run fast: which a search takes, and that it is by a count alone."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_checkpoint import check_same, deadly, until_done  # noqa: F401  (a fixture)

import jaxglobal as jg
from jaxglobal.engine import compiling, devices, opening, stepped
from jaxglobal.engine.compiling import Tier

BOX = [(-4.0, 5.12)] * 2
AT = 600  # evaluations


def wavy(x):
    return jnp.sum(x**2 - 10 * jnp.cos(2 * jnp.pi * (x - 0.3)))


@pytest.fixture
def opened(monkeypatch):
    """Of which tier the streams are that a search has opened."""
    seen, real = [], opening.open_streams

    def noted(*args):
        seen.append(args[-1].tier)
        return real(*args)

    monkeypatch.setattr(opening, "open_streams", noted)
    monkeypatch.setattr(devices, "tiers", lambda cost, numbers, platform: (AT, 2 * AT))
    return seen


@pytest.mark.long
def test_a_search_changes_over_at_a_count_at_every_call(opened):
    first = jg.minimize(wavy, BOX, same=50, max_evals=4000, progress=False)
    again = jg.minimize(wavy, BOX, same=50, max_evals=4000, progress=False)
    assert opened == [Tier.STEPPED, Tier.SOON, Tier.FAST] * 2
    check_same(first, again)


def test_a_short_search_compiles_nothing_else(opened):
    result = jg.minimize(lambda x: jnp.sum((x - 1) ** 2), BOX, max_evals=AT // 2, progress=False)
    assert opened == [Tier.STEPPED] and result.fun < 1e-6


def test_wide_levels_run_fast_from_the_beginning(opened):
    jg.minimize(wavy, BOX, starts=jg.Grid(), max_levels=2, progress=False)
    assert opened == [Tier.FAST]


@pytest.mark.long
def test_a_checkpoint_goes_on_with_the_programs_that_it_was_written_with(opened, deadly, tmp_path):  # noqa: F811
    options = dict(same=50, max_evals=2500, progress=False)
    whole = jg.minimize(wavy, BOX, **options)
    deadly |= set(range(3, 400, 3))
    result, kills = until_done(lambda: jg.minimize(wavy, BOX, checkpoint=tmp_path / "search.npz", **options))
    assert kills > 2
    check_same(result, whole)


def test_the_lanes_know_no_function(x64):
    """What they do in a tick is compiled once, for all functions of so many variables."""
    jg.minimize(wavy, BOX, max_evals=200, progress=False)
    before = stepped.programs.cache_info().misses
    results = [jg.minimize(lambda x, k=k: wavy(x) + k, BOX, max_evals=200, progress=False) for k in range(3)]
    results.append(jg.minimize(wavy, BOX, args=(), x0=np.array([[0.3, 0.3]]), max_evals=200, progress=False))
    assert stepped.programs.cache_info().misses == before
    assert [result.nfev for result in results[:3]] == [results[0].nfev] * 3
    assert all(np.allclose(result.x, 0.3, atol=0.01) for result in results)


@pytest.mark.parametrize("local", [jg.BFGS(), jg.LBFGS()])
def test_a_tick_at_a_time_is_a_chunk(monkeypatch, local, x64):
    """The same searches, to rounding."""
    options = dict(local=local, max_levels=4, same=50, max_evals=600, progress=False)

    def shifted(x):
        return jnp.sum((x - 0.2) ** 2) + jnp.prod(jnp.cos(x))

    few = jg.minimize(shifted, [(-3.0, 4.0)] * 3, **options)
    monkeypatch.setattr(devices, "tiers", lambda cost, numbers, platform: (0, devices.SOON))
    chunks = jg.minimize(shifted, [(-3.0, 4.0)] * 3, **options)
    assert abs(few.fun - chunks.fun) < (1e-12 if x64 else 1e-5) and few.nstarts == chunks.nstarts
    assert np.allclose(few.x, chunks.x, atol=1e-6 if x64 else 1e-3)
    assert few.lane_efficiency == pytest.approx(chunks.lane_efficiency, abs=0.05)


def test_small_arrays_as_two():
    tree = (np.array([[1.5, 2.0]]), np.array([True, False]), np.array(7, np.int32), np.array(0.25))
    packing = stepped.Packing(tree)
    packed = packing.pack(tree, np)
    assert packing.sizes == (3, 3) and [part.tolist() for part in packed] == [[1.5, 2.0, 0.25], [1, 0, 7]]
    for there, back in zip(tree, packing.unpack(*packed), strict=True):
        assert there.dtype == back.dtype and np.array_equal(there, back)


def test_how_long_depends_on_the_cost():
    assert devices.soon(100, "cpu") == devices.SOON and devices.soon(100, "gpu") == 0
    assert devices.soon(4000, "cpu") == devices.SOON_COST / 4000 and devices.soon(1e5, "cpu") == 0
    assert devices.tiers(100, 30, "cpu") == (devices.STEPPED, devices.SOON) and devices.tiers(100, 30, "gpu") == (0, 0)
    assert devices.tiers(1e5, 30, "cpu") == (devices.SOON, devices.SOON)  # a tick at a time, and then to run fast
    assert devices.tiers(1e5, 1500, "cpu") == (2000, 2000) and devices.tiers(100, 1e4, "cpu") == (0, devices.SOON)


def test_an_option_that_the_compiler_does_not_know_is_left_out(monkeypatch):
    monkeypatch.setattr(compiling, "SOON", {"xla_no_such_option": 1, "xla_backend_optimization_level": 0})
    program = compiling.compiled(jax.jit(lambda x: 2 * x).lower(1.0), soon=True)
    assert program(2.0) == 4.0 and compiling.SOON == {"xla_backend_optimization_level": 0}
    monkeypatch.setattr(compiling, "SOON", {"xla_backend_optimization_level": "wrong"})
    with pytest.raises(jax.errors.JaxRuntimeError):
        compiling.compiled(jax.jit(lambda x: 2 * x).lower(1.0), soon=True)


LIKELIHOOD = """
import jax
import jax.numpy as jnp
import numpy as np
import jaxglobal as jg

t = np.linspace(0, 10, 20)


def loss(p):
    height, length, noise = jnp.exp(p)
    K = height**2 * jnp.exp(-0.5 * ((t[:, None] - t) / length) ** 2) + (noise**2 + 1e-3) * jnp.eye(len(t))
    L = jnp.linalg.cholesky(K)
    z = jax.scipy.linalg.solve_triangular(L, jnp.sin(t), lower=True)
    return 0.5 * z @ z + jnp.sum(jnp.log(jnp.diag(L)))


print(jg.minimize(loss, [(-3, 2), (-2, 3), (-4, 1)], progress=False).compile_time)
"""


@pytest.mark.slow
def test_a_second_process_starts_from_the_cache_of_jax_in_half_the_time(tmp_path):
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    cache |= {"XLA_FLAGS": ""}  # as users have it

    def seconds():
        call = [sys.executable, "-c", LIKELIHOOD]
        out = subprocess.run(call, capture_output=True, text=True, env=os.environ | cache, timeout=300)
        assert out.returncode == 0, out.stderr
        return float(out.stdout)

    first = seconds()
    assert any(tmp_path.iterdir()) and seconds() <= first / 2
