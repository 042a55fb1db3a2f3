"""Whole numbers under constraints: each entry point finds the best feasible assignment."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_lattice import BOX, pair

import jaxglobal as jg


def synthesis(x, a):
    """Two equalities leave one point to each assignment of the binaries. MINLPLib: ex1221."""
    return a * x[0] + 3 * x[1] + 1.5 * x[2] + 2 * x[3] - 0.5 * x[4]


BINARIES = dict(
    bounds=[(0, 10), (0, 10), (0, 1), (0, 1), (0, 1)],
    integrality=[False, False, True, True, True],
    constraints=[
        jg.Constraint(lambda x, a: jnp.stack([x[0] ** 2 + x[2] - 1.25, x[1] ** 1.5 + 1.5 * x[3] - 3]), 0.0, 0.0),
        jg.Constraint(
            lambda x, a: jnp.stack([x[0] + x[2] - 1.6, 1.333 * x[1] + x[3] - 3, x[4] - x[2] - x[3]]), upper=0.0
        ),
    ],
)


@pytest.mark.long
def test_under_constraints(x64, tmp_path):
    result = jg.minimize(synthesis, args=2.0, **BINARIES, progress=False)
    assert result.success and abs(result.fun - 7.66718007) < (1e-7 if x64 else 1e-4), result
    assert "each of the 8 assignments" in result.message and np.array_equal(result.x[2:], [0, 1, 1])
    assert all(np.all(np.asarray(m.x)[2:] == np.rint(np.asarray(m.x)[2:])) for m in result.minima)
    assert result.violation < (1e-9 if x64 else 1e-4)
    d = jg.derivative(result, synthesis, args=2.0, **BINARIES)
    np.testing.assert_allclose(d.fun[0], 1.25**0.5, atol=1e-4)
    assert not np.any(np.asarray(d.x_bounds.lower)[2:]) and not np.any(np.asarray(d.x[0])[2:])

    def stops(level):
        if level.index == 2:
            raise StopIteration

    kept = dict(max_evals=900, progress=False)
    jg.minimize(synthesis, args=2.0, **BINARIES, checkpoint=tmp_path / "kept", callback=stops, **kept)
    again = jg.minimize(synthesis, args=2.0, **BINARIES, checkpoint=tmp_path / "kept", **kept)
    whole = jg.minimize(synthesis, args=2.0, **BINARIES, **kept)
    assert again.nfev == whole.nfev and np.array_equal(again.x, whole.x)


def test_whole_numbers_alone_under_constraints():
    weights = jnp.array([20.0, 12, 11, 7, 4])
    least = jg.Constraint(lambda x: weights @ x, lower=40.0)  # MINLPLib: st_miqp1
    cost = lambda x: 50 * x @ x + jnp.array([42, 44, 45, 47, 47.5]) @ x  # noqa: E731
    result = jg.minimize(cost, [(0, 1)] * 5, integrality=True, constraints=least, progress=False)
    assert (
        result.fun == 281
        and result.success
        and result.message == "each of the 32 points of whole numbers was evaluated"
    )
    none = jg.Constraint(lambda x: jnp.stack([x[0] - x[1], x[0] + x[1]]), jnp.array([0.5, 2.0]), jnp.array([0.6, 2.0]))
    result = jg.minimize(lambda x: x[0], [(0, 3)] * 2, integrality=True, constraints=none, progress=False)
    assert not result.success and result.status.name == "INFEASIBLE" and 0 < result.violation <= 0.6


def below(x, a):
    """Two rows: y stays below a line that k moves; k alone, below 6."""
    return jnp.stack([x[1] + 0.5 * x[0], x[0] + 0 * a])


ROWS = jg.Constraint(below, upper=jnp.array([1.5, 5.0]))
GIVEN = (-2.0, 0.7, 3.1)


def by_enumeration(a):
    """k, y and the value of the best assignment of `pair` under `ROWS`, each solved by hand."""
    y = {k: np.clip(min(a * k / 4, 1.5 - 0.5 * k), -3, 9) for k in range(-4, 6)}
    return min(((y[k] - a * k / 4) ** 2 + 0.1 * (k - a) ** 2 + 0.3 * np.cos(5 * k), k, y[k]) for k in y)


@pytest.mark.long
@pytest.mark.parametrize("starts", ["auto", jg.Grid()], ids=["learning", "grid"])
def test_many_problems_under_constraints(starts, x64):
    options = dict(constraints=ROWS, integrality=[True, False], starts=starts, max_levels=5, progress=False)
    results = jg.minimize_many(pair, BOX, np.array(GIVEN), **options)
    for i, a in enumerate(GIVEN):
        f, k, y = by_enumeration(a)
        assert results.x[i, 0] == k and abs(results.x[i, 1] - y) < (1e-6 if x64 else 1e-3), (a, results.x[i], k, y)
        assert abs(results.fun[i] - f) < (1e-8 if x64 else 1e-4)
    assert np.all(results.violation < (1e-8 if x64 else 1e-4))
    assert not x64 or not np.any(results.singular)  # float32 rounds x, and with it the slope
    assert not np.any(results.jac[:, 0])


@pytest.mark.long
def test_many_problems_of_whole_numbers_alone_under_constraints():
    weights = jnp.array([20.0, 12, 11, 7, 4])
    prices, bits = np.array([[42.0, 44, 45, 47, 47.5], [90, 44, 10, 47, 7]]), list(itertools.product((0, 1), repeat=5))
    best = [
        min(p @ x for x in bits if weights @ np.array(x) >= least) for p, least in zip(prices, (40, 23), strict=True)
    ]
    least = jg.Constraint(lambda x, p: weights @ x, lower=np.array([40.0, 23.0]))
    results = jg.minimize_many(
        lambda x, p: p @ x, [(0, 1)] * 5, prices, integrality=True, constraints=least, progress=False
    )
    assert np.allclose(results.fun, best) and np.all(results.success) and np.all(results.x == np.rint(results.x))
    none = jg.Constraint(lambda x, p: weights @ x, lower=np.array([40.0, 55.0]))
    results = jg.minimize_many(
        lambda x, p: p @ x, [(0, 1)] * 5, prices, integrality=True, constraints=none, max_levels=5, progress=False
    )
    assert results.success.tolist() == [True, False] and np.isclose(results.violation[1], 1)


@pytest.mark.long
def test_a_point_of_whole_numbers_alone_takes_one_evaluation():
    """A row that is off its bound by rounding counts as kept; what has no value at a feasible point is told as that."""
    box, a = [(0, 11)] * 3, np.array([2.2, 7.7])
    tenths = jg.Constraint(lambda x, *_: 0.1 * x[0] + 0.2 * x[1] + 0.7 * x[2], 2.3, 2.3)
    points = np.array([x for x in itertools.product(range(12), repeat=3) if x[0] + 2 * x[1] + 7 * x[2] == 23])
    best = [np.min(np.sum((points - value) ** 2, axis=1)) for value in a]
    options = dict(integrality=True, constraints=tenths, progress=False)
    results = jg.minimize_many(lambda x, a: jnp.sum((x - a) ** 2), box, a, **options)
    result = jg.minimize(lambda x: jnp.sum((x - 2.2) ** 2), box, **options)
    assert np.allclose([result.fun, *results.fun], [best[0], *best]) and result.success and np.all(results.success)
    assert max(result.nfev, *results.nfev) < 1.1 * 12**3 and not np.any(result.multipliers)
    few = jg.minimize_many(lambda x, a: jnp.sum((x - a) ** 2), box, a, max_evals=500, **options)
    assert np.all(few.nfev <= 501) and few.status.tolist() == [jg.Status.MAX_EVALS] * 2
    for starts in ("auto", jg.Grid()):
        none = dict(options, starts=starts, max_levels=3)
        nothing = jg.minimize_many(lambda x, a: jnp.nan * a * x[0], box, a, **none)
        alone = jg.minimize(lambda x: jnp.nan * x[0], box, **none)
        assert not np.any(nothing.success) and "no feasible point gave a finite value" in alone.message


@pytest.mark.long
def test_argmin_under_constraints_and_its_derivative(x64):
    def best(a):
        return jg.argmin(pair, BOX, a, levels=2, integrality=[True, False], constraints=ROWS)

    for a in GIVEN[1:]:
        answer, (f, k, y) = best(a), by_enumeration(a)
        assert answer.x[0] == k and abs(answer.x[1] - y) < (1e-6 if x64 else 1e-3) and not answer.singular
        assert abs(answer.fun - f) < (1e-8 if x64 else 1e-4) and answer.violation < 1e-4
        slope = k / 4 if y == a * k / 4 else 0
        np.testing.assert_allclose(jax.jacfwd(lambda a: best(a).x)(a), [0, slope], atol=1e-4)


@pytest.mark.long
def test_a_choice_under_constraints():
    sizes = jg.Choice([0.3, 0.7, 1.1, 2.0])
    row = jg.Constraint(lambda x: x[0] * x[1], lower=1.0)
    levels, bounds = [], [sizes, (0.0, 1.2)]

    def fun(x):
        return x[0] ** 2 + x[1]

    result = jg.minimize(fun, bounds, constraints=row, callback=levels.append, progress=False)
    moves = jg.derivative(result, fun, bounds, constraints=row).x_constraints
    np.testing.assert_allclose(np.ravel(moves.lower), [0, 1 / 1.1], atol=1e-4)
    assert result.success and result.x[0] == np.asarray(1.1, result.x.dtype) and result.x[1] * result.x[0] >= 1 - 1e-6
    np.testing.assert_allclose(result.fun, 1.21 + 1 / 1.1, atol=1e-5)
    assert {float(level.x[0]) for level in levels} <= {float(np.asarray(v, result.x.dtype)) for v in sizes.values}
