"""Intervals and bands of fits hold what they say: simulated data are inside as often as the level tells.

In least squares of a model that is nearly linear within its errors; with errors that differ, known or not.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, t

import jaxglobal as jg
from jaxglobal.fit import covariance

T = np.linspace(0, 4, 12)
UNEVEN = np.linspace(0.5, 2, 12)
TRUE = np.array([2.5, 0.4])
BOX = [(0, 10), (0, 2)]


def line(x, a, b):
    return a + b * x


def decay(x, a, k):
    return a * jnp.exp(-k * x)


MODELS = pytest.mark.parametrize("model", [line, decay])
ERRORS = pytest.mark.parametrize(
    "sigma, absolute", [(None, False), (UNEVEN, False), (UNEVEN, True)], ids=["none", "sigma", "absolute"]
)


def simulated(model, sigma, absolute, count, seed):
    """Data with errors in proportion to sigma; of sigma itself if it is absolute."""
    size = 0.02 * (np.ones(len(T)) if sigma is None else sigma)
    y = np.asarray(model(T, *TRUE)) + size * np.random.default_rng(seed).standard_normal((count, len(T)))
    given = None if sigma is None else size if absolute else 7 * sigma
    return y, size, given


@MODELS
@ERRORS
def test_intervals_of_many(model, sigma, absolute, x64):
    y, _, given = simulated(model, sigma, absolute, 10_000, 1)
    fits = jg.curve_fit_many(model, T, y, BOX, given, absolute, progress=False)
    z = np.abs(fits.popt - TRUE) / fits.perr
    inside = np.mean(z < (norm.ppf(0.975) if absolute else t.ppf(0.975, len(T) - 2)), axis=0)
    assert np.all((inside > 0.94) & (inside < 0.96)), inside


@pytest.mark.long
@MODELS
@ERRORS
def test_bands(model, sigma, absolute):
    """Of the model's mean and of new observations, at the data and elsewhere, for the same fits one by one."""
    count, inside = 60, []
    rng, at = np.random.default_rng(3), np.array([0.3, 1.7, 3.9])
    y, size, given = simulated(model, sigma, absolute, count, 2)
    for row in y:
        fit = jg.curve_fit(model, T, row, BOX, given, absolute, max_levels=1, progress=False)
        new = np.asarray(model(T, *TRUE)) + size * rng.standard_normal((400, len(T)))
        mean, band = fit.predict(), fit.predict(new=True)
        assert np.all(band.error > mean.error)
        inside.append(np.mean((new > band.lower) & (new < band.upper)))
        there, expected = fit.predict(at, new=True), np.interp(at, T, size)
        np.testing.assert_allclose(there.upper - there.lower, 2 * (there.y - there.lower), rtol=1e-4)
        assert np.all(there.error > 0.4 * expected)
        own = fit.predict(at, new=True, sigma=1000.0)
        assert np.all(own.error > 1000 * (1 if absolute else 1e-4)) and np.all(own.error > there.error)
    assert 0.92 < np.mean(inside) < 0.97, np.mean(inside)


@pytest.mark.slow
@MODELS
@ERRORS
def test_bands_of_ten_thousand(model, sigma, absolute, x64):
    """The formulas of the bands, for the fits of many, whose Jacobians are looked at here."""
    y, size, given = simulated(model, sigma, absolute, 10_000, 4)
    rng = np.random.default_rng(5)
    fits = jg.curve_fit_many(model, T, y, BOX, given, absolute, progress=False)
    fit = jg.curve_fit(model, T, y[0], BOX, given, absolute, progress=False)
    one = fit.predict(new=True)
    a, b = fits.popt.T
    ones = np.ones_like(T)
    if model is line:
        J = np.stack([np.broadcast_to(ones, (len(y), len(T))), np.broadcast_to(T, (len(y), len(T)))], axis=2)
    else:
        J = np.stack([np.exp(-b[:, None] * T), -a[:, None] * T * np.exp(-b[:, None] * T)], axis=2)
    variance = np.einsum("pij,pjk,pik->pi", J, fits.pcov, J)
    w = ones if sigma is None else given
    scale = 1.0 if absolute else fits.fun / (len(T) - 2)
    error = np.sqrt(variance + (scale * np.ones(len(y)))[:, None] * w**2)
    np.testing.assert_allclose(error[0], one.error, rtol=1e-4 if x64 else 1e-2)
    reach = norm.ppf(0.975) if absolute else t.ppf(0.975, len(T) - 2)
    mean = np.asarray(line(T, a[:, None], b[:, None]) if model is line else a[:, None] * np.exp(-b[:, None] * T))
    true = np.asarray(model(T, *TRUE))
    new = true + size * rng.standard_normal(y.shape)
    inside = np.mean(np.abs(new - mean) < reach * error, axis=0)
    assert np.all((inside > 0.94) & (inside < 0.96)), inside
    of_mean = np.mean(np.abs(true - mean) < reach * np.sqrt(variance), axis=0)
    assert np.all((of_mean > 0.94) & (of_mean < 0.96)), of_mean
    np.testing.assert_allclose(np.sqrt(variance[0]), fit.predict().error, rtol=1e-4 if x64 else 1e-2)


@pytest.mark.long
def test_bands_of_a_robust_loss_hold_what_the_residuals_do():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 4, 200)
    y = 1 + 2 * x + 0.05 * rng.laplace(size=200)
    for loss in ("soft_l1", "huber", "cauchy", "lad"):
        fit = jg.curve_fit(line, x, y, [(-9, 9)] * 2, loss=loss, f_scale=0.05 if loss != "lad" else 1.0, progress=False)
        band = fit.predict(new=True)
        new = 1 + 2 * x + 0.05 * rng.laplace(size=(2000, 200))
        assert 0.9 < np.mean((new > band.lower) & (new < band.upper)) < 0.985


