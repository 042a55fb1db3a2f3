"""profile: ends of sets against SciPy's re-optimisation, several minima, what is said instead of raised; bootstrap."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from checks import float64_only

import jaxglobal as jg
from jaxglobal.profiles import entry, held, study
from jaxglobal.profiles import line as lines
from jaxglobal.profiles.checks import check_value
from jaxglobal.profiles.fit_points import FitPoints
from jaxglobal.profiles.function_points import FunctionPoints
from jaxglobal.profiles.thresholds import Rule

BOX = [(0.0, 10.0), (0.0, 10.0), (-1.0, 2.0)]
T = np.linspace(0, 4, 40)


def decay(t, a, k, c):
    return a * jnp.exp(-k * t) + c


def data(seed=0, noise=0.05):
    return 2.5 * np.exp(-1.3 * T) + 0.5 + noise * np.random.default_rng(seed).standard_normal(len(T))


def half_life(p):
    return jnp.log(2) / p[1]


@pytest.fixture(scope="module")
def fit():
    return jg.curve_fit(decay, T, data(), BOX, progress=False)


@pytest.fixture(scope="module")
def profile(fit):
    return jg.profile(fit, progress=False)


def re_optimised(i, value, start):
    """The lowest cost with a parameter held, by SciPy."""
    others = [j for j in range(3) if j != i]

    def residuals(free):
        p = np.insert(np.asarray(free, float), i, value)
        return p[0] * np.exp(-p[1] * T) + p[2] - data()

    return 2 * scipy.optimize.least_squares(residuals, np.asarray(start, float)[others], xtol=1e-14, ftol=1e-14).cost


def test_ends_are_where_the_re_optimised_cost_passes_the_threshold(fit, profile, x64):
    threshold = float(fit.fun) * (1 + scipy.stats.f.ppf(0.95, 1, 37) / 37)
    for i, curve in enumerate(profile.curves):
        assert np.isclose(curve.threshold, threshold, rtol=1e-6 if x64 else 1e-4)
        ((low, high),) = curve.intervals
        for inner, outer in ((low, curve.best), (high, curve.best)):
            end = scipy.optimize.brentq(
                lambda v, i=i: re_optimised(i, v, fit.popt) - threshold, *sorted((outer, 2 * inner - outer)), xtol=1e-12
            )
            assert abs(end - inner) < (1e-4 if x64 else 5e-3) * (high - low)
        k = len(curve.values) // 3
        assert np.isclose(curve.fun[k], re_optimised(i, curve.values[k], fit.popt), rtol=1e-5)
    assert profile.success and not profile.message and not profile.lower
    assert profile["k"] is profile[1] and profile.intervals[2] == profile["c"].intervals
    assert "[" in repr(profile) and "95 %, F" in profile._repr_html_()


def test_points_are_dense_where_the_set_ends(profile):
    for curve in profile.curves:
        (low, high), (left, right) = curve.intervals[0], curve.at_bound[0]
        inside = np.sum((curve.values >= low) & (curve.values <= high))
        assert not left and not right and inside >= 8 and len(curve.values) < 100
        assert curve.values[0] == BOX[["a", "k", "c"].index(curve.name)][0]  # the whole box is looked at


@pytest.mark.long
def test_a_function_of_the_parameters(fit, profile, x64):
    ((low, high),) = profile["k"].intervals
    of = jg.profile(fit, of=half_life, progress=False)
    np.testing.assert_allclose(
        of["half_life"].intervals[0], (np.log(2) / high, np.log(2) / low), rtol=1e-5 if x64 else 2e-3
    )


@pytest.mark.long
def test_a_function_that_ranges_over_many_orders_of_magnitude(fit, profile, x64):
    curve = jg.profile(fit, of=lambda p: jnp.exp(-20 * p[1]), progress=False)["of"]
    low, high = profile["k"].intervals[0]
    np.testing.assert_allclose(curve.intervals[0], np.exp([-20 * high, -20 * low]), rtol=1e-4 if x64 else 2e-2)
    for x, cost in zip(np.asarray(curve.x, float), curve.fun, strict=True):
        residuals = x[0] * np.exp(-x[1] * T) + x[2] - data()
        assert np.isclose(cost, np.sum(residuals**2), rtol=1e-9 if x64 else 1e-3)


def test_the_scale_of_such_a_function_has_no_overflow():
    for s in (1e-300, 1.0, 1e200):
        g = np.array([-1e308, -1.0, -1e-307, 0.0, 1e-250, 1e-3, 1e308])
        v = held.bent(np, g, s)
        np.testing.assert_allclose(held.straightened(v, s), g, rtol=1e-12, atol=1e-12 * s)
        assert np.all(np.diff(v) >= 0)


def test_contours_reach_as_far_as_the_profiles_of_their_threshold(fit, profile):
    (contour,) = jg.profile(fit, parameters="a", pairs=[("a", "k")], progress=False).contours
    assert np.isclose(contour.threshold, fit.fun * (1 + 2 * scipy.stats.f.ppf(0.95, 2, 37) / 37), rtol=1e-4)
    a, k = contour.values
    assert contour.fun.shape == (len(a), len(k))
    inside = contour.fun <= contour.threshold
    ((low, high),) = profile["a"].intervals  # of one parameter: inside of the shadow of the set of both
    reach = a[np.any(inside, axis=1)]
    assert reach[0] < low and reach[-1] > high and not inside[0].any() and not inside[:, -1].any()


@pytest.mark.long
def test_a_lower_minimum_is_said_and_taken():
    def wave(t, a, w, p):
        return a * jnp.sin(w * t + p)

    t = np.arange(12) + 0.05 * np.sin(7 * np.arange(12))
    y = np.sin(2.2 * t + 0.3) + 0.3 * np.cos(5.1 * np.arange(12))
    whole = jg.curve_fit(wave, t, y, [(0, 5), (0.2, 6), (-4, 4)], progress=False)
    wrong = next(other for other in whole.fits if abs(other.popt[1] - whole.popt[1]) > 1)
    stuck = dataclasses.replace(whole, popt=wrong.popt, fun=wrong.fun, fits=[wrong])
    found = jg.profile(stuck, parameters=["w"], progress=False)
    assert found.lower and not found.success and "lower than that of the fit" in found.message
    assert np.isclose(found.fun, whole.fun, rtol=1e-5) and np.isclose(found.best[1], whole.popt[1], rtol=1e-3)
    sure = scipy.stats.f.cdf((1.2 * wrong.fun / whole.fun - 1) * 9, 1, 9)  # so that the wrong one is inside
    rough = jg.profile(whole, parameters=["w"], confidence=sure, progress=False)
    assert len(rough["w"].intervals) > 1 and "several intervals: w" in rough.message
    assert rough.values[0] is None and len(rough.values[1]) == len(rough["w"].fun)
    for low, high in rough["w"].intervals:
        middle = jg.curve_fit(wave, t, y, [(0, 5), (low, high), (-4, 4)], progress=False)
        assert middle.fun <= rough["w"].threshold * (1 + 1e-6)


@pytest.mark.long
@float64_only
def test_a_branch_that_the_fit_has_not_listed_is_found_inside_a_set():
    """It is lower where a is near 1 alone, far from the even points, and as far from all that is known in b."""
    kick = 0.3 * np.random.default_rng(0).standard_normal(30)

    def model(t, a, b, c):
        well = 1 / (1 + ((a - 1) / 0.02) ** 4) * jnp.exp(-((b - 3) ** 2))
        return a * t + c + 0.03 * b * jnp.cos(9 * t) - 0.3 * well * kick

    t, box = np.linspace(0, 1, 30), [(-60, 60), (-5, 5), (-20, 20)]
    known = jg.curve_fit(model, t, t + 0.5 - kick, [box[0], (-5, 1), box[2]], progress=False)
    whole = jg.curve_fit(model, t, t + 0.5 - kick, box, progress=False)
    found = jg.profile(
        dataclasses.replace(whole, popt=known.popt, fun=known.fun, fits=[known]), parameters=["a"], progress=False
    )
    assert found.lower and abs(found.best[1] - 3) < 0.2


def test_a_profile_without_known_minima_finds_them(fit, profile, monkeypatch, x64):
    run = study.Study.run

    def without(self):
        self.minima, self.costs = self.minima[:0], self.costs[:0]
        run(self)

    monkeypatch.setattr(study.Study, "run", without)
    found = jg.profile(fit, parameters=["k"], progress=False)
    np.testing.assert_allclose(found["k"].intervals, profile["k"].intervals, rtol=1e-4 if x64 else 1e-2)


def test_the_sets_of_a_poor_fit_are_those_of_the_lower_minimum(fit, profile, x64):
    poor = dataclasses.replace(fit, popt=np.asarray(fit.popt) * [1.2, 0.7, 1.1], fits=[])
    found = jg.profile(poor, progress=False)
    assert found.lower and not found.success
    for one, other in zip(found.curves, profile.curves, strict=True):
        np.testing.assert_allclose(one.intervals, other.intervals, rtol=1e-4 if x64 else 1e-2)


def test_exact_data_are_said(x64):
    exact = jg.curve_fit(decay, T, 2.5 * np.exp(-1.3 * T) + 0.5, BOX, progress=False)
    found = jg.profile(exact, parameters=["k"], progress=False)
    np.testing.assert_allclose(found["k"].intervals, [(1.3, 1.3)], rtol=1e-12 if x64 else 1e-4)
    assert "fits the data exactly" in found.message


@pytest.mark.parametrize("searches", [0, 200])
def test_what_an_interrupt_leaves_out_is_no_gap(fit, monkeypatch, searches):
    class Asked(FitPoints):
        asked = property(lambda self: self.searches >= searches)

        def __init__(self, fit, interrupt, shown):
            interrupt.asked = searches == 0
            super().__init__(fit, interrupt, shown)

        def search(self, *args):
            out = super().search(*args)
            self._interrupt.asked = self.asked
            return out

    monkeypatch.setattr(entry, "FitPoints", Asked)
    found = jg.profile(fit, pairs=[("a", "k")], progress=False)
    assert found.message == "interrupted from the keyboard: points are missing" and not found.success
    for curve in found.curves:
        assert len(curve.intervals) == 1 and not curve.undetermined and np.all(np.isfinite(curve.fun))


def test_what_is_said_instead_of_raised(fit):
    narrow = jg.curve_fit(decay, T, data(), [(0, 10), (0, 10), (0.5, 0.506)], progress=False)
    found = jg.profile(narrow, progress=False)
    assert found["c"].undetermined
    np.testing.assert_allclose(found["c"].intervals, [(0.5, 0.506)], rtol=1e-6)
    assert "not determined within the box: c" in found.message and "*" in str(found["c"])
    few = jg.profile(dataclasses.replace(fit, dof=0), parameters=["k"], progress=False)
    assert few["k"].intervals == [BOX[1]] and "no more data than parameters" in few.message


@pytest.mark.slow
def test_fixed_parameters_and_bounds_that_are_reached():
    fixed = jg.curve_fit(decay, T, data(), [(0, 2.5), (0, 10), (0.5, 0.5)], progress=False)
    found = jg.profile(fixed, progress=False)
    assert found["c"].fixed and found["c"].intervals == [(0.5, 0.5)]
    assert found["a"].at_bound[-1][1] and found["a"].intervals[-1][1] == 2.5 and "(*): a" in found.message


def test_wrong_arguments(fit):
    for wrong, kind, message in [
        ({"confidence": 95}, ValueError, "between 0 and 1"),
        ({"parameters": ["kk"]}, ValueError, "`parameters` must be among a, k, c"),
        ({"pairs": ["ak"]}, ValueError, "`pairs` must be pairs"),
        ({"pairs": [(0, 0)]}, ValueError, "two different parameters"),
        ({"parameters": 1.5}, ValueError, "among a, k, c; got 1.5"),
        ({"of": lambda p: jnp.log(-p[1])}, ValueError, "`of` must be finite at the best point; got nan"),
        ({"of": lambda p: 1.0}, ValueError, "`of` must depend on the parameters; it is 1 "),
        ({"of": lambda p: p}, ValueError, r"`of` must return one number; got the shape \(3,\)"),
        ({"bounds": BOX}, TypeError, "must be left out for a fit"),
        ({"level": 0.9}, TypeError, "no argument 'level'"),
    ]:
        with pytest.raises(kind, match=message):
            jg.profile(fit, **wrong)
    with pytest.raises(TypeError, match="curve_fit or minimize"):
        jg.profile(3)
    with pytest.raises(ValueError, match="linear"):
        jg.profile(dataclasses.replace(fit, loss="huber"))
    for same in (7.0, 7.0005):  # as far apart as single precision may take them
        check_value(same, 7.0, [1.0])
    with pytest.raises(ValueError, match=r"result of `fun`, which is 9 at \[1.0\], not 7"):
        check_value(9.0, 7.0, [1.0])


def test_thresholds():
    assert np.isclose(Rule("F", 0.95, 10).rise(2.0), 2 * scipy.stats.t.ppf(0.975, 10) ** 2 / 10)
    assert np.isclose(Rule("F", 0.9, 10).rise(2.0, 2), 2 * 2 * scipy.stats.f.ppf(0.9, 2, 10) / 10)
    assert np.isclose(Rule("chi squared", 0.95, 10).rise(2.0, 2), scipy.stats.chi2.ppf(0.95, 2))
    assert np.isclose(Rule("likelihood", 0.95, 0).rise(2.0), scipy.stats.norm.ppf(0.975) ** 2 / 2)
    assert np.isinf(Rule("F", 0.95, 0).rise(0.0))


def test_a_crossing_is_found_between_any_heights():
    v = np.array([0.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(lines.crossing(v, 0.7 * v, 1, 2), (1 / 0.7, 0), atol=1e-12)
    assert lines.crossing(v, np.array([0.0, 0.5, np.inf, np.inf]), 1, 2)[0] == 1.5
    rough = lines.crossing(v, np.array([0.9, 0.99, 1.01, 9.0]), 1, 2)[0]
    assert 1 < rough < 2


def test_points_of_one_branch_follow_from_their_neighbours(profile):
    v, z = np.arange(6.0), np.full(6, 0.5)
    smooth = np.stack([2 * v, v**2 / 4, np.ones(6)], axis=1)
    line = lines.Line(0, 0.0, 5.0, v, v, z, smooth)
    assert line.follows(z).tolist() == [False, True, True, True, True, False]
    np.testing.assert_allclose(line.between(2.5, line.follows(z)), [5.0, 13 / 8, 1.0])
    jump = dataclasses.replace(line, x=smooth + [0, 20, 0] * (v > 2)[:, None])
    follows = jump.follows(z)
    assert follows.tolist() == [False, True, False, False, True, False] and jump.between(2.5, follows) is None
    assert jump.unswept(z) == [0, 2, 3, 5] and jump.unswept(z) == []
    missing = np.where(v == 3, np.inf, z)
    assert not line.follows(missing)[3]
    assert profile.searches < 5 * sum(len(curve.values) for curve in profile.curves)


@pytest.mark.slow
@float64_only
def test_of_a_likelihood_it_is_that_of_its_fit():
    box = jg.Box({"a": 0.0, "c": -1.0, "k": 0.0}, {"a": 10.0, "c": 2.0, "k": 10.0})

    def minus_log_likelihood(p, t, y):
        return 0.5 * jnp.sum((decay(t, p["a"], p["k"], p["c"]) - y) ** 2) / 0.05**2

    args = T, data()
    result = jg.minimize(minus_log_likelihood, box, args, progress=False)
    found = jg.profile(result, minus_log_likelihood, box, args, progress=False)
    sure = jg.curve_fit(decay, T, data(), BOX, sigma=0.05, absolute_sigma=True, progress=False)
    of_fit = jg.profile(sure, progress=False)
    for name in "akc":
        (one,), (other,) = found[name].intervals, of_fit[name].intervals
        np.testing.assert_allclose(one, other, atol=2e-4 * (one[1] - one[0]))
    assert set(found.intervals) == {"a", "c", "k"}
    of = jg.profile(result, minus_log_likelihood, box, args, of=lambda p, t, y: jnp.log(2) / p["k"], progress=False)
    ((low, high),) = found["k"].intervals
    np.testing.assert_allclose(of["of"].intervals[0], (np.log(2) / high, np.log(2) / low), rtol=1e-4)
    with pytest.raises(TypeError, match="JAX function that was minimised"):
        jg.profile(result)
    with pytest.raises(ValueError, match="lies outside"):
        jg.profile(
            result, minus_log_likelihood, jg.Box({"a": 0.0, "c": -1.0, "k": 0.0}, {"a": 0.1, "c": 2.0, "k": 1.0}), args
        )


@pytest.mark.slow
@float64_only
def test_covariance_matrices_and_single_precision_ask_the_same():
    mix = 0.01 * (np.eye(40) + 0.4 * np.eye(40, k=1) + 0.4 * np.eye(40, k=-1))
    fit = jg.curve_fit(decay, T, data(), BOX, sigma=mix, progress=False)
    found = jg.profile(fit, parameters=["k"], progress=False)["k"]
    factor = np.linalg.cholesky(mix)

    def cost(k):
        A = np.linalg.solve(factor, np.stack([np.exp(-k * T), np.ones_like(T)], axis=1))
        y = np.linalg.solve(factor, data())
        return np.sum((A @ np.linalg.lstsq(A, y, rcond=None)[0] - y) ** 2)

    for end in found.intervals[0]:
        assert np.isclose(cost(end), found.threshold, rtol=1e-4)
    of = jg.profile(fit, of=half_life, progress=False)[0].intervals[0]
    np.testing.assert_allclose(np.log(2) / np.array(of[::-1]), found.intervals[0], rtol=1e-5)
    assert jax.config.jax_enable_x64


def test_a_bootstrap_has_the_errors_of_the_fit(fit):
    sets = fit.bootstrap(400, seed=1, progress=False)
    np.testing.assert_allclose(sets.perr, fit.perr, rtol=0.2)
    np.testing.assert_allclose(np.sqrt(np.diag(sets.pcov)), sets.perr, rtol=1e-6)
    for (low, high), value, error in zip(sets.intervals(0.95), fit.popt, fit.perr, strict=True):
        assert 3 * error < high - low < 5 * error and low < value < high
    assert len(sets) == 400 and sets.popt.shape == (400, 3) and sets.fits.success.all() and "400" in repr(sets)
    again = fit.bootstrap(400, seed=1, progress=False)
    np.testing.assert_array_equal(sets.samples, again.samples)
    with pytest.raises(ValueError, match="at least 2"):
        fit.bootstrap(1)
    with pytest.raises(ValueError, match="residuals that hang together"):
        dataclasses.replace(fit, data=fit.data._replace(w=np.eye(40))).bootstrap(2)


def test_a_second_profile_compiles_nothing(fit):
    compiled, noting = [], [False]

    def note(event, seconds, **_):
        if noting[0] and "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    jg.profile(fit, progress=False)
    noting[0] = True
    jg.profile(fit, progress=False)
    noting[0] = False
    assert not compiled


@float64_only
def test_how_far_a_variable_reaches_is_known_whatever_the_units():
    """A Hessian of which the entries differ by forty orders of magnitude has an inverse as any other has."""
    rng = np.random.default_rng(0)
    J = rng.standard_normal((5, 9, 4))
    for size in 10.0 ** rng.uniform(-10, 10, (10, 4)):
        for part in J:
            of = types.SimpleNamespace(
                _value=lambda x, A=part * size: jnp.sum((A @ x) ** 2) / 2,
                _structure=types.SimpleNamespace(dtype=np.dtype(float)), lower=np.full(4, -1.0), upper=np.ones(4),
            )  # fmt: skip
            with jax.disable_jit():
                pcov = FunctionPoints.covariances(of, np.zeros((1, 4)))[0]
            np.testing.assert_allclose(pcov * size * size[:, None], np.linalg.inv(part.T @ part), rtol=1e-6)
