"""Everything that is returned can be pickled and copied."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg

T = np.linspace(0, 4, 30)
Y = 2 * np.exp(-T) + 0.01 * np.sin(40 * T)
BOX = [(0, 5)] * 2


def decay(t, amplitude, rate):
    return amplitude * jnp.exp(-rate * t)


def of_numpy(t, amplitude, rate):
    return amplitude * np.exp(-rate * t)


def of_tree(t, p):
    return p["amplitude"] * jnp.exp(-p["rates"][0] * t)


def square(x, a):
    return jnp.sum((x - a) ** 2)


def through(value, how):
    return pickle.loads(pickle.dumps(value)) if how == "pickle" else getattr(copy, how)(value)


HOWS = ["pickle", "copy", "deepcopy"]


@pytest.fixture(scope="module")
def outcomes():
    found = jg.minimize(square, [(-1, 1)], 0.5, max_levels=2, progress=False)
    many = jg.minimize_many(square, [(-1, 1)], jnp.array([0.1, 0.2]), max_levels=2, progress=False)
    host = jg.minimize(jg.host(lambda x: float(x[0] ** 2)), [(-1, 1)], max_levels=1, progress=False)
    fits = jg.curve_fit_many(decay, T, Y[None], BOX, progress=False)
    moves = jg.derivative(found, square, [(-1, 1)], 0.5)
    argmin = jg.argmin(square, [(-1, 1)], 0.5, levels=1)
    return [found, found.levels[0], found.minima[0], host, many, many[0], fits, moves, argmin]


@pytest.mark.parametrize("how", HOWS)
def test_results(outcomes, how):
    for outcome in outcomes:
        again = through(outcome, how)
        assert type(again) is type(outcome) and repr(again) == repr(outcome)
        if hasattr(outcome, "_repr_html_"):
            assert again._repr_html_() == outcome._repr_html_()


def same_fit(fit, again, at_data_alone=False):
    np.testing.assert_array_equal(again.pcov, fit.pcov)
    assert jax.tree.all(jax.tree.map(np.array_equal, again.popt, fit.popt))
    assert again.names == fit.names and again.success == fit.success and len(again.fits) == len(fit.fits)
    assert repr(again) == repr(fit) and again._repr_html_() == fit._repr_html_()
    assert again.fits[0].count == fit.fits[0].count
    np.testing.assert_array_equal(again.predict().lower, fit.predict().lower)
    if not at_data_alone:
        elsewhere = np.array([0.5, 1.5])
        np.testing.assert_allclose(again.predict(elsewhere).error, fit.predict(elsewhere).error, rtol=1e-4)
        assert again.on_grid(elsewhere)


@pytest.mark.long
@pytest.mark.parametrize("how", HOWS)
def test_fits(how):
    tree = jg.Box({"amplitude": 0.0, "rates": np.zeros(1)}, {"amplitude": 5.0, "rates": np.full(1, 5.0)})
    for model, box in ((decay, BOX), (of_tree, tree)):
        fit = jg.curve_fit(model, T, Y, box, loss="huber", progress=False)
        again = through(fit, how)
        same_fit(fit, again)
        np.testing.assert_allclose(
            *(jax.tree.leaves(one.derivative().x)[1] for one in (fit, again)), rtol=1e-3, atol=1e-5
        )
        same_fit(fit, through(again, how))
    host = jg.curve_fit(jg.host(of_numpy), T, Y, BOX, max_levels=1, progress=False)
    same_fit(host, through(host, how))
    assert host.names == ["amplitude", "rate"]


def test_a_model_that_cannot_be_pickled():
    fit = jg.curve_fit(lambda t, a, k: decay(t, a, k), T, Y, BOX, progress=False)
    same_fit(fit, copy.copy(fit))
    same_fit(fit, copy.deepcopy(fit))
    again = through(fit, "pickle")
    same_fit(fit, again, at_data_alone=True)
    assert not again.on_grid(T)
    for call in (lambda: again.predict(T), again.derivative):
        with pytest.raises(ValueError, match="`model` must be a function of a module") as caught:
            call()
        assert "\n" not in str(caught.value)
    assert again.data.y.shape == T.shape
    same_fit(fit, through(again, "pickle"), at_data_alone=True)
