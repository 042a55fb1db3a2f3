"""How a minimiser moves does not depend on how much wider than it a box is: checked against central differences."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import X64

import jaxglobal as jg
from jaxglobal.local import balance, implicit
from jaxglobal.problem.region import Region

T = np.linspace(0, 4, 30)
Y = np.exp(-0.7 * T) + 0.01 * np.random.default_rng(0).standard_normal(30)
WIDE = 1e10 if X64 else 1e5


class Found(NamedTuple):
    x: Any
    f: Any


def decay(t, a, k):
    return a * jnp.exp(-k * t)


def costs(p, y):
    return jnp.sum((decay(T, *p) - y) ** 2)


def check_moves(place, tolerance=1e-5 if X64 else 2e-2):
    """place(s): the minimiser. Its derivative is the difference on either side, and none of it is zero."""
    h = 1e-4 if X64 else 1e-2
    apart = (place(h) - place(-h)) / (2 * h)
    np.testing.assert_allclose(jax.jacfwd(place)(0.0), apart, rtol=tolerance)
    np.testing.assert_allclose(jax.jacrev(place)(0.0), apart, rtol=tolerance)
    assert np.all(np.abs(apart) > 0.1)


@pytest.mark.long
@pytest.mark.parametrize("wide", [3.0, WIDE])
def test_a_fit_moves_with_its_data_in_a_box_far_wider_than_a_parameter(wide):
    box = [(0, wide), (0, 5)]
    check_moves(jax.jit(lambda s: jnp.stack(jg.curve_fit(decay, T, Y + s * jnp.cos(T), box, max_levels=2)[0])))


def test_a_minimiser_moves_with_the_args_in_a_box_far_wider_than_a_variable():
    """From near it: a search for it is another matter."""
    upper = jnp.array([WIDE, 5.0])
    region = Region(jnp.zeros(2), upper, upper)

    def cost(p, s):
        return costs(p, Y + s * jnp.cos(T))

    def found(s):
        x = jnp.array([1.003, 0.7067])
        return implicit.polish(lambda p: cost(p, s), x, cost(x, s), region).x

    find = implicit.differentiable(
        lambda p, leaves: cost(p, *leaves), np.zeros((2, 2), bool), lambda box, start, s: Found(found(s), 0.0 * s),
        lambda run: run,
    )  # fmt: skip
    check_moves(jax.jit(lambda s: find(jnp.stack([0 * upper, upper]), None, s).x))


def test_a_minimiser_under_constraints_moves_in_a_box_far_wider_than_a_variable():
    """The point is one of a narrow box: a search for it in the wide one is another matter."""

    def fun(v, s):
        return (v[0] - 1 - s / 2) ** 2 + (v[1] - 2 - s) ** 2 + (v[2] - v[1] * v[0]) ** 2

    row, box = jg.Constraint(lambda v, s: v[1] + v[2], 3.0, 3.0), [(0, 3), (0, 5), (-9, 9)]
    result = jg.minimize(fun, box, 0.3, constraints=row, progress=False)
    narrow, wide = (jg.derivative(result, fun, [(0, w), *box[1:]], 0.3, constraints=row).x for w in (3, WIDE))
    np.testing.assert_allclose(wide, narrow, rtol=1e-6 if X64 else 1e-3)
    assert np.all(np.abs(narrow) > 0.01)


def test_units_make_the_largest_entries_of_the_rows_about_one():
    rng = np.random.default_rng(1)
    for of_size in (np.ones(6), 10.0 ** rng.integers(-9, 9, 6)):
        J = rng.standard_normal((9, 6)) * of_size
        K = np.block([[J.T @ J, J[:2].T], [J[:2], np.zeros((2, 2))]])  # of a minimum, and under two rows
        for H in (J.T @ J, K):
            D = balance.units(H)
            rows = np.max(np.abs(D[:, None] * H * D), axis=1)
            assert np.all((rows > 0.4) & (rows < 2.5)), rows


def test_what_acts_by_rounding_alone_does_not_act():
    eps = np.finfo(float).eps
    H = np.array([[1.0, 0.1 * eps, 0], [0.1 * eps, 1e-40, 0], [0, 0, (0.1 * eps) ** 2]])
    np.testing.assert_array_equal(balance.without_slight(H), np.diag([1.0, 0, H[2, 2]]))
    np.testing.assert_array_equal(balance.units(np.zeros((2, 2))), np.ones(2))


@pytest.mark.parametrize("wide", [1e6, 1e12])
def test_variables_of_narrow_boxes_are_not_rounding_beside_one_of_a_wide_box(wide):
    def fun(x, c):
        r = x - c * jnp.array([1.0, 2.0, -1.0])
        return jnp.sum(r**2) + r[0] * r[1] / 2

    box = [(-wide, wide), (-1, 1), (-1, 1)]
    moves = jax.jacobian(jax.jit(lambda c: jg.argmin(fun, box, c, levels=3).x))(0.3)
    np.testing.assert_allclose(moves, [1, 2, -1], rtol=1e-9 if X64 else 1e-5)


@pytest.mark.parametrize("wide", [1.0, 1e3])
def test_a_variable_that_acts_by_rounding_alone_leaves_the_others_their_last_digits(wide):
    upper = jnp.array([wide, 1.2, 9.0])
    region = Region(-upper, upper, 2 * upper)

    def polished(c):
        def cost(x):
            alone = jnp.log(3 * jnp.exp(x[1] + c)) - x[1] - c
            return (x[0] - c) ** 2 + (x[2] + 2 * c - 0.3 * x[0]) ** 2 + alone

        x = jnp.array([c, 0.1, -1.7 * c]) + jnp.array([1e-5, 0.2, -1e-5])
        return implicit.polish(cost, x, cost(x), region)

    c = jnp.linspace(0.1, 0.9, 9)
    found = jax.jit(jax.vmap(polished))(c)
    np.testing.assert_allclose(found.x[:, 0], c, rtol=2e-15 if X64 else 1e-6)
    np.testing.assert_allclose(found.x[:, 2], -1.7 * c, rtol=2e-15 if X64 else 1e-6)
    assert np.all(found.singular)
