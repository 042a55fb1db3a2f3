"""Fits do not depend on the units of x, of y, or of the parameters."""

import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import X64, float64_only

import jaxglobal as jg
from jaxglobal.fit import units

T = np.linspace(0, 4, 40)
Y = 2.5 * np.exp(-1.3 * T) + 0.5 + 0.03 * np.sin(7 * T)
BOX = np.array([(0.0, 10.0), (0.0, 10.0), (-1.0, 2.0)])
UNITS = [(1e-18, 1.0), (1.0, 1e-18), (1e18, 1e18)]


def decay(t, a, k, c):
    return a * jnp.exp(-k * t) + c


def decay_numpy(t, a, k, c):
    return a * np.exp(-k * t) + c


def alone(t, y, box, **options):
    fit = jg.curve_fit(decay, t, y, box, **options, progress=False)
    assert fit.success and fit.fits[0].fun == fit.fun == fit.result.fun
    np.testing.assert_allclose(fit.result.levels[-1].fun, fit.fun, rtol=1e-4)
    return fit.popt, fit.perr, fit.fun, fit.residuals, fit.predict(t).error


def one_of_many(t, y, box, **options):
    fits = jg.curve_fit_many(decay, t, np.stack([y, 2 * y]), box, **options, progress=False)
    assert np.all(fits.success)
    return fits.popt[0], fits.perr[0], fits.fun[0]


def within_jit(t, y, box, **options):
    def fit(y):
        fit = jg.curve_fit(decay, t, y, box, **options, progress=False)
        return fit.popt, fit.perr, fit.fun, fit.residuals

    return jax.jit(fit)(y)


def of_host(t, y, box, **options):
    fit = jg.curve_fit(jg.host(decay_numpy), t, y, box, **options, max_levels=3, progress=False)
    return fit.popt, fit.perr, fit.fun, fit.residuals, fit.predict(t).error


def compare(fit, y, x, tol, **options):
    """The fit in units of y and of x is that in others, in its units.

    tol: of parameters in units of their errors, and of the rest relative to its size.
    """
    known = fit(T, Y, BOX, **options)
    scale = np.array([y, 1 / x, y])
    if "f_scale" in options or "sigma" in options:
        options = {name: value * y if name in ("f_scale", "sigma") else value for name, value in options.items()}
    cost = 1.0 if "sigma" in options else y if options.get("loss") == "lad" else y**2
    found = fit(T * x, Y * y, BOX * scale[:, None], **options)
    popt, perr, fun = (np.asarray(part, float) for part in found[:3])
    assert np.max(np.abs(popt / scale - known[0]) / known[1]) < tol
    np.testing.assert_allclose(perr / scale, known[1], rtol=10 * tol)
    np.testing.assert_allclose(fun / cost, known[2], rtol=10 * tol)
    for part, before in zip(found[3:], known[3:], strict=True):
        np.testing.assert_allclose(np.asarray(part, float) / y, before, atol=10 * tol * np.max(np.abs(before)))


TOL = 1e-5 if X64 else 5e-3


@pytest.mark.parametrize(("y", "x"), UNITS)
@pytest.mark.parametrize("fit", [alone, one_of_many])
def test_answers_do_not_depend_on_units(fit, y, x):
    compare(fit, y, x, TOL)


@pytest.mark.long
@pytest.mark.parametrize(("y", "x"), [(1e-18, 1e9), (1e18, 1e-9)] if X64 else [(1e-6, 1e9), (1e6, 1e-9)])
def test_traced_fits_do_not_depend_on_units(y, x):
    """A traced cost is in the precision of the fit, where squares of 1e-18 times the data may not fit."""
    compare(within_jit, y, x, TOL)


@pytest.mark.parametrize(("y", "x"), [(1e-18, 1e9), (1e18, 1e-9)])
def test_host_models_do_not_depend_on_units(y, x):
    compare(of_host, y, x, 1e-4 if X64 else TOL)


