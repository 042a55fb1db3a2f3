"""argmin under constraints: the minimum, its derivatives, and what it says, inside jit, vmap and grad."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from checks import X64

import jaxglobal as jg

TOLERANCE = 1e-8 if X64 else 1e-3
STEP = 1e-5
BOX = jnp.array([[-1.5, 2.0], [-1.5, 2.0], [-1.0, 0.6]])
PARAMETERS = 8


def fun(x, a, b):
    return jnp.sum((x - a) ** 2) + 0.3 * b * jnp.sum(jnp.cos(3 * (x + a)))


def rows(x, a, b):
    return jnp.stack([jnp.sum(x**2), x[0] + b * x[1], x[2] - x[1]])


def answer(theta):
    """The minimum as a function of eight numbers: args, a bound of the box, an equality's and two other bounds."""
    a, b, side, ball, equal, low = theta[:3], theta[3], theta[4], theta[5], theta[6], theta[7]
    infinite = jnp.asarray(jnp.inf, theta.dtype)
    lower, upper = jnp.stack([-infinite, equal, low]), jnp.stack([ball, equal, infinite])
    kept = jg.Constraint(rows, lower, upper)
    return jg.argmin(fun, BOX.at[2, 1].set(side), (a, b), 2, constraints=kept, lanes=64)


def problems(count):
    theta = np.random.default_rng(0).uniform(-1, 1, (count, PARAMETERS)) * [1.5, 1.5, 1.5, 0.3, 0.2, 0.3, 0.3, 0.5]
    return jnp.asarray(theta + [0, 0, 0, 1, 0.6, 1.0, 0.2, -0.5])


def told(found):
    return found.x, found.fun, found.multipliers


@pytest.mark.skipif(not X64, reason="differences need float64")
@pytest.mark.slow
def test_derivatives_are_those_of_the_search():
    """Of 20 random problems in args, box and constraint bounds, by vmap: forward, reverse, central differences."""
    count = 20
    theta = problems(count)
    steps = STEP * jnp.concatenate([jnp.eye(PARAMETERS), -jnp.eye(PARAMETERS)])
    every = jnp.concatenate([theta[:, None], theta[:, None] + steps[None]], axis=1).reshape(-1, PARAMETERS)
    found = jax.jit(jax.vmap(answer))(every)
    assert np.all(found.violation < 1e-9) and np.all(np.isfinite(found.fun))
    assert found.x.shape == (len(every), 3) and found.active.shape == (len(every), 3)
    reverse = jax.jit(jax.vmap(jax.jacrev(lambda theta: told(answer(theta)))))(theta)
    first = jax.tree.map(lambda part: part.reshape(count, 2 * PARAMETERS + 1, *part.shape[1:]), found)
    smooth = ~np.any(first.touching | first.singular | first.tied, axis=1)
    smooth &= np.all(first.active == first.active[:, :1], axis=(1, 2))
    assert np.sum(smooth) >= 15, first
    assert np.sum(first.active[:, 0], axis=0)[1] == count and np.all(np.sum(first.active[:, 0], axis=0) > 0)
    for J, values, tolerance in zip(reverse, told(first), (1e-6, 1e-8, 1e-5), strict=True):
        above, below = values[:, 1 : PARAMETERS + 1], values[:, PARAMETERS + 1 :]
        differences = np.moveaxis(np.asarray(above - below) / (2 * STEP), 1, -1)
        size = 1 + np.abs(differences)
        assert np.max(np.abs(J - differences)[smooth] / size[smooth]) < tolerance
    forward = jax.jacfwd(lambda theta: told(answer(theta)))(theta[0])
    assert all(np.allclose(a, b[0], rtol=1e-9, atol=1e-9) for a, b in zip(forward, reverse, strict=True))


def disc(x, a):
    return jnp.sum(x**2)


def squares(x, a):
    return jnp.sum((x - a) ** 2), {"twice": 2 * x}


SQUARE = [(-2.0, 2.0)] * 2


def nearest(a, lower, upper):
    """The point of a ring next to a."""
    return jg.argmin(squares, SQUARE, a, 2, constraints=[jg.Constraint(disc, lower, upper)], has_aux=True, lanes=16)


