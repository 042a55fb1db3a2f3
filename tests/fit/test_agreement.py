"""When fits are believed: enough of their searches agree on the lowest cost, and it is an old one."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.fit import agreement

X = np.linspace(0, 100, 200)


def known(*f):
    costs = np.array([f], float)
    return agreement.learn(agreement.nothing(1), costs, np.zeros(1))


def test_searches_are_counted_in_their_order():
    told = known(np.nan, 3.0, 2.0, 2.0 + 1e-9, 5.0)
    assert [int(field[0]) for field in told[1:]] == [2, 2, 4] and told.f[0] == 2.0
    more = agreement.learn(told, np.array([[1.0, np.inf, 2.0]]), np.zeros(1))
    assert [int(field[0]) for field in more[1:]] == [1, 5, 6]
    again = agreement.learn(more, np.array([[1.0, np.nan, np.nan]]), np.zeros(1))
    assert [int(field[0]) for field in again[1:]] == [2, 5, 7]


def test_costs_below_rounding_are_the_same():
    told = agreement.learn(agreement.nothing(1), np.array([[3e-20, 1e-22]]), np.array([1e-18]))
    assert told.hits[0] == 2 and told.met[0] == 1


def test_more_parameters_ask_for_more_searches():
    assert agreement.reached(known(*[1.0] * 10), 2)[0] and not agreement.reached(known(*[1.0] * 9), 2)[0]
    assert agreement.reached(known(*[1.0] * 30), 6)[0] and not agreement.reached(known(*[1.0] * 29), 6)[0]
    assert not agreement.reached(agreement.nothing(1), 0)[0] and agreement.reached(known(1.0), 0)[0]


def test_searches_that_agree_are_more_where_they_are_few_of_all():
    """Six of 48 in one wide basin were believed, beside which the best one attracted one of 48."""
    assert agreement.reached(known(*[1.0] * 10, *[2.0] * 10), 2)[0]
    assert not agreement.reached(known(*[1.0] * 10, *[2.0] * 11), 2)[0]
    assert agreement.reached(known(*[1.0] * 10, *[2.0] * 38), 6)[0]
    assert not agreement.reached(known(*[1.0] * 9, *[2.0] * 39), 6)[0]
    assert not agreement.reached(known(*[1.0] * 10, *[2.0] * 38), 7)[0]
    late = known(*[2.0] * 32, *[1.0] * 30)
    assert not agreement.reached(late, 3)[0]
    assert agreement.reached(agreement.learn(late, np.full((1, 10), 1.0), np.zeros(1)), 3)[0]


def peaks(x, *q):
    return sum(q[i] * jnp.exp(-0.5 * ((x - q[i + 1]) / q[i + 2]) ** 2) for i in range(0, len(q), 3))


def spectra(count, seed):
    rng = np.random.default_rng(seed)
    true = np.array([np.ravel([[8, rng.uniform(10 + 30 * i, 30 + 30 * i), 2] for i in range(3)]) for _ in range(count)])
    return true, np.stack([np.asarray(peaks(X, *t)) for t in true]) + 0.1 * rng.standard_normal((count, len(X)))


BOX = [(0, 20), (0, 100), (0.5, 6)] * 3


@pytest.mark.slow
def test_spectra_of_three_peaks_are_found_and_believed():
    true, y = spectra(20, 0)
    fits = jg.curve_fit_many(peaks, X, y, BOX, progress=False)
    near = jg.curve_fit_many(peaks, X, y, BOX, p0=true, levels=1, searches=1, progress=False)
    right = fits.fun <= near.fun * (1 + 1e-4)
    assert np.sum(right) >= 19 and not np.any(fits.success & ~right) and np.sum(fits.success) >= 19


@pytest.mark.slow
def test_a_wide_basin_is_not_believed_before_a_narrow_one_is_found():
    """Two spectra of sixty of which six and seven searches had agreed on a higher cost."""
    rng = np.random.default_rng(7)
    true = np.stack([np.ravel([[rng.uniform(2, 12), rng.uniform(5, 95), rng.uniform(1, 4)] for _ in range(3)])
                     for _ in range(60)])  # fmt: skip
    y = np.stack([np.asarray(peaks(X, *t)) for t in true]) + 0.2 * rng.standard_normal((60, len(X)))
    true, y = true[[10, 55]], y[[10, 55]]
    fits = jg.curve_fit_many(peaks, X, y, BOX, progress=False)
    near = jg.curve_fit_many(peaks, X, y, BOX, p0=true, levels=1, searches=1, progress=False)
    assert np.all(fits.fun <= near.fun * (1 + 1e-5)) and np.all(fits.success)


@pytest.mark.slow
def test_a_data_set_has_the_same_fit_whatever_the_others_need():
    _, y = spectra(6, 1)
    fits = jg.curve_fit_many(peaks, X, y, BOX, progress=False)
    alone = jg.curve_fit_many(peaks, X, y[4:5], BOX, progress=False)
    assert alone.success[0] == fits.success[4] and alone.searches[0] == fits.searches[4]
    np.testing.assert_allclose(alone.fun, fits.fun[4:5], rtol=1e-5)


def tangled(t, a, b, c, d, e):
    return jnp.tanh(a * jnp.sin(b * t + c) + d * t**2 + jnp.exp(-e * t))


@pytest.mark.long
def test_a_fit_of_which_the_next_level_would_be_too_large_is_believed_where_searches_agree():
    t = np.linspace(0, 3, 60)
    true = np.array([1.5, 2.0, 1.0, 0.3, 1.0])
    y = np.asarray(tangled(t, *true)) + 0.05 * np.sin(37 * t)
    box = [(0, 3), (0.5, 6), (0, 6), (-1, 1), (0, 3)]
    fit = jg.curve_fit(tangled, t, y, box, progress=False)
    assert fit.success and fit.fun <= np.sum((y - np.asarray(tangled(t, *true))) ** 2)
    assert "searches ended at the lowest cost" in fit.result.message
    assert "levels" in jg.curve_fit(tangled, t, y, box, same=2, progress=False).result.message


def waves(count, seed):
    t = np.linspace(0, 4, 40)
    true = np.random.default_rng(seed).uniform([1, 1, 0], [3, 15, 6], (count, 3))
    return t, true, true[:, :1] * np.sin(true[:, 1:2] * t + true[:, 2:])


def wave(t, a, w, p):
    return a * jnp.sin(w * t + p)


@pytest.mark.parametrize("budget", [dict(levels=1, searches=1), dict(levels=2), dict(searches=1)])
def test_fits_of_a_budget_are_believed_by_the_same_evidence(budget):
    t, _, y = waves(40, 3)
    fits = jg.curve_fit_many(wave, t, y, [(0, 5), (0.1, 20), (0, 6.3)], progress=False, **budget)
    wrong = fits.fun > 1e-6
    assert wrong.any() and not np.any(fits.success & wrong)
    assert set(fits.status[wrong]) == {jg.Status.UNSETTLED} and "UNSETTLED" in repr(fits)
    assert np.all(fits.searches <= budget.get("searches", 2)) and np.all(fits.hits <= fits.searches)
    k = int(np.flatnonzero(wrong)[0])
    assert f"of {fits.searches[k]} searches ended at the lowest cost; the local" in fits[k].message


@pytest.mark.long
def test_a_budget_of_searches_is_made_and_ends_where_they_agree():
    t, _, y = waves(20, 4)
    y += 0.05 * np.sin(40 * t)
    fits = jg.curve_fit_many(wave, t, y, [(0, 5), (0.1, 20), (0, 6.3)], levels=1, searches=60, progress=False)
    near = jg.curve_fit_many(wave, t, y, [(0, 5), (0.1, 20), (0, 6.3)], progress=False)
    right = fits.fun <= near.fun * (1 + 1e-6)
    assert np.sum(fits.success) >= 15 and np.all(right[fits.success]) and np.all(fits.hits[fits.success] >= 10)
    assert np.all((fits.searches == 60) | fits.success) and set(fits.status[fits.success]) == {jg.Status.SAME}


def two_narrow_peaks(count):
    rng = np.random.default_rng(5)
    true = rng.uniform([3, 5, 3, 5], [10, 95, 10, 95], (count, 4))
    return true, np.stack([np.asarray(two(X, *row)) for row in true]) + 0.1 * rng.standard_normal((count, len(X)))


def two(x, a, m, b, q):
    return a * jnp.exp(-((x - m) ** 2)) + b * jnp.exp(-((x - q) ** 2))


@pytest.mark.long
def test_a_few_searches_in_two_parameters_are_no_evidence():
    """Both peaks have to be found, and searches that agree on one alone are many."""
    true, y = two_narrow_peaks(40)
    box = [(0, 20), (0, 100)] * 2
    fits = jg.curve_fit_many(two, X, y, box, progress=False)
    near = jg.curve_fit_many(two, X, y, box, p0=true, levels=1, searches=1, progress=False)
    right = fits.fun <= near.fun * (1 + 1e-4)
    assert np.sum(right) >= 39 and not np.any(fits.success & ~right)


def test_a_best_cost_that_one_search_has_met_is_no_evidence():
    """No start leads to the guess: levels with the same best cost say nothing."""
    t = np.sort(np.random.default_rng(0).uniform(0, 4, 60))
    fit = jg.curve_fit(lambda t, w: jnp.cos(w * t), t, np.cos(1234.5 * t), [(0, 20000)], p0=[1234.5], progress=False)
    assert fit.popt == pytest.approx([1234.5]) and fit.fits[0].count == 1
    assert not fit.success and fit.result.status is jg.Status.UNSETTLED and "do not agree" in fit.message
