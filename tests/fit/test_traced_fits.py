"""Fits inside jit, whose starts are fixed: points that are screened find what these miss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg

T = np.linspace(0.1, 4, 40)


def sine(t, a, w, p):
    return a * jnp.sin(w * t + p)


@pytest.mark.long
@pytest.mark.parametrize("box_is_traced", [True, False])
def test_no_sine_ends_above_the_truth(box_is_traced):
    """Whose cost is at least the lowest there is; of the starts of three levels alone one in thirty ends above it."""
    rng, box = np.random.default_rng(0), np.array([(0.0, 5.0), (0.2, 25.0), (-2.0, 2.0)])
    true = rng.uniform([0.5, 0.5, -1], [3, 20, 1], (40, 3))
    errors = 0.05 * rng.standard_normal((40, len(T)))
    ys = np.stack([np.asarray(sine(T, *p)) for p in true]) + errors
    if box_is_traced:
        fun = jax.jit(lambda ys, box: jax.lax.map(lambda y: jg.curve_fit(sine, T, y, box, progress=False).fun, ys))
        costs = fun(ys, jnp.asarray(box))
    else:
        costs = jax.jit(lambda ys: jax.lax.map(lambda y: jg.curve_fit(sine, T, y, box, progress=False).fun, ys))(ys)
    assert np.all(np.asarray(costs) <= np.sum(errors**2, axis=1) * 1.0001), costs / np.sum(errors**2, axis=1)


def test_one_level_or_linear_parameters_alone_need_no_screening():
    y = 2 * np.exp(-T) + 1
    fit = jax.jit(lambda y: jg.curve_fit(lambda t, a, c: a * jnp.exp(-t) + c, T, y, [(0, 5)] * 2, progress=False).popt)
    np.testing.assert_allclose(fit(y), [2, 1], rtol=1e-4)
    decay = lambda t, a, k: a * jnp.exp(-k * t)  # noqa: E731
    one = jax.jit(lambda y: jg.curve_fit(decay, T, y, [(0, 5)] * 2, max_levels=1, progress=False).popt)
    np.testing.assert_allclose(one(2 * np.exp(-T)), [2, 1], rtol=1e-4)