def test_errors_of_new_observations_are_asked_for_where_they_are_not_known():
    x = np.stack([T, T**2], axis=1)
    fit = jg.curve_fit(
        lambda x, a, b: a * x[:, 0] + b * x[:, 1], x, 2 * T + T**2, [(-9, 9)] * 2, UNEVEN, progress=False
    )
    assert fit.predict(x[:3]).y.shape == (3,)
    with pytest.raises(ValueError, match="`sigma` must be given for new observations"):
        fit.predict(x[:3], new=True)
    assert fit.predict(x[:3], new=True, sigma=[0.1, 0.2, 0.3]).y.shape == (3,)
    with pytest.raises(ValueError, match="`sigma` must be a positive number, or 3 of them"):
        fit.predict(x[:3], new=True, sigma=[0.1, 0.2])


@pytest.mark.long
def test_what_rounding_hides_is_not_determined():
    """A decay of height 1e-14 on a constant: its rate changes the model by rounding errors in the whole of its box."""

    def on_constant(x, a, k, c):
        return a * jnp.exp(-k * x) + c

    y = np.stack([np.full(len(T), 3.0), np.full(len(T), 0.1), np.asarray(on_constant(T, 2.0, 0.4, 3.0))])
    box = [(-10, 10), (0, 2), (-10, 10)]
    fits = jg.curve_fit_many(on_constant, T, y, box, progress=False)
    assert np.isinf(fits.perr[:, 1]).tolist() == [True, True, False]
    for row, determined in zip(y, (False, False, True), strict=True):
        fit = jg.curve_fit(on_constant, T, row, box, progress=False)
        assert ("k" in fit.undetermined) != determined and np.isinf(fit.perr[1]) != determined
        pcov = jax.jit(lambda row: jg.curve_fit(on_constant, T, row, box).pcov)(row)
        assert np.isinf(pcov[1, 1]) != determined


@pytest.mark.long
def test_a_parameter_that_its_box_pins_hides_no_other(x64):
    """The amplitude can change the model by less than the rounding of the data: the others are as if it were fixed."""

    def on_constant(x, a, k, c):
        return a * jnp.exp(-k * x) + c

    x, offset, narrow = np.linspace(0, 1, 40), *((1e6, 1e-10) if x64 else (1e3, 1e-5))
    y = offset + 2 * np.exp(-3 * x) + 0.05 * np.random.default_rng(0).standard_normal(40)

    def errors(d):
        box = [(2 - d, 2 + d), (0, 10), (offset - 10, offset + 10)]
        traced = jax.jit(lambda y: jg.curve_fit(on_constant, x, y, box).pcov)(y)
        fits = jg.curve_fit_many(on_constant, x, y[None], box, progress=False)
        return jg.curve_fit(on_constant, x, y, box, progress=False).perr, fits.perr[0], np.sqrt(np.diag(traced))

    for pinned, fixed in zip(errors(narrow), errors(0.0), strict=True):
        assert np.isinf(pinned[0]) and fixed[0] == 0
        np.testing.assert_allclose(pinned[1:], fixed[1:], rtol=0.15)


@pytest.mark.long
def test_the_covariance_beside_a_column_of_zeros_is_differentiable():
    """The model does not depend on b: the variance of a is that of the mean, s^2 / N."""

    def variance(scale):
        return jg.curve_fit(lambda x, a, b: a + 0 * b * x, T, scale * jnp.sin(T), [(-9, 9)] * 2).pcov

    pcov = jax.jit(variance)(1.0)
    assert np.isinf(pcov[1, 1])
    expected = np.var(np.sin(T), ddof=1) / len(T)
    slope = jax.jit(jax.grad(lambda scale: variance(scale)[0, 0]))(1.0)
    np.testing.assert_allclose(pcov[0, 0], expected * (len(T) - 1) / (len(T) - 2), rtol=1e-3)
    np.testing.assert_allclose(slope, 2 * pcov[0, 0], rtol=1e-3)


@pytest.mark.long
def test_a_fit_without_a_finite_cost_is_nan():
    """Inside jit, alone and of many."""

    def undefined(x, a, k):
        return jnp.where(a > -1, jnp.nan, a * jnp.exp(-k * x))

    def traced(row):
        fit = jg.curve_fit(undefined, T, row, BOX)
        return fit.popt, fit.fun, fit.pcov

    popt, fun, pcov = jax.jit(traced)(T)
    assert np.all(np.isnan(popt)) and np.isnan(fun) and np.all(np.isinf(pcov))
    assert np.all(np.isnan(jg.curve_fit(undefined, T, T, BOX, progress=False).popt))
    fits = jg.curve_fit_many(undefined, T, T[None], BOX, progress=False)
    assert np.all(np.isnan(fits.popt)) and np.all(np.isnan(fits.fun)) and not fits.success[0]


def test_directions():
    """Of columns of which the third is the sum of the others, only these three are not determined."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20, 4))
    A[:, 2] = A[:, 0] + A[:, 1]
    root, null = covariance.directions(A, 1e-12)
    assert root.shape == (4, 3) and null.shape == (4, 1) and abs(null[3, 0]) < 1e-12
    np.testing.assert_allclose(root @ root.T, np.linalg.pinv(A.T @ A, rcond=1e-10), atol=1e-10)
    free = np.ones(4, bool)
    pcov = covariance.covariances(np.linalg.qr(A)[1][None], np.ones(1), free, 1e-12, np.ones((1, 4)), np.zeros(1))[0]
    assert np.isinf(np.diag(pcov)).tolist() == [True, True, True, False]
    np.testing.assert_allclose(pcov[3, 3], (root @ root.T)[3, 3])
