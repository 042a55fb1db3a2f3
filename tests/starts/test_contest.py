"""More searches of the assignments of whole numbers that may yet take the lead."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.starts import contest


def wrinkled(x, table):
    """Many minima for each whole number, elsewhere for each."""
    i = x[0].astype(int)
    z = x[1:] - table["middle"][i]
    return table["base"][i] + jnp.sum(2 * z**2 + 0.4 * (1 - jnp.cos(2 * jnp.pi * table["waves"][i] * z)))


@pytest.mark.parametrize("seed", [0, 5, 11])
def test_assignments_with_many_minima_of_their_own(seed):
    """One search of each assignment ended at another assignment, with success."""
    rng = np.random.default_rng([seed, 30, 2])
    middle, base, waves = rng.uniform(0.1, 0.9, (30, 2)), rng.uniform(0, 0.5, 30), rng.uniform(4, 8, 30)
    table = {"middle": jnp.asarray(middle), "base": jnp.asarray(base), "waves": jnp.asarray(waves)}
    result = jg.minimize(
        wrinkled, [(0, 29), (0.0, 1.0), (0.0, 1.0)], (table,), integrality=[True, False, False], progress=False
    )
    assert result.success and result.x[0] == np.argmin(base)
    assert result.fun == pytest.approx(np.min(base), abs=1e-3)


def test_what_another_round_may_change():
    best = np.array([3.0, 1.0, 1.5, np.inf, 9.0])
    assert contest.expected(best, np.zeros(8)) == 0.0
    assert contest.expected(best, np.array([0.0, 0.0, 1.0, 0.0])) == pytest.approx(0.25)  # of 0.5, 2, 8 and infinity
    assert contest.expected(best, np.array([3.0, 0.0])) == pytest.approx(1.0)
    first = contest.among(best, np.zeros(0), 0, 100)
    assert len(first) == contest.FEWEST and set(first) == {0, 2, 3, 4}  # but for the best, some more than once
    assert contest.among(best, np.zeros(0), 0, 3).tolist() == [2, 0, 4]
    assert set(contest.among(best, np.array([1.0]), contest.ROUNDS, 100)) == {2}
    assert not len(contest.among(best, np.array([0.1]), contest.ROUNDS, 100))


def test_what_searches_have_gained():
    before, f = np.array([2.0, 2.0, np.inf, np.inf, 1e101, 2.0]), np.array([1.5, 2.5, 1.0, np.nan, 1e100, 2 - 1e-12])
    assert contest.gained(before, f, 1e-9, 1e100).tolist() == [0.5, 0.0, np.inf, 0.0, 0.0, 0.0]
