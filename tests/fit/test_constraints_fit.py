"""Fits of parameters under constraints: those of the model that has them built in, with its errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import X64

import jaxglobal as jg

T = np.linspace(0, 4, 40)
BOUNDS = [(0, 2), (0, 5), (0, 2), (0, 5)]
DIGITS = 1e-6 if X64 else 5e-3
SUM = [jg.Constraint(lambda p: p[0] + p[2], 1.0, 1.0), jg.Constraint(lambda p: p[1] - p[3], upper=0.0)]


def two(t, a, k, b, q):
    return a * jnp.exp(-k * t) + b * jnp.exp(-q * t)


def data():
    clean = 0.6 * np.exp(-0.5 * T) + 0.45 * np.exp(-3.0 * T)
    return clean + 0.01 * np.random.default_rng(0).standard_normal(len(T))


def fit(y=None, constraints=SUM, **options):
    y = data() if y is None else y
    return jg.curve_fit(two, T, y, BOUNDS, constraints=constraints, progress=False, **options)


@pytest.mark.long
def test_errors_are_those_of_the_model_that_has_the_constraint_built_in():
    """An equality takes a parameter away: popt, errors, degrees of freedom, bands; the other row does not bind."""

    def built_in(t, a, k, q):
        return a * jnp.exp(-k * t) + (1 - a) * jnp.exp(-q * t)

    under = fit()
    other = jg.curve_fit(built_in, T, data(), [(0, 1), (0, 1.5), (1.5, 5)], progress=False)
    assert under.success and under.result.violation < 1e-6 and abs(under.popt[0] + under.popt[2] - 1) < 1e-6
    assert under.result.active[0] and not under.result.active[1]
    which = np.array([0, 1, 3])
    assert np.allclose(under.popt[which], other.popt, rtol=DIGITS) and np.isclose(under.fun, other.fun, rtol=DIGITS)
    assert np.allclose(under.pcov[np.ix_(which, which)], other.pcov, rtol=10 * DIGITS, atol=1e-9)
    assert np.isclose(under.perr[2], under.perr[0], rtol=DIGITS) and under.dof == other.dof == len(T) - 3
    late = np.linspace(0, 6, 5)
    for x in (None, late):
        a, b = under.predict(x), other.predict(x)
        assert np.allclose(a.y, b.y, atol=DIGITS) and np.allclose(a.error, b.error, rtol=100 * DIGITS, atol=1e-6)
    assert "violation" in repr(under) and not under.undetermined
    free = fit(constraints=[])
    assert free.result.active is None and free.fun < under.fun and free.dof == len(T) - 4


@pytest.mark.long
def test_units_do_not_matter():
    """Data of 1e-12: the same fit, and multipliers in the units of the cost."""
    tiny = 1e-12
    rows = jg.Constraint(lambda p: p[0] + p[2], tiny, tiny)
    bounds = [(0, 2 * tiny), (0, 1.5), (0, 2 * tiny), (1.5, 5)]
    small = jg.curve_fit(two, T, tiny * data(), bounds, constraints=rows, progress=False)
    usual = jg.curve_fit(two, T, data(), BOUNDS, constraints=SUM, progress=False)
    assert small.success and np.allclose(small.popt / [tiny, 1, tiny, 1], usual.popt, rtol=10 * DIGITS)
    assert np.allclose(small.perr / [tiny, 1, tiny, 1], usual.perr, rtol=10 * DIGITS)
    assert np.isclose(small.result.multipliers / tiny, usual.result.multipliers[0], rtol=1e-4 if X64 else 0.1)


def test_pytree_nonlinear_row_and_robust_loss():
    """A row that binds on the parameters of a Box; a model that has it built in; a loss that is not squares."""
    box = jg.Box({"a": 0.1, "k": 0.1}, {"a": 3.0, "k": 3.0})

    def model(t, p):
        return p["a"] * jnp.exp(-p["k"] * t)

    y = 1.3 * np.exp(-0.8 * T) + 0.02 * np.random.default_rng(1).standard_normal(len(T))
    most = jg.Constraint(lambda p: p["a"] * p["k"], upper=0.9)
    options = dict(sigma=0.02, absolute_sigma=True, loss="soft_l1", progress=False)
    under = jg.curve_fit(model, T, y, box, constraints=most, **options)
    other = jg.curve_fit(lambda t, a: a * jnp.exp(-0.9 / a * t), T, y, [(0.4, 3)], **options)
    assert under.success and under.result.active and np.isclose(under.popt["a"], other.popt[0], rtol=DIGITS)
    assert np.isclose(under.perr[0], other.perr[0], rtol=100 * DIGITS)
    a = float(under.popt["a"])
    assert np.isclose(under.perr[1], under.perr[0] * 0.9 / a**2, rtol=100 * DIGITS)


def test_infeasible_and_refusals():
    none = fit(constraints=jg.Constraint(lambda p: p[0] + p[2], 5.0), max_levels=2)
    assert not none.success and "no feasible point" in none.message and np.isclose(none.result.violation, 1, atol=1e-3)
    under = fit()
    for call in (
        lambda: under.derivative(),
        lambda: under.bootstrap(10),
        lambda: jg.profile(under),
        lambda: jg.certify(under),
        lambda: fit(loss="lad"),
        lambda: jax.jit(lambda y: fit(y).fun)(data()),
        lambda: jg.curve_fit(jg.host(lambda t, a: a * t), T, T, [(0, 2)], constraints=SUM),
        lambda: jg.profile(under.result, lambda p: jnp.sum(p), BOUNDS),
    ):
        with pytest.raises(TypeError, match="constraints`.* yet|takes no `constraints`: "):
            call()
    with pytest.raises(ValueError, match="`ctol`"):
        fit(ctol=0.0)
    with pytest.raises(TypeError, match="further arguments"):
        fit(constraints=jg.Constraint(lambda p, t: p[0] + t))


def test_observers_hear_of_costs_in_the_users_units_and_limits_hold(tmp_path):
    heard, scale = [], 1e-9
    bounds = [(0, 2 * scale), (0, 5), (0, 2 * scale), (0, 5)]

    def fitted(**options):
        known = jg.Constraint(lambda p: (p[0] + p[2]) / scale, 1.0, 1.0)
        return jg.curve_fit(two, T, scale * data(), bounds, constraints=known, progress=False, **options)

    path = tmp_path / "fit.npz"
    whole = fitted(callback=heard.append, checkpoint=path)
    assert [level.fun for level in heard] == [level.fun for level in whole.result.levels]
    np.testing.assert_allclose(heard[-1].fun, whole.fun, rtol=1e-3)
    again = fitted(checkpoint=path)
    assert np.array_equal(again.popt, whole.popt) and again.fun == whole.fun and again.result.nfev == whole.result.nfev
    assert fitted(max_evals=50, max_levels=3).result.status is jg.Status.MAX_EVALS