@pytest.mark.long
def test_is_that_of_minimize_and_says_what_is_infeasible():
    """Under jit, with traced bounds: a row at its upper bound, inside, at its lower one; and none that can be kept."""
    solve = jax.jit(nearest)
    a = jnp.array([0.9, 1.2])
    for lower, upper, x, multiplier in (
        (0.0, 1.0, [0.6, 0.8], 0.5),
        (0.0, 9.0, [0.9, 1.2], 0.0),
        (4.0, 9.0, [1.2, 1.6], -0.25),
        (1.0, 1.0, [0.6, 0.8], 0.5),
    ):
        found = solve(a, lower, upper)
        assert np.allclose(found.x, x, atol=TOLERANCE) and np.allclose(found.aux["twice"], 2 * found.x)
        assert np.isclose(found.multipliers[0], multiplier, atol=10 * TOLERANCE) and found.violation < TOLERANCE
        assert bool(found.active[0]) == (multiplier != 0) and not found.singular and not found.touching
        assert found.status == jg.LocalStatus.CONVERGED
    none = solve(a, 9.0, 10.0)
    assert np.isnan(none.fun) and none.status == jg.LocalStatus.INFEASIBLE
    assert np.allclose(np.abs(none.x), 2, atol=1e-4) and np.isclose(none.violation, 1, atol=1e-4)
    assert solve(jnp.nan * a, 0.0, 1.0).status == jg.LocalStatus.NONFINITE_VALUE  # of the function, not of the row
    upside_down = solve(a, 2.0, 1.0)
    assert np.isnan(upside_down.fun) and upside_down.status == jg.LocalStatus.INFEASIBLE


@pytest.mark.skipif(not X64, reason="in float32 the slope at the bound drowns the others")
def test_a_bound_where_a_slope_is_infinite():
    row = jg.Constraint(lambda x, power: x[0] ** power + x[1], upper=0.5)
    for power in (0.1, 0.3):
        found = jg.argmin(lambda x, _: -x[1], [(0.0, 1.0), (-1.0, 1.0)], power, levels=2, constraints=row)
        assert np.allclose(found.x, [0, 0.5], atol=TOLERANCE) and np.isclose(found.fun, -0.5, atol=TOLERANCE)
        assert np.isclose(found.multipliers, 1, atol=TOLERANCE) and found.active


@pytest.mark.long
@pytest.mark.skipif(not X64, reason="what touches is judged to eight digits")
def test_says_where_a_derivative_means_little():
    """The disc just touches the free minimum; two minima of equal value, where one row says the same as another."""
    assert nearest(jnp.array([0.6, 0.8]), 0.0, 1.0).touching
    twice = jg.Constraint(lambda x: jnp.stack([x[0] + x[1], 2 * x[0] + 2 * x[1]]), [1.0, 2.0], [1.0, 2.0])
    found = jg.argmin(lambda x: ((x[0] - x[1]) ** 2 - 1) ** 2, SQUARE, levels=2, constraints=twice, lanes=16)
    assert found.singular and found.tied and found.violation < 1e-9 and abs(found.fun) < 1e-9
    assert np.all(np.isfinite(found.multipliers))


def test_without_constraints_nothing_changes():
    plain = jg.argmin(lambda x: jnp.sum((x - 1) ** 2), SQUARE)
    empty = jg.argmin(lambda x: jnp.sum((x - 1) ** 2), SQUARE, constraints=jg.Constraint(lambda x: x[:0]))
    assert np.array_equal(plain.x, empty.x) and plain.nfev == empty.nfev
    assert plain.violation == 0 and plain.multipliers is None and plain.active is None


WRONG = {
    "open": (dict(open=True), ValueError, "`open` must be False"),
    "local": (dict(local=jg.Optax(optax.adam(0.1))), TypeError, "`local` must be a jaxglobal.BFGS or LBFGS"),
    "ctol": (dict(ctol=0.0), ValueError, "`ctol` must be above 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    options, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        jg.argmin(lambda x: jnp.sum(x), SQUARE, constraints=jg.Constraint(lambda x: jnp.sum(x), 0.0), **options)


def test_too_many_rows():
    many = jg.Constraint(lambda x: jnp.tile(x, 200), 0.0)
    with pytest.raises(ValueError, match="at most 256 together"):
        jg.argmin(lambda x: jnp.sum(x), SQUARE, constraints=many)


@pytest.mark.long
def test_equalities_that_leave_no_freedom(x64):
    """x is the one feasible point, whatever the objective says; its multipliers follow from the slope there."""
    held = np.array([1.25, 1.5])
    rows = jg.Constraint(lambda x: jnp.array([x[0] ** 2, x[1] ** 1.5]), held, held)
    best = jg.argmin(lambda x: 2 * x[0] + 3 * x[1], [(0.0, 3.0), (0.0, 3.0)], constraints=rows)
    x = np.array([1.25**0.5, 1.5 ** (2 / 3)])
    np.testing.assert_allclose(best.x, x, rtol=1e-12 if x64 else 1e-6)
    np.testing.assert_allclose(best.multipliers, [-1 / x[0], -2 / x[1] ** 0.5], rtol=1e-9 if x64 else 1e-3)
    assert jg.LocalStatus(int(best.status)) is jg.LocalStatus.CONVERGED and not best.singular and best.active.all()
