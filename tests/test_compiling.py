"""Programs that are compiled soon, and those that run fast: which a search takes, and that it is by a count alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_checkpoint import check_same, deadly, until_done  # noqa: F401  (a fixture)

import jaxglobal as jg
from jaxglobal import compiling, devices, opening

BOX = [(-4.0, 5.12)] * 2
AT = 600  # evaluations


def wavy(x):
    return jnp.sum(x**2 - 10 * jnp.cos(2 * jnp.pi * (x - 0.3)))


@pytest.fixture
def opened(monkeypatch):
    """Which streams a search has opened: whether compiled soon, which it takes for the first evaluations only."""
    seen, real = [], opening.open_streams

    def noted(*args):
        seen.append(args[-1].soon)
        return real(*args)

    monkeypatch.setattr(opening, "open_streams", noted)
    monkeypatch.setattr(devices, "soon", lambda cost, platform: AT)
    return seen


def test_a_search_changes_over_at_a_count_at_every_call(opened):
    first = jg.minimize(wavy, BOX, same=50, max_evals=4000, progress=False)
    again = jg.minimize(wavy, BOX, same=50, max_evals=4000, progress=False)
    assert opened == [True, False] * 2
    check_same(first, again)
    before = np.cumsum([0] + [level.nfev for level in first.levels])
    assert np.any(before >= AT)


def test_a_short_search_compiles_nothing_else(opened):
    result = jg.minimize(lambda x: jnp.sum((x - 1) ** 2), BOX, max_evals=AT // 2, progress=False)
    assert opened == [True] and result.fun < 1e-6


def test_plain_levels_and_dear_functions_run_fast_from_the_beginning(opened):
    jg.minimize(wavy, BOX, starts=jg.Grid(), max_levels=2, progress=False)
    assert opened == [False]


def test_a_checkpoint_goes_on_with_the_programs_that_it_was_written_with(opened, deadly, tmp_path):  # noqa: F811
    options = dict(same=50, max_evals=2500, progress=False)
    whole = jg.minimize(wavy, BOX, **options)
    deadly |= set(range(3, 400, 3))
    result, kills = until_done(lambda: jg.minimize(wavy, BOX, checkpoint=tmp_path / "search.npz", **options))
    assert kills > 2
    check_same(result, whole)


def test_how_long_depends_on_the_cost():
    assert devices.soon(100, "cpu") == devices.SOON and devices.soon(100, "gpu") == 0
    assert devices.soon(4000, "cpu") == devices.SOON_COST / 4000 and devices.soon(1e5, "cpu") == 0


def test_an_option_that_the_compiler_does_not_know_is_left_out(monkeypatch):
    monkeypatch.setattr(compiling, "SOON", {"xla_no_such_option": 1, "xla_backend_optimization_level": 0})
    program = compiling.compiled(jax.jit(lambda x: 2 * x).lower(1.0), soon=True)
    assert program(2.0) == 4.0 and compiling.SOON == {"xla_backend_optimization_level": 0}
    monkeypatch.setattr(compiling, "SOON", {"xla_backend_optimization_level": "wrong"})
    with pytest.raises(jax.errors.JaxRuntimeError):
        compiling.compiled(jax.jit(lambda x: 2 * x).lower(1.0), soon=True)
