"""Fits by other losses than the sum of squares."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from checks import float64_only
from decays import BOX, T, data, decay

import jaxglobal as jg


def line(t, a, b):
    return a + b * t


def test_robust_errors_of_many_are_those_of_one(tol):
    options = {"loss": "huber", "f_scale": 0.02, "progress": False}
    one = jg.curve_fit(decay, T, data(), BOX, **options)
    many = jg.curve_fit_many(decay, T, data()[None], BOX, **options)
    np.testing.assert_allclose(many.pcov[0], one.pcov, rtol=tol, atol=tol * np.max(np.abs(one.pcov)))


def test_least_absolute_deviations_pass_through_as_many_points_as_parameters(x64):
    y = 0.5 + 1.5 * T + np.random.default_rng(1).standard_cauchy(len(T))
    fit = jg.curve_fit(line, T, y, [(-20, 20), (-20, 20)], loss="lad", progress=False)
    ones = np.ones((len(T), 1))
    A = np.hstack([ones, T[:, None]])
    eye = np.eye(len(T))
    solved = scipy.optimize.linprog(
        np.concatenate([np.zeros(2), np.ones(len(T))]),
        A_ub=np.block([[A, -eye], [-A, -eye]]), b_ub=np.concatenate([y, -y]),
        bounds=[(None, None)] * 2 + [(0, None)] * len(T),
    )  # fmt: skip
    assert np.sum(np.abs(fit.residuals)) <= solved.fun * (1 + (1e-3 if x64 else 1e-2))


@pytest.mark.parametrize("unit", [1.0, 1e-18, 1e18])
def test_least_absolute_deviations_do_not_depend_on_how_far_outliers_are(unit, x64):
    y = 1 + 2 * T + 0.05 * np.random.default_rng(2).standard_cauchy(len(T))
    popt, far = [], 1e9 if x64 else 1e3
    for y[7] in (10, far):
        fit = jg.curve_fit(line, T, y * unit, [(-10 * unit, 10 * unit)] * 2, loss="lad", progress=False)
        assert fit.success
        popt.append(fit.popt / unit)
    np.testing.assert_allclose(*popt, atol=1e-5 if x64 else 1e-3)


@functools.cache
def deviations(inside):
    """The least absolute deviations of a line: popt, cost and residuals by y, traced or of a host model."""

    def fit(y):
        model, levels = (line, None) if inside else (jg.host(line), 1)
        box = [(-20, 20)] * 2
        fit = jg.curve_fit(model, T, y, box, sigma=0.5, loss="lad", max_levels=levels, progress=False)
        return fit.popt, fit.fun, fit.residuals

    return jax.jit(fit) if inside else fit


@pytest.mark.long
@pytest.mark.parametrize("inside", [True, False], ids=["traced", "host"])
def test_cost_of_least_absolute_deviations_is_their_sum(inside, tol):
    y = 1 + 2 * T + np.random.default_rng(2).standard_cauchy(len(T))
    one = jg.curve_fit(line, T, y, [(-20, 20)] * 2, sigma=0.5, loss="lad", progress=False)
    _, fun, residuals = deviations(inside)(y)
    for cost, rest in ((one.fun, one.residuals), (fun, residuals)):
        np.testing.assert_allclose(cost, np.sum(np.abs(rest)) / 0.5, rtol=1e-2 * tol)
    np.testing.assert_allclose(fun, one.fun, rtol=1e-2 * tol)
    assert one.fun == one.fits[0].fun == one.result.minima[0].fun
    objective, _, args = one.objective()
    np.testing.assert_allclose(objective(jnp.asarray(one.popt), *args), one.fun, rtol=1e-5)
    np.testing.assert_allclose(one.result.levels[-1].fun, one.fun, rtol=1e-4)


@float64_only
@pytest.mark.parametrize("inside", [None, True, False], ids=["plain", "traced", "host"])
def test_least_absolute_deviations_are_exact_where_errors_are_small(inside):
    """The bend of the loss has to be narrow beside the residuals, not beside the data alone."""
    for y in (1 + 2 * T + np.where(np.arange(len(T)) % 8, 0, 3), np.where(np.arange(len(T)) == 7, 1e6, 1.0)):
        if inside is None:
            fit = jg.curve_fit(line, T, y, [(-20, 20)] * 2, loss="lad", progress=False)
            popt = fit.popt
        else:
            popt = deviations(inside)(y)[0]
        np.testing.assert_allclose(popt, [1, 0 if y[7] > 100 else 2], atol=1e-9)
