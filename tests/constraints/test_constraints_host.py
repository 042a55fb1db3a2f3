"""A simulator that returns its value and its constraints together: the minimum, honestly, and no point called twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import LinearConstraint

import jaxglobal as jg

BOX = [(-2.0, 2.0)] * 2
NONE = np.inf


def rows(x):
    return np.array([x[0] + x[1], x @ x])


def search(lower, upper, fun=None, host=None, **options):
    def simulate(x):
        return float(np.sum((x - 0.3) ** 2)), rows(x)

    simulator = jg.host(fun or simulate, **(host or {}))
    return jg.minimize(simulator, BOX, constraints=jg.Constraint(None, lower, upper), progress=False, **options)


CASES = {
    # name: (lower, upper, minimum, multipliers)
    "upper": ([-NONE, -NONE], [0.0, NONE], 0.18, [0.6, 0]),
    "equality": ([1.0, -NONE], [1.0, NONE], 0.08, [-0.4, 0]),
    "sphere": ([-NONE, 2.0], [NONE, 2.0], 0.98, [0, -0.7]),
    "inactive": ([-3.0, -NONE], [3.0, 9.0], 0.0, [0, 0]),
    "both": ([0.1, 0.3], [0.1, 0.3], 0.42, [0.6, -1.0]),
}


@pytest.mark.parametrize("name", CASES)
def test_minimum_and_multipliers(name):
    lower, upper, value, multipliers = CASES[name]
    result = search(lower, upper, same=2)
    assert result.success and abs(result.fun - value) < 1e-7 and result.violation < 1e-8, result
    assert np.allclose(result.multipliers, multipliers, atol=1e-5)
    assert result.active.tolist() == [price != 0 for price in multipliers]
    assert np.allclose(result.jac, 2 * (result.x - 0.3), atol=1e-6)


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_slopes_that_are_given(vectorized, together):
    """By a function of their own, or with the values; a point is one call, or two."""

    def simulate(x):
        x = np.asarray(x)
        return np.sum((x - 0.3) ** 2, axis=-1), np.stack([x[..., 0] + x[..., 1], np.sum(x * x, axis=-1)], axis=-1)

    def slopes(x):
        return 2 * (x - 0.3), np.stack([np.ones_like(x), 2 * x], axis=-2)

    fun, jac = (lambda x: (simulate(x), slopes(x)), True) if together else (simulate, slopes)
    result = search([0.1, 0.3], [0.1, 0.3], fun, dict(jac=jac, vectorized=vectorized), max_levels=2)
    usual = search([0.1, 0.3], [0.1, 0.3], max_levels=2)
    assert abs(result.fun - 0.42) < 1e-12 and result.violation < 1e-12
    assert np.allclose(result.multipliers, [0.6, -1.0], atol=1e-10)
    assert vectorized or result.calls.made < 0.7 * usual.calls.made


def test_searches_end_with_their_last_digits():
    """From a start each, by few points, whose slopes tell the curvature; where a slope at a bound is endless, too."""
    disc = jg.host(lambda x: (float(x[0] + x[1]), x @ x))
    result = jg.minimize(disc, BOX, constraints=jg.Constraint(None, upper=1.0), progress=False, max_levels=1)
    assert abs(result.fun + 2**0.5) < 1e-9 and result.violation < 1e-9 and result.calls.made < 5 * 60
    told = jg.Search([(0, 1), (-1, 1)], constraints=jg.Constraint(None, upper=0.5), max_levels=2)
    while (x := told.ask()) is not None:
        with np.errstate(divide="ignore"):
            steep = np.array([0.3 * x[0] ** -0.7, 1.0])
        told.tell(-x[1], np.array([0.0, -1.0]), constraints=x[0] ** 0.3 + x[1], jacobian=steep)
    assert abs(told.result().fun + 0.5) < 1e-12 and told.result().violation < 1e-12


def test_no_point_is_called_twice():
    """Value and rows of all points come from calls of their own, those of the differences too, and of the answer."""
    called = []

    def simulate(x):
        called.append(x.tobytes())
        return float(np.sum((x - [0.31, 0.27]) ** 2)), rows(x)

    result = search([0.4, -NONE], [0.4, 3.0], simulate, starts=jg.Sobol(), max_levels=1)
    assert len(called) == len(set(called)) == result.calls.made
    assert result.violation < 1e-8 and np.isclose(result.x[0] - result.x[1], 0.04, atol=1e-6)


def test_vectorized_and_pools():
    def simulate(x):
        return np.sum((x - 0.3) ** 2, axis=1), np.stack([x[:, 0] + x[:, 1], np.sum(x**2, axis=1)], axis=1)

    result = search([1.0, -NONE], [1.0, NONE], simulate, dict(vectorized=True), max_levels=2)
    assert abs(result.fun - 0.08) < 1e-7 and result.violation < 1e-8
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        again = search([1.0, -NONE], [1.0, NONE], host=dict(executor=pool, workers=2), max_levels=2)
    assert np.allclose(again.x, result.x, atol=1e-7)


def test_infeasible_and_failing_calls():
    """No point keeps the rows: which one it was; calls that raise are bad trials, not feasible ones."""
    none = search([-NONE, 9.0], [NONE, NONE], max_levels=2)
    assert not none.success and not none.minima and "constraints[1]" in none.message
    assert np.isclose(none.violation, 1, atol=1e-4)

    def fails(x):
        if x[0] > 1.2:
            raise ValueError("beyond the model")
        return float(np.sum((x - 0.3) ** 2)), rows(x)

    result = search([1.0, -NONE], [1.0, NONE], fails, max_levels=2)
    assert result.calls.failed and abs(result.fun - 0.08) < 1e-7 and result.violation < 1e-8


def test_a_search_goes_on_from_its_checkpoint(tmp_path):
    """In the middle of a level, as often as it is stopped, and once it has ended."""
    plain, path = search([0.4, -NONE], [0.4, 3.0], max_levels=2), tmp_path / "search.npz"
    for _ in range(100):
        result = search([0.4, -NONE], [0.4, 3.0], max_levels=2, checkpoint=path, max_time=0.1)
        if result.status is jg.Status.MAX_LEVELS:
            break
    again = search([0.4, -NONE], [0.4, 3.0], max_levels=2, checkpoint=path)
    for other in (result, again):
        assert np.array_equal(other.x, plain.x) and (other.nfev, other.nstarts) == (plain.nfev, plain.nstarts)
        assert np.array_equal(other.multipliers, plain.multipliers) and other.violation == plain.violation


WRONG = {
    "no pair": (lambda x: 1.0, {}, TypeError, "must return a pair"),
    "shape": (lambda x: (1.0, np.zeros(3)), {}, TypeError, "of the shape"),
    "no slopes": (None, dict(host=dict(jac=lambda x: x)), TypeError, "must be a pair"),
    "Jacobian": (None, dict(host=dict(jac=lambda x: (x, x))), TypeError, "the Jacobian must be"),
    "open": (None, dict(open=True), ValueError, "`open` must be False"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    fun, options, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        search([0.0, 0.0], [1.0, 1.0], fun, **options)


def test_constraints_of_another_kind():
    host, jax_fun = jg.host(lambda x: (0.0, rows(x))), lambda x: x[0]
    with pytest.raises(TypeError, match="yet"):
        jg.minimize(host, BOX, constraints=LinearConstraint(np.ones((1, 2)), 0, 1))
    with pytest.raises(ValueError, match="must say what is told"):
        jg.minimize(host, BOX, constraints=jg.Constraint(None, np.zeros(0)))
    with pytest.raises(ValueError, match="greater than or equal"):
        jg.minimize(host, BOX, constraints=jg.Constraint(None, [0, 1], [1, 0]))
    with pytest.raises(TypeError, match="but for a host function"):
        jg.minimize(jax_fun, BOX, constraints=jg.Constraint(None, 0.0))


@pytest.mark.long
@pytest.mark.parametrize("host", [True, False])
def test_a_row_that_is_minus_infinity_is_a_bad_point(host):
    """As log(0) is: no warning, and the minimum."""

    def both(x):
        return jnp.sum((x - 1) ** 2), jnp.log(x[:1])

    if host:
        compiled = jax.jit(both)
        fun, row = jg.host(lambda x: tuple(np.asarray(part) for part in compiled(x))), None
    else:
        fun, row = (lambda x: both(x)[0]), lambda x: both(x)[1]
    rows = jg.Constraint(row, [-np.inf], [-1.0])
    result = jg.minimize(fun, [(-3, 3)] * 2, constraints=rows, max_evals=3000, progress=False)
    np.testing.assert_allclose(result.x, [np.exp(-1), 1], atol=1e-4)
