"""Bounds as SciPy's curve_fit has them, and starts of whole numbers."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import Bounds

import jaxglobal as jg
from jaxglobal.problem.bounds import read_bounds


def read(bounds, x0=None):
    _, low, high = read_bounds(bounds, x0)
    return low.tolist(), high.tolist()


@pytest.mark.parametrize(
    ("bounds", "low", "high"),
    [
        (([0, 0], [10, 10]), [0, 0], [10, 10]),
        ((np.zeros(3), np.ones(3)), [0, 0, 0], [1, 1, 1]),
        (([0], [10]), [0], [10]),
        ((0, [10, 20]), [0, 0], [10, 20]),
        (([-2, -1, 0], 5.0), [-2, -1, 0], [5, 5, 5]),
        (((0, 0, 0), (1, 2, 3)), [0, 0, 0], [1, 2, 3]),
        (((0, 1), (2, 3)), [0, 2], [1, 3]),
        (([0, 1], [0, 1]), [0, 0], [1, 1]),
        (([5, 6], [3, 7]), [5, 3], [6, 7]),
        (([7, 0], [8, 1]), [7, 0], [8, 1]),
        ([[0, 1], [2, 3]], [0, 2], [1, 3]),
        ([(0, 1), (2, 3)], [0, 2], [1, 3]),
        (np.array([[0, 1], [2, 3]]), [0, 2], [1, 3]),
        (Bounds([0, 1], [2, 3]), [0, 1], [2, 3]),
    ],
    ids=str,
)
def test_which_numbers_belong_together(bounds, low, high):
    assert read(bounds) == (low, high)


def decay(t, a, k):
    return a * jnp.exp(-k * t)


def test_both_readings_are_refused_wherever_bounds_are_read():
    t = np.linspace(0, 4, 9)
    twice = ([0, 1], [2, 3])
    for call in (
        lambda: jg.minimize(jnp.sum, twice),
        lambda: jg.argmin(jnp.sum, twice),
        lambda: jax.jit(lambda a: jg.argmin(jnp.sum, (jnp.zeros(2), a)).x)(jnp.ones(2)),
        lambda: jg.minimize_many(lambda x, a: a * jnp.sum(x), twice, jnp.ones(2)),
        lambda: jg.minimize_many(lambda x, a: a * jnp.sum(x), (np.zeros((2, 2)), np.ones((2, 2))), jnp.ones(2)),
        lambda: jg.Search(twice),
        lambda: jg.curve_fit(decay, t, np.exp(-t), twice),
        lambda: jg.curve_fit_many(decay, t, np.exp(-t)[None], twice),
    ):
        with pytest.raises(ValueError, match=re.escape("read both ways: give a")) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_lows_and_highs_wherever_bounds_are_read():
    t = np.linspace(0, 4, 9)
    sides = ([0, 0], [10, 10])
    assert jg.curve_fit(decay, t, 2 * np.exp(-t), sides, progress=False).popt == pytest.approx([2, 1], rel=1e-3)
    many = jg.curve_fit_many(decay, t, 2 * np.exp(-t)[None], sides, progress=False)
    assert many.popt[0] == pytest.approx([2, 1], rel=1e-3)
    assert jg.Search(sides).ask().shape == (2,)

    def fun(x, a):
        return jnp.sum((x - a) ** 2)

    a = jnp.array([1.0, 3.0, 4.0])
    shared = jg.minimize_many(fun, sides, a, progress=False)
    np.testing.assert_allclose(shared.x, np.stack([a, a], 1), atol=1e-3)
    each = (np.zeros((3, 2)), np.full((3, 2), 2.0))
    np.testing.assert_allclose(
        jg.minimize_many(fun, each, a, progress=False).x, np.minimum(np.stack([a, a], 1), 2), atol=1e-3
    )
    traced = jax.jit(lambda high: jg.argmin(lambda x: jnp.sum((x - 3) ** 2), ([0.0], high)).x)(jnp.ones(1))
    np.testing.assert_allclose(traced, 1)


@pytest.mark.long
def test_starts_of_whole_numbers_and_a_number_for_one_variable():
    t, wide = np.linspace(0, 4, 9), [(-9, 9)]

    def square(x, a=2.0):
        return jnp.sum((x - a) ** 2)

    for x0 in (7, 7.0, np.array([7]), np.int32(7), jnp.array(7), [7]):
        assert jg.minimize(square, wide, x0=x0, max_levels=1, progress=False).x == pytest.approx([2], abs=1e-3)
        assert jg.Search(wide, x0=x0).ask() == pytest.approx([7])
    assert jg.argmin(square, wide, x0=np.array([3]), levels=1).x == pytest.approx([2], abs=1e-3)
    assert jg.minimize(square, [(-3, 3)] * 2, x0=np.array([[0, 1], [2, 2]]), progress=False).fun < 1e-6
    assert jg.curve_fit(decay, t, 2 * np.exp(-t), [(0, 5)] * 2, p0=np.array([1, 2]), progress=False).fun < 1e-6
    assert jg.curve_fit(lambda t, k: jnp.exp(-k * t), t, np.exp(-t), [(0, 5)], p0=2, progress=False).fun < 1e-6
    a = jnp.array([1.0, 2.0])
    for x0 in (np.array([1, 2]), [[1], [2]], np.array([[1], [2]])):
        many = jg.minimize_many(square, wide, a, x0=x0, max_levels=1, progress=False)
        np.testing.assert_allclose(many.x[:, 0], a, atol=1e-3)
    fits = jg.curve_fit_many(
        lambda t, k: jnp.exp(-k * t), t, np.exp(-np.outer([1, 2], t)), [(0, 5)], p0=[1, 2], progress=False
    )
    np.testing.assert_allclose(fits.popt[:, 0], a, atol=1e-3)


@pytest.mark.parametrize("x0", [np.array([True]), np.array([1j]), [[1.0, 2.0], [3.0]], "one"], ids=str)
def test_starts_that_are_no_numbers(x0):
    for call in (
        lambda: jg.minimize(jnp.sum, [(-9, 9)], x0=x0),
        lambda: jg.minimize_many(lambda x, a: a * jnp.sum(x), [(-9, 9)], jnp.ones(1), x0=x0),
    ):
        with pytest.raises((TypeError, ValueError), match="`x0` must"):
            call()