@float64_only
@pytest.mark.filterwarnings("ignore:float64 has no numbers")
@pytest.mark.parametrize("unit", [1e200, 1e-200])
def test_squares_that_float64_does_not_have_are_said_to_be_none(unit):
    """The parameters and what the data tell of the rate are as ever; a variance is NaN, not infinite, and not zero."""
    box, size = BOX * [[unit], [1], [unit]], np.array([unit, 1, unit])
    popt, perr, *_ = alone(T, Y, BOX)
    fit = jg.curve_fit(decay, T, Y * unit, box, progress=False)
    with pytest.warns(UserWarning, match="other units"):
        fits = jg.curve_fit_many(decay, T, np.stack([Y, 2 * Y]) * unit, box, progress=False)
    for found, error in ((fit.popt, fit.perr), (fits.popt[0], fits.perr[0])):
        np.testing.assert_allclose(found / size, popt, rtol=1e-6)
        assert np.isnan(error[[0, 2]]).all()
        np.testing.assert_allclose(error[1], perr[1], rtol=1e-6)


def test_a_covariance_far_below_its_variances_may_be_zero():
    own = units.Units(np.array([1e-150, 1e-130]), *np.ones(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pcov = own.covariance(np.array([[2.0, 1e-60], [1e-60, 3.0]]))
    np.testing.assert_allclose(pcov, [[2e-300, 0], [0, 3e-260]], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": 0.05, "absolute_sigma": True},
        {"sigma": 0.02 + 0.01 * T},
        {"sigma": 0.01 * (np.eye(40) + 0.4 * np.eye(40, k=1) + 0.4 * np.eye(40, k=-1))},
        {"loss": "huber", "f_scale": 0.02},
        {"loss": "soft_l1", "f_scale": 0.02},
        {"loss": "lad"},
    ],
    ids=["absolute", "sigma", "covariance", "huber", "soft_l1", "lad"],
)
@pytest.mark.parametrize("y", [1e-18, 1e18])
def test_errors_and_losses_do_not_depend_on_units(options, y):
    if np.ndim(options.get("sigma")) == 2:  # in the units of y squared
        known = alone(T, Y, BOX, **options)
        found = alone(T, Y * y, BOX * np.array([[y], [1], [y]]), sigma=options["sigma"] * y * y)
        assert np.max(np.abs(found[0] / np.array([y, 1, y]) - known[0]) / known[1]) < TOL
        np.testing.assert_allclose(found[1] / np.array([y, 1, y]), known[1], rtol=10 * TOL)
        return
    compare(alone, y, 1.0, 10 * TOL if options.get("loss") == "lad" else TOL, **options)


@pytest.mark.long
def test_derivatives_in_the_data_do_not_depend_on_units():
    y = 1e-18 if X64 else 1e-6

    def popt(data, box):
        return jg.curve_fit(decay, T, data, box, progress=False).popt

    scale = np.array([y, 1, y])
    known = jax.jacobian(popt)(Y, BOX)
    found = np.asarray(jax.jacobian(popt)(Y * y, BOX * scale[:, None]), float)
    np.testing.assert_allclose(found * y / scale[:, None], known, atol=(1e-6 if X64 else 1e-2) * np.max(np.abs(known)))
    finished = jg.curve_fit(decay, T, Y * y, BOX * scale[:, None], progress=False).derivative()
    moves = np.stack([np.asarray(row, float) for row in finished.x[1]]) if isinstance(finished.x, tuple) else None
    moves = np.asarray(finished.x[1], float) if moves is None else moves
    np.testing.assert_allclose(moves * y / scale[:, None], known, atol=(1e-6 if X64 else 1e-2) * np.max(np.abs(known)))


def test_resistances_and_capacities(x64):
    """Parameters of 1e9 and 1e-12: their products are numbers of every day."""
    w = 2 * np.pi * np.logspace(0, 5, 40)
    z = 1e9 / (1 + 1j * w * 1e-3)

    def circuit(w, R, C):
        z = R / (1 + 1j * w * R * C)
        return jnp.concatenate([z.real, z.imag])

    fit = jg.curve_fit(circuit, w, np.r_[z.real, z.imag], [(0, 1e10), (0, 1e-11)], progress=False)
    assert fit.success
    np.testing.assert_allclose(fit.popt, [1e9, 1e-12], rtol=1e-12 if x64 else 1e-5)


@pytest.mark.parametrize("unit", [1e-15, 1e-9, 1e9])
def test_a_peak_over_wavelengths(unit):
    """In float32 the square of a squared width of 1e-10 has no inverse, and JAX's own derivative of a quotient none."""
    x = np.linspace(0, 1, 100)
    y = np.exp(-((x - 0.5) ** 2) / 0.223**2) + 0.1 * np.random.RandomState(42).rand(100)

    def peak(x, a, m, w):
        return a * jnp.exp(-((x - m) ** 2) / w**2)

    fit = jg.curve_fit(peak, x * unit, y, [(0, 10), (-unit, 2 * unit), (0, 3 * unit)], progress=False)
    assert fit.success
    np.testing.assert_allclose(fit.popt / np.array([1, unit, unit]), [1.037952, 0.5004817, 0.2365841], rtol=1e-5)
    band = pickle.loads(pickle.dumps(fit)).predict().error
    np.testing.assert_allclose(fit.predict(x * unit).error, band, rtol=1e-3)


def test_new_data_compile_nothing():
    """Other units of the data are other numbers, not another program."""

    def model(t, a, k, c):
        return decay(t, a, k, c) + 0 * t  # whose programs no other test has compiled

    def fit(y):
        return jg.curve_fit(model, T, y, [(0, 1e6), (0, 10), (-1, 1e6)], progress=False)

    first = fit(Y)
    assert fit(1000 * Y).result.compile_time == 0 < first.result.compile_time


def test_a_loss_that_bends_far_beyond_the_data_counts_squares(x64):
    y, box = Y * 1e-15, BOX * np.array([[1e-15], [1], [1e-15]])
    known = jg.curve_fit(decay, T, y, box, progress=False)
    for loss in ("soft_l1", "huber", "cauchy"):
        fit = jg.curve_fit(decay, T, y, box, loss=loss, progress=False)
        np.testing.assert_allclose(fit.popt, known.popt, rtol=1e-6 if x64 else 1e-3)
        np.testing.assert_allclose(fit.fun, known.fun, rtol=1e-6 if x64 else 1e-3)


def test_a_wild_data_set_takes_no_digits_of_the_others():
    y = np.stack([Y, Y * 1e18, Y])
    fits = jg.curve_fit_many(decay, T, y, BOX, progress=False)
    known = jg.curve_fit_many(decay, T, np.stack([Y, Y, Y]), BOX, progress=False)
    np.testing.assert_allclose(fits.popt[[0, 2]], known.popt[[0, 2]], rtol=1e-6)


def test_a_search_ends_by_evidence_at_the_precision_that_it_has():
    """A sum of squares that are small beside the data has more rounding error than its own digits show."""
    x = np.array([40, 100, 250, 400, 600, 800, 1150, 1400.0])
    y = np.array([0.1879, 0.4257, 0.80975, 1.3038, 1.64305, 1.94055, 2.21605, 2.3917])

    def logistic(x, A, B, C, D):
        return (A - D) / (1 + (x / C) ** B) + D

    fit = jg.curve_fit(logistic, x, y, [(-5, 5), (-10, 10), (1, 5000), (-5, 5)], progress=False)
    assert fit.success and fit.result.nfev < 6000
    np.testing.assert_allclose(fit.fun, 0.00738419446, rtol=1e-4)


OUTLIER = [1e5, 1e9, 1e18]


def noisy(outlier):
    y = 2.5 * np.exp(-1.3 * T) + 0.5 + 0.05 * np.sin(37 * T)
    y[20] = outlier
    return y


@pytest.mark.parametrize("loss", ["lad", "huber", "cauchy"])
def test_an_outlier_takes_no_digits_of_the_others(loss):
    """A sum with its cost has none in float32."""
    options = {} if loss == "lad" else {"f_scale": 0.1}
    known = jg.curve_fit(decay, T, noisy(1e2), BOX, loss=loss, **options, progress=False)
    for outlier in OUTLIER:
        fit = jg.curve_fit(decay, T, noisy(outlier), BOX, loss=loss, **options, progress=False)
        assert fit.success and fit.fits[0].fun == fit.fun == fit.result.fun
        np.testing.assert_allclose(fit.popt, known.popt, atol=1e-5 if X64 and loss != "cauchy" else 1e-3)
        r = np.abs(np.asarray(fit.residuals, float))
        if loss == "lad":
            np.testing.assert_allclose(fit.perr, known.perr, rtol=1e-5 if X64 else 5e-3)
            np.testing.assert_allclose(fit.fun, np.sum(r), rtol=1e-6)
        if loss == "huber":
            cost = np.where(r < 0.1, r**2, 0.2 * r - 0.01)
            np.testing.assert_allclose(fit.fun, np.sum(cost), rtol=1e-6)


def test_outliers_take_no_digits_of_the_others_in_many_fits():
    y = np.stack([noisy(1e2), *map(noisy, OUTLIER)])
    fits = jg.curve_fit_many(decay, T, y, BOX, loss="huber", f_scale=0.1, progress=False)
    assert np.all(fits.success)
    np.testing.assert_allclose(fits.popt, fits.popt[[0] * 4], atol=1e-5 if X64 else 1e-3)
    np.testing.assert_allclose(fits.fun, 0.2 * y[:, 20], rtol=1e-2)


@pytest.mark.long
@pytest.mark.parametrize("loss", ["lad", "huber"])
def test_data_of_a_peak_are_no_outliers(loss):
    """It is fitted as far as the digits go, and so it is beside an outlier."""

    def peak(t, a, w, c):
        return a * jnp.exp(-(((t - 1.93) / w) ** 2)) + c

    y = np.asarray(peak(T, 1e5, 0.2, 0.5)) + 0.05 * np.sin(37 * T)
    box, options = [(0, 1e8), (0.05, 1), (-2, 2)], {} if loss == "lad" else {"f_scale": 0.1}
    fit = jg.curve_fit(peak, T, y, box, loss=loss, **options, progress=False)
    assert fit.success
    np.testing.assert_allclose(fit.popt, [1e5, 0.2, 0.5], rtol=1e-6, atol=0.05)
    if loss == "huber":
        y = np.stack([y, np.where(np.arange(40) == 3, 1e9, y)])
        fits = jg.curve_fit_many(peak, T, y, box, loss=loss, **options, progress=False)
        assert np.all(fits.success)
        np.testing.assert_allclose(fits.popt, fit.popt[None] + np.zeros((2, 1)), rtol=1e-5, atol=0.02)


SIZES = np.array([1e-12, 1.0, 1e12])


@pytest.mark.long
@pytest.mark.parametrize("loss", ["linear", "huber"])
def test_data_sets_of_all_sizes_are_fitted_together(loss):
    """Each in a box of its size, with errors of its size."""
    y = np.stack([Y, 2 * Y, 3 * Y]) * SIZES[:, None]
    scale = np.stack([SIZES, np.ones(3), SIZES], axis=1)
    sigma = 0.03 * SIZES[:, None] * np.ones((3, 40))
    fits = jg.curve_fit_many(decay, T, y, BOX * scale[:, :, None] * [1, 2], sigma, True, loss, progress=False)
    assert np.all(fits.success)
    for i in range(3):
        box = BOX * scale[i][:, None] * [1, 2]
        fit = jg.curve_fit(decay, T, y[i], box, sigma[i], True, loss, progress=False)
        assert np.max(np.abs(fits.popt[i] - fit.popt) / fit.perr) < 20 * TOL
        np.testing.assert_allclose(fits.perr[i], fit.perr, rtol=20 * TOL)
        np.testing.assert_allclose(fits.fun[i], fit.fun, rtol=TOL)


def test_data_sets_of_all_times_are_fitted_together():
    """Where t is long, decays of all rates in the box of all are over, and look as if they were linear in the rate."""
    times = np.array([1e9, 1e-3, 1.0])
    rates = np.stack([np.full(3, 0.0), 10 / times], axis=1)
    boxes = np.stack([np.array([(0, 10), rate, (-1, 2)]) for rate in rates])
    fits = jg.curve_fit_many(decay, T * times[:, None], np.stack([Y, Y, Y]), boxes, progress=False)
    assert np.all(fits.success) and fits.linear == (0, 2)
    known = jg.curve_fit(decay, T, Y, BOX, progress=False)
    found = fits.popt * np.stack([np.ones(3), times, np.ones(3)], axis=1)
    assert np.max(np.abs(found - known.popt) / known.perr) < 20 * TOL
