"""Whole numbers among the parameters of a fit: that of the best assignment, and no call between two whole numbers."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg

T = np.linspace(0, 4, 40)
Y = 1.5 * np.exp(-1.1 * T) * np.cos(3 * T) + 0.01 * np.random.default_rng(0).standard_normal(40)
BOX = [(0.0, 5.0), (0.0, 5.0), (1, 6)]
THIRD = [False, False, True]


def wave(t, a, k, n):
    return a * jnp.exp(-k * t) * jnp.cos(n * t)


def one_by_one(y=Y, values=range(1, 7)):
    """The best of fits in which the third parameter is held."""
    fits = [jg.curve_fit(wave, T, y, [*BOX[:2], (n, n)], progress=False) for n in values]
    return min(fits, key=lambda fit: fit.fun)


@pytest.mark.long
def test_is_the_best_of_all_assignments(x64):
    fit, best = jg.curve_fit(wave, T, Y, BOX, integrality=THIRD, progress=False), one_by_one()
    assert fit.popt[2] == 3 and np.isclose(fit.fun, best.fun, rtol=1e-9 if x64 else 1e-4) and fit.success
    np.testing.assert_allclose(fit.popt, best.popt, rtol=1e-6 if x64 else 1e-3)
    np.testing.assert_allclose(fit.perr, best.perr, rtol=1e-4 if x64 else 1e-2)
    assert fit.perr[2] == 0 and np.all(fit.perr[:2] > 0) and fit.dof == 38 and fit.names == ["a", "k", "n"]
    assert "each of the 6 assignments of whole numbers was fitted" in fit.message
    assert {float(one.popt[2]) for one in fit.fits} == {1.0, 2, 3, 4, 5, 6}
    assert sorted(one.fun for one in fit.fits) == [one.fun for one in fit.fits]
    again = pickle.loads(pickle.dumps(fit))
    assert np.array_equal(again.predict(T + 0.1).y, fit.predict(T + 0.1).y) and fit.derivative().x[1].shape == (3, 40)


def test_a_choice_in_a_box_and_a_model_without_derivatives_by_it():
    def model(t, p):  # a degree: of so many powers the coefficients count
        power = jnp.arange(3)
        used = jnp.where(power < p["n"], p["c"], 0) * jnp.where(p["n"] == jnp.rint(p["n"]), 1, jnp.nan)
        return used @ (t[None] ** power[:, None])

    degree, low, high = jg.Choice([1.0, 3.0]), -5 * np.ones(3), 5 * np.ones(3)
    box = jg.Box({"c": low, "n": degree}, {"c": high, "n": degree})
    fit = jg.curve_fit(model, T, 1 - 2 * T + 0.5 * T**2, box, progress=False)
    assert fit.popt["n"] == 3 and np.allclose(fit.popt["c"], [1, -2, 0.5], atol=1e-3) and fit.perr[3] == 0


def test_more_assignments_than_are_fitted_each(x64):
    fit = jg.curve_fit(wave, T, Y, [*BOX[:2], (1, 60)], integrality=THIRD, progress=False)
    assert fit.popt[2] == 3 and np.isclose(fit.fun, one_by_one().fun, rtol=1e-6 if x64 else 1e-3)
    assert "search of all parameters" in fit.message and fit.result.nfev > 1000
    late = jg.curve_fit(wave, T, Y, [*BOX[:2], (1, 60)], integrality=THIRD, max_time=0.0, progress=False)
    assert not late.success and late.result.status is jg.Status.MAX_TIME and late.popt[2] == np.rint(late.popt[2])


@pytest.mark.slow
def test_under_constraints():
    rows = jg.Constraint(lambda p: p[0] + p[2], upper=4.2)
    fit = jg.curve_fit(wave, T, Y, BOX, integrality=THIRD, constraints=rows, progress=False)
    held = [jg.curve_fit(wave, T, Y, [(0, min(5, 4.2 - n)), (0, 5), (n, n)], progress=False).fun for n in range(1, 5)]
    assert fit.popt[2] == 3 and fit.result.violation < 1e-4 and np.isclose(fit.fun, min(held), rtol=1e-4)
    assert fit.result.active and abs(fit.popt[0] - 1.2) < 1e-3


@pytest.mark.slow
def test_a_host_model_is_called_at_whole_numbers_alone():
    seen = set()

    def model(t, a, n):
        seen.add(float(n))
        return a * np.cos(n * t)

    fit = jg.curve_fit(jg.host(model), T, 2 * np.cos(2 * T), [(0, 5), (1, 3)], integrality=[0, 1], progress=False)
    assert seen == {1.0, 2.0, 3.0} and fit.popt[1] == 2 and abs(fit.popt[0] - 2) < 1e-4


def test_limits_and_callbacks_end_it_with_the_best_so_far():
    def stops(level):
        raise StopIteration

    fit = jg.curve_fit(wave, T, Y, BOX, integrality=THIRD, callback=stops, progress=False)
    assert not fit.success and fit.result.status is jg.Status.CALLBACK and "1 of 6 assignments" in fit.message
    fit = jg.curve_fit(wave, T, Y, BOX, integrality=THIRD, max_evals=100, progress=False)
    assert not fit.success and fit.result.status is jg.Status.MAX_EVALS and np.isfinite(fit.fun)


@pytest.mark.long
def test_many_fits_are_each_of_their_best_assignment(x64):
    y = np.stack([Y, 2 * np.exp(-0.5 * T) * np.cos(2 * T), 0.7 * np.exp(-0.2 * T) * np.cos(4 * T)])
    bounds = [*BOX[:2], jg.Choice([2.0, 3.0, 4.0])]
    fits = jg.curve_fit_many(wave, T, y, bounds, progress=False)
    assert fits.popt[:, 2].tolist() == [3, 2, 4] and np.all(fits.pcov[:, 2] == 0) and np.all(fits.perr[0, :2] > 0)
    for i in range(3):
        best = one_by_one(y[i], (2, 3, 4))
        np.testing.assert_allclose(fits.popt[i], best.popt, rtol=1e-5 if x64 else 1e-3)
    few = jg.curve_fit_many(wave, T, y, bounds, max_evals=20, progress=False)
    assert few.nfev.max() <= 18 and np.isfinite(few.fun).all()
    with pytest.raises(ValueError, match="`max_evals` must be at least 3, one for each assignment"):
        jg.curve_fit_many(wave, T, y, bounds, max_evals=2, progress=False)
    with pytest.raises(ValueError, match="at most 16 assignments"):
        jg.curve_fit_many(wave, T, y, [*BOX[:2], (1, 60)], integrality=THIRD, progress=False)
    with pytest.raises(ValueError, match="those of all data sets"):
        jg.curve_fit_many(wave, T, y, np.tile([BOX], (3, 1, 1)), integrality=THIRD, progress=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(integrality=[True]), "`integrality` must be True"),
        (dict(integrality=THIRD, p0=[1, 1, 1.5]), "`p0` must be whole"),
        (dict(integrality=THIRD, bounds=[*BOX[:2], (1.2, 1.8)]), "whole number between them"),
        (dict(integrality=THIRD, checkpoint="kept"), "`checkpoint` must be None"),
        (dict(integrality=THIRD, bounds=[*BOX[:2], (1, 60)], loss="lad"), "at most 16 assignments"),
    ],
)
def test_wrong_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        jg.curve_fit(wave, T, Y, options.pop("bounds", BOX), progress=False, **options)
