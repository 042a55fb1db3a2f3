"""curve_fit and curve_fit_many: against certified values, SciPy, finite differences, and each other."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from checks import float64_only
from decays import BOX, T, data, decay

import jaxglobal as jg
from jaxglobal.fit import runs, separable
from jaxglobal.local import levenberg

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))


def by_scipy(y, **options):
    return scipy.optimize.curve_fit(
        lambda t, a, k, c: a * np.exp(-k * t) + c, T, y, p0=[2, 1, 0.4], bounds=np.transpose(BOX), **options
    )


@float64_only
@pytest.mark.parametrize("name", ["Misra1a", "MGH17"])
def test_certified_values(name):
    import strd

    reference = strd.read(name)
    fit = jg.curve_fit(reference.model, reference.x, reference.y, reference.bounds, progress=False)
    np.testing.assert_allclose(fit.popt, reference.parameters, rtol=1e-6)
    np.testing.assert_allclose(fit.perr, reference.deviations, rtol=1e-6)
    assert fit.success


@pytest.mark.parametrize(
    ("options", "scipys"),
    [
        ({}, {}),
        ({"sigma": 0.02 + 0.01 * T}, {"sigma": 0.02 + 0.01 * T}),
        ({"sigma": 0.05, "absolute_sigma": True}, {"sigma": np.full(40, 0.05), "absolute_sigma": True}),
        (
            {"sigma": 0.01 * (np.eye(40) + 0.4 * np.eye(40, k=1) + 0.4 * np.eye(40, k=-1))},
            {"sigma": 0.01 * (np.eye(40) + 0.4 * np.eye(40, k=1) + 0.4 * np.eye(40, k=-1))},
        ),
        ({"loss": "soft_l1", "f_scale": 0.03}, {"loss": "soft_l1", "f_scale": 0.03}),
        ({"loss": "huber", "f_scale": 0.03}, {"loss": "huber", "f_scale": 0.03}),
        ({"loss": "cauchy", "f_scale": 0.03}, {"loss": "cauchy", "f_scale": 0.03}),
    ],
    ids=["plain", "sigma", "absolute", "covariance", "soft_l1", "huber", "cauchy"],
)
def test_means_what_scipy_means(options, scipys, tol):
    y = data()
    popt, pcov = jg.curve_fit(decay, T, y, BOX, **options, progress=False)
    expected, covariance = by_scipy(y, **scipys, ftol=1e-12, xtol=1e-12, gtol=1e-12)
    errors = np.sqrt(np.diag(covariance))
    assert np.max(np.abs(popt - expected) / errors) < tol
    np.testing.assert_allclose(pcov / np.outer(errors, errors), covariance / np.outer(errors, errors), atol=10 * tol)


def test_fit_reads_well_and_unpacks():
    fit = jg.curve_fit(decay, T, data(), BOX, progress=False)
    popt, pcov = fit
    assert popt is fit.popt and pcov is fit.pcov and len(fit) == 2
    assert "+-" in repr(fit) and "degrees of freedom" in fit._repr_html_()
    assert fit.linear == (0, 2) and fit.dof == 37
    assert fit.fits[0].fun == fit.fun and np.allclose(fit.fits[0].residuals, fit.residuals)
    costs = [local.fun for local in fit.fits]
    assert costs == sorted(costs)


def test_bands_hold_what_they_promise():
    inside = []
    fits = jg.curve_fit_many(decay, T, np.stack([data(seed) for seed in range(200)]), BOX, progress=False)
    truth = np.array([2.5, 1.3, 0.5])
    for popt, pcov in zip(fits.popt, fits.pcov, strict=True):
        inside.append(np.abs(popt - truth) < 2.03 * np.sqrt(np.diag(pcov)))
    assert np.all(np.abs(np.mean(inside, axis=0) - 0.95) < 0.06)
    fit = jg.curve_fit(decay, T, data(), BOX, progress=False)
    mean, new = fit.predict(np.array([0.5, 1.5])), fit.predict(np.array([0.5, 1.5]), new=True)
    assert mean.y.shape == (2,) and np.all(new.upper > mean.upper) and np.all(mean.lower < mean.y)


@pytest.mark.slow
@float64_only
def test_derivatives_in_the_data_are_those_of_differences():
    y = data()
    popt = jax.jit(lambda y: jg.curve_fit(decay, T, y, BOX, progress=False).popt)
    J = np.asarray(jax.jacobian(popt)(y))
    h = 1e-5
    for i in (0, 17):
        up, down = (np.asarray(popt(y + sign * h * np.eye(len(T))[i])) for sign in (1, -1))
        np.testing.assert_allclose(J[:, i], (up - down) / (2 * h), atol=1e-6)
    fit = jg.curve_fit(decay, T, y, BOX, progress=False)
    np.testing.assert_allclose(np.asarray(fit.derivative().x[1]), J, atol=1e-7)
    np.testing.assert_allclose(fit.popt, popt(y), atol=1e-9)


def test_pytrees_fixed_parameters_and_a_guess():
    box = jg.Box({"a": 0.0, "k": jnp.zeros(1)}, {"a": 10.0, "k": 10 * jnp.ones(1)})
    fit = jg.curve_fit(lambda t, p: p["a"] * jnp.exp(-p["k"][0] * t) + 0.5, T, data(), box, progress=False)
    assert abs(fit.popt["a"] - 2.5) < 0.2 and fit.popt["k"].shape == (1,)
    fixed = jg.curve_fit(decay, T, data(), [(0, 10), (1.3, 1.3), (-1, 2)], p0=[1, 1.3, 0], progress=False)
    assert np.isclose(fixed.popt[1], 1.3) and fixed.pcov[1, 1] == 0 and fixed.dof == 38


@pytest.mark.long
def test_undetermined_parameters_have_an_infinite_covariance():
    fit = jg.curve_fit(
        lambda t, a, b, k: a * b * jnp.exp(-k * t), T, data(), [(0.1, 10), (0.1, 10), (0, 5)], progress=False
    )
    assert np.isinf(fit.perr).tolist() == [True, True, False] and fit.undetermined == ["a", "b"]
    assert "undetermined: a, b" in repr(fit)
    whole = jg.curve_fit(lambda t, a, k: a * jnp.exp(-k * t), T, data(), [(0.01, 100), (0, 5)], progress=False)
    np.testing.assert_allclose(fit.perr[2], np.sqrt(whole.pcov[1, 1] * whole.dof / fit.dof), rtol=1e-3)
    many = jg.curve_fit_many(
        lambda t, a, b, k: a * b * jnp.exp(-k * t), T, data()[None], [(0.1, 10), (0.1, 10), (0, 5)], progress=False
    )
    assert np.isinf(many.perr[0]).tolist() == [True, True, False]
    np.testing.assert_allclose(many.perr[0, 2], fit.perr[2], rtol=1e-2)
    band, same = fit.predict(), whole.predict()  # what the data determine, the model's values at them, has a band
    np.testing.assert_allclose(band.error, same.error * np.sqrt(whole.dof / fit.dof), rtol=1e-2)


@pytest.mark.long
def test_a_parameter_on_its_bound(tol):
    """Exactly, alone, traced and among many; the cost is that of SciPy."""
    box, model = [(0, 10), (0, 1.1)], lambda t, a, k: a * jnp.exp(-k * t)
    x = np.linspace(0, 4, 40)
    y = 2.5 * np.exp(-1.3 * x)
    fit = jg.curve_fit(model, x, y, box, progress=False)
    assert fit.success and fit.popt[1] == np.asarray(1.1, fit.popt.dtype)
    traced = jax.jit(lambda y: jg.curve_fit(model, x, y, box).popt)(y)
    many = jg.curve_fit_many(model, x, y[None], box, progress=False)
    assert many.success.all()
    for popt in (fit.popt, traced, many.popt[0]):
        np.testing.assert_allclose(popt, [2.3145152, 1.1], rtol=max(tol, 1e-7))
    np.testing.assert_allclose(fit.fun, 0.18349426, rtol=max(tol, 1e-6))


@pytest.mark.long
@float64_only
def test_fits_at_bounds_are_those_of_least_squares():
    """From the truth, in boxes that many of the fits would leave."""
    rng, x = np.random.default_rng(0), np.linspace(0, 4, 40)
    peak = lambda t, a, m, s, c: c + a * jnp.exp(-0.5 * ((t - m) / s) ** 2)  # noqa: E731
    low, high = np.array([1.25, 1.0, 0.5, -0.5]), np.array([3.75, 3.0, 1.5, 0.5])
    true = np.stack([rng.uniform(low - 0.3, high + 0.3) for _ in range(24)])
    y = np.stack([np.asarray(peak(x, *p)) for p in true]) + 0.02 * rng.standard_normal((24, 40))
    many = jg.curve_fit_many(peak, x, y, list(zip(low, high, strict=True)), progress=False)
    on_bound = 0
    for i in range(24):
        start = np.clip(true[i], low + 1e-6, high - 1e-6)

        def residual(p, i=i):
            return np.asarray(peak(x, *p)) - y[i]

        best = scipy.optimize.least_squares(residual, start, bounds=(low, high), xtol=1e-15, ftol=1e-15, gtol=1e-15)
        assert many.fun[i] <= 2 * best.cost * (1 + 1e-7) and many.success[i]
        on_bound += np.any((many.popt[i] == low) | (many.popt[i] == high))
    assert on_bound > 5


@float64_only
def test_listed_fits_are_minima():
    rng, x = np.random.default_rng(0), np.linspace(0, 4, 40)
    sine = lambda t, a, w, p, c: a * jnp.sin(w * t + p) + c  # noqa: E731
    y = 2 * np.sin(7 * x + 1) + 0.3 * rng.standard_normal(40)
    box = np.array([(0, 5), (0.1, 20), (0, 6.28), (-2, 2)])
    fit = jg.curve_fit(sine, x, y, [tuple(pair) for pair in box], progress=False)
    slope = jax.grad(lambda p: jnp.sum((sine(x, *p) - y) ** 2))
    assert len(fit.fits) > 5
    for local in fit.fits:
        assert local.status in (jg.LocalStatus.CONVERGED, jg.LocalStatus.CONVERGED_TO_PRECISION)
        g = np.asarray(slope(local.popt))
        out = ((local.popt <= box[:, 0]) & (g > 0)) | ((local.popt >= box[:, 1]) & (g < 0))
        assert np.max(np.abs(np.where(out, 0, g))) < 1e-3 * local.fun


def test_host_models():
    model = jg.host(lambda t, a, k: a * np.exp(-k * t))
    y = 2.5 * np.exp(-1.3 * T)
    fit = jg.curve_fit(model, T, y + 0.01 * np.sin(30 * T), [(0, 10), (0, 5)], max_levels=2, progress=False)
    assert np.allclose(fit.popt, [2.5, 1.3], atol=0.05) and np.all(np.isfinite(fit.perr))
    assert fit.predict(np.array([1.0, 2.0])).y.shape == (2,)


def test_linear_parameters_are_seen():
    x = np.linspace(0.1, 2, 20)
    low, high = np.zeros(3), np.ones(3)

    def seen(model):
        return separable.linear(lambda p: model(*p), low, high, kept={})

    assert seen(lambda a, b, c: a * jnp.exp(-b * x) + c) == (0, 2)
    assert seen(lambda a, b, c: a * jnp.maximum(x - c, 0) + b) == (0, 1)
    assert seen(lambda a, b, c: jnp.exp(a + b * x + c)) == ()
    assert seen(lambda a, b, c: a * b * x + c) in ((0, 2), (1, 2))


@pytest.mark.slow
def test_a_model_is_never_called_outside_the_box():
    seen, low, high = [], np.array([0.3, 0.1, -0.7]), np.array([1.1, 7.0, 0.3])

    def model(t, a, k, c):
        jax.debug.callback(lambda *p: seen.append(np.array(p)), a, k, c)
        return a * jnp.exp(-k * t) + c

    y = 2.5 * np.exp(-1.3 * T) - 3.0  # both linear parameters are best outside
    for fit in (
        lambda: jg.curve_fit(model, T, y, list(zip(low, high, strict=True)), max_levels=2, progress=False),
        lambda: jg.curve_fit_many(model, T, np.stack([y, -y]), list(zip(low, high, strict=True)), progress=False),
    ):
        fitted = fit()
        jax.effects_barrier()
        assert fitted.linear == (0, 2)
        p = np.concatenate([np.reshape(part, (3, -1)) for part in seen], axis=1)
        dtype = p.dtype
        assert np.all(p >= low.astype(dtype)[:, None]) and np.all(p <= high.astype(dtype)[:, None])
        seen.clear()


@pytest.mark.parametrize("bits", ["float64", "float32"])
def test_the_best_linear_parameters_lie_inside_to_the_last_digit(bits):
    rng = np.random.default_rng(0)
    lower, z = (rng.uniform(-1, 1, (1, 500)).astype(bits) for _ in range(2))
    upper, ones = np.maximum(lower, z) + 1, np.ones((1, 1, 500), bits)
    with jax.enable_x64(bits == "float64"), jax.numpy_rank_promotion("allow"):
        z, residuals = jnp.asarray(np.maximum(lower, z)), jnp.full((1, 500), 99.0, bits)
        best = separable.best_linear(jnp.asarray(ones), residuals, z, jnp.asarray(lower), jnp.asarray(upper))
        best = np.asarray(best)
    assert best.dtype == bits and np.all(best >= lower) and np.allclose(best, lower, atol=1e-5)


def test_starts_of_both_sheets_are_screened_where_they_are_too_many(monkeypatch):
    screened, screen = [], runs.Runs.screen

    def counted(self, points, together):
        screened.append(len(points))
        return screen(self, points, together)

    monkeypatch.setattr(runs.Runs, "screen", counted)
    fit = jg.curve_fit(decay, T, data(), BOX, starts=jg.Sobol(first=64), max_levels=2, progress=False)
    assert screened == [64, 64] and fit.result.levels[1].nstarts == 64


def test_a_traced_fit_says_how_it_went():
    told = []

    def cost(y):
        fit = jg.curve_fit(decay, T, y, BOX, max_levels=1, progress=False)
        told.append(fit.message)
        return fit.fun, fit.success

    f, success = jax.jit(cost)(data())
    assert success and np.isfinite(f) and "traced" in told[0]


def test_triangular_factor_is_that_of_qr(x64):
    A, r = np.random.default_rng(0).standard_normal((5, 20, 3)), np.random.default_rng(1).standard_normal((20, 3))
    with jax.numpy_rank_promotion("allow"):
        R, q, left = levenberg.triangular(jnp.asarray(A), jnp.asarray(r))
    for lane in range(3):
        expected = np.linalg.qr(A[..., lane].T)[1]
        np.testing.assert_allclose(np.abs(R[..., lane]), np.abs(expected), atol=1e-12 if x64 else 1e-4)
        solution, rss, *_ = np.linalg.lstsq(A[..., lane].T, r[:, lane])
        np.testing.assert_allclose(np.sum(left[:, lane] ** 2), rss[0], rtol=1e-10 if x64 else 1e-3)
        np.testing.assert_allclose(np.linalg.solve(R[..., lane], q[:, lane]), solution, atol=1e-10 if x64 else 1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "hubr"}, "did you mean 'huber'"),
        ({"f_scale": 0}, "`f_scale` must be a positive number"),
        ({"sigma": np.ones(3)}, "`sigma` must be a number, 40 of them"),
        ({"sigma": 0.0}, "`sigma` must be positive"),
        ({"sigma": "a"}, "`sigma` must be an array of real numbers; got str"),
        ({"bounds": [*BOX[:2], (0, np.inf)]}, r"`upper` must be finite \(the starts fill the box\); got inf"),
        ({"ydata": np.full(40, np.nan)}, "`ydata` must be finite"),
        ({"ydata": data()[:5]}, "`model` must return 5 real numbers"),
        ({"bounds": [(0, 1)]}, "`model` must take x and the 1 parameters"),
        ({"p0": [100, 1, 1]}, "`p0` must lie inside"),
        ({"model": 3}, "`model` must be a function"),
        ({"loss": "lad", "absolute_sigma": True}, "`absolute_sigma` must be False"),
    ],
)
def test_wrong_arguments(change, message):
    given = {"model": decay, "xdata": T, "ydata": data(), "bounds": BOX, **change}
    with pytest.raises((TypeError, ValueError), match=message):
        jg.curve_fit(**given)
