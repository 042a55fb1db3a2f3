"""Linear maps and what is made of them hold what they enclose, in exact arithmetic."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import float64_only
from test_enclosures import modelled, random_boxes

from jaxglobal.proof import maps
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.maps import Matrix
from jaxglobal.proof.node import Node

pytestmark = float64_only
fractions = np.frompyfunc(lambda v: Fraction(float(v)), 1, 1)


def mapped(matrix, k):
    return Node("map", {"matrix": matrix}, (0,), (len(matrix.middle),)), Node("x", {}, (), (k,))


@pytest.mark.parametrize("seed", range(12))
def test_a_map_holds_exact_products_forward_and_back(seed):
    rng = np.random.default_rng(seed)
    m, k, batch = rng.integers(2, 7), rng.integers(1, 9), 60
    M = rng.standard_normal((m, k)) * 10.0 ** rng.integers(-9, 9, (m, k)) * (rng.random((m, k)) < 0.7)
    error = abs(M) * 1e-3 * rng.random() if seed % 3 == 0 else None
    centre = rng.standard_normal((k, batch)) * 10.0 ** rng.integers(-6, 6, (k, batch))
    half = abs(centre) * 10.0 ** rng.integers(-17, 1, (k, batch)) * (rng.random((k, batch)) < 0.8)
    X = Interval(centre - half, centre + half)
    P = np.where(rng.random((k, batch)) < 0.5, X.lo, np.where(rng.random((k, batch)) < 0.5, X.hi, centre))
    node, operand = mapped(Matrix(M, error), k)
    lo, hi = maps.forward(node, X)
    shift = 0 if error is None else fractions(error) * np.where(rng.random((m, k)) < 0.5, 1, -1)
    exact = (fractions(M) + shift) @ fractions(P)
    assert np.all((fractions(lo) <= exact) & (exact <= fractions(hi)))
    if error is None:  # as narrow as sums of products, but for their rounding
        ends = np.minimum(M[..., None] * X.lo, M[..., None] * X.hi).sum(1)
        assert np.all(ends - lo <= 1e-13 * (abs(M) @ np.maximum(abs(X.lo), abs(X.hi))) + 1e-300)
    room = abs(exact.astype(float)) * 10.0 ** rng.integers(-16, 2, (m, batch))
    z = Interval(np.nextafter(exact.astype(float), -INF) - room, np.where(rng.random((m, batch)) < 0.3, INF, hi))
    (new,) = maps.backward(node, [X], z, [operand])
    assert not np.any((new.lo > P) | (P > new.hi))  # of entries that go nowhere nothing is said


def test_a_map_narrows_as_each_row_alone_would():
    node, operand = mapped(Matrix(np.array([[2.0, -4.0, 0.0], [0.0, 1.0, 1.0]]), None), 3)
    X = Interval(np.full((3, 1), -1.0), np.full((3, 1), 1.0))
    (new,) = maps.backward(node, [X], Interval(np.array([[5.0], [-3.0]]), np.array([[9.0], [INF]])), [operand])
    assert np.allclose(new.lo[:, 0], [0.5, -2.75, -4.0]) and np.allclose(new.hi[:, 0], [6.5, -0.75, INF])
    assert maps.backward(node, [Interval(X.lo, X.hi * INF)], Interval(X.lo[:2], X.hi[:2]), [operand]) == [None]
    with np.errstate(all="ignore"):
        lo, hi = maps.forward(node, Interval(X.lo, X.hi * INF))
    assert lo[:, 0].tolist() == [-INF, pytest.approx(-2.0)] and hi[:, 0].tolist() == [INF, INF]


def test_a_map_by_a_huge_matrix_is_a_sum_of_products():
    node, operand = mapped(Matrix(np.array([[1e300, -1e300]]), None), 2)
    X = Interval(np.array([[-1e9], [0.0]]), np.array([[1.0], [1.0]]))
    with np.errstate(all="ignore"):
        lo, hi = maps.forward(node, X)
    assert lo[0, 0] == -INF and 1e300 <= hi[0, 0] < 1.1e300
    assert maps.backward(node, [X], Interval(*2 * (np.zeros((1, 1)),)), [operand]) == [None]


HUGE = {  # a function that is small somewhere, of products that are not: fun, the box, a point that is lower
    "one map": (lambda x: jnp.exp((1e300 * PAIR @ x)[0] * 1e-307), (-1e9, 3e9), [-1e7, 0.0]),
    "tanh": (lambda x: jnp.tanh((1e300 * PAIR @ x)[0] * 1e-305), (-1e9, 3e9), [-1e7, 0.0]),
    "a difference": (lambda x: jnp.tanh(1e-50 * (1e-150 * (BELOW @ x))[1]), (-1e138, 2.0), [-1e10, 0.0]),
    "a map of a map": (lambda x: jnp.tanh(1e-307 * (STEEP @ (STEEP @ x))[0]), (-1e35, 2.0), [-1e29, 0.0]),
}  # fmt: skip
PAIR = np.array([[1.0, 2.0], [1.0, -1.0]])
STEEP = 1e139 * PAIR
BELOW = np.array([[1e200, 0.0], [1e200, -1e200]])


@pytest.mark.parametrize("name", HUGE)
def test_products_that_overflow_prove_nothing(name):
    fun, (low, high), lower = HUGE[name]
    model = modelled(fun, np.full(2, low))
    X = Interval(np.full((2, 1), low), np.full((2, 1), high))
    with np.errstate(all="ignore"):
        seen = model.value(X)
        new, empty = model.narrowed(seen, float(fun(jnp.array(lower))) + 1e-9)
        G = model.slope(seen)[0]
    assert seen.f.lo[0] <= fun(jnp.array(lower)) <= seen.f.hi[0] and not np.any(empty)
    assert np.all(new.lo[:, 0] <= lower) and np.all(lower <= new.hi[:, 0])
    g = jax.grad(fun)(jnp.array(lower))
    assert not np.any((g < G.lo[:, 0]) | (g > G.hi[:, 0]))


def chained(u):
    return jnp.sum(3 * (u[1:] - u[:-1] ** 2) ** 2 + (1 - u[:-1]) ** 2)


def chained_by_hand(u):
    """The gradient and the Hessian."""
    n, zero = len(u), Fraction(0)
    g, H = np.full(n, zero), np.full((n, n), zero)
    for i in range(n - 1):
        r = u[i + 1] - u[i] ** 2
        g[i] += -12 * u[i] * r - 2 * (1 - u[i])
        g[i + 1] += 6 * r
        H[i, i] += -12 * r + 24 * u[i] ** 2 + 2
        H[i + 1, i + 1] += 6
        H[i, i + 1] -= 12 * u[i]
        H[i + 1, i] -= 12 * u[i]
    return g, H


@pytest.mark.parametrize("n", [4, 6])
def test_derivatives_of_a_rotated_function_hold_the_exact_ones(n):
    rng = np.random.default_rng(n)
    Q, shift = np.linalg.qr(rng.standard_normal((n, n)))[0], rng.integers(-8, 8, n) / 8
    model = modelled(lambda x: chained(jnp.asarray(Q) @ (x - shift)), np.full(n, -2.0))
    assert any(node.op == "map" for node in model.program.nodes)
    X, P = random_boxes(-2.0, 2.0, 40, rng, n)
    with np.errstate(all="ignore"):
        seen = model.value(X)
        G, kinked = model.slope(seen)
        H, usable = model.curvature(seen, kinked)
    assert usable.all()
    rotation = fractions(Q)
    for k in range(40):
        u = rotation @ (fractions(P[:, k]) - fractions(shift))
        g, h = chained_by_hand(u)
        g, h = rotation.T @ g, rotation.T @ h @ rotation
        assert np.all((G.lo[:, k] <= g) & (g <= G.hi[:, k]))
        assert np.all((H.lo[..., k] <= h) & (h <= H.hi[..., k]))


def test_the_second_derivatives_of_a_rotated_sum_are_narrow():
    """Where the terms see few affine values they are no wider than those in the rotated coordinates allow."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    model = modelled(lambda x: jnp.sum(jnp.cos(jnp.asarray(Q) @ x)), np.full(5, -1.0))
    X = Interval(np.full((5, 1), -1e-3), np.full((5, 1), 1e-3))
    with np.errstate(all="ignore"):
        seen = model.value(X)
        _, kinked = model.slope(seen)
        H, usable = model.curvature(seen, kinked)
    assert usable.all() and np.max(H.hi - H.lo) < 1e-5
    inner = [i for i in model.hessian_plan if model.program.nodes[i].op != "map"]
    assert all(np.prod(model.program.shape(i)) <= 5 for i in inner)  # no array of pairs of variables
