"""Largest and least entries: their slopes are JAX's where these are numbers, and numbers elsewhere too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

import jaxglobal as jg
from jaxglobal.problem import extremes

PLACES = np.random.default_rng(0).uniform(-1, 1, (10, 2))
SIZES = np.random.default_rng(1).uniform(0.01, 0.03, 10)


def nearest(x, places, sizes):
    """How far x lies outside the nearest of ten discs, squared; within, below zero."""
    return jnp.min(jnp.sum((x[None] - places) ** 2, axis=1) - sizes**2)


FUNCTIONS = {
    "all": lambda x: jnp.max(x**2 - x[::-1]),
    "rows": lambda x: jnp.sum(jnp.max(jnp.outer(x, x[:3]) + 1, axis=1) ** 2),
    "axes": lambda x: jnp.sum(jnp.min(jnp.sin(x.reshape(3, 2, 1) * x.reshape(1, 2, 3)), axis=(0, 2)) ** 3),
    "ties": lambda x: jnp.max(jnp.abs(jnp.concatenate([x, x[:2]]))) + jnp.min(jnp.array([x[0], x[0], x[1]])),
    "in a loop": lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y + jnp.max(y) * x, x)[0],
    "scanned": lambda x: jax.lax.scan(lambda c, y: (jnp.max(c * y), y), jnp.ones(()), jnp.outer(x, x))[0],
    "compiled": jax.jit(lambda x: jnp.max(x) * jnp.min(x)),
    "no entries": lambda x: jnp.max(x[:0], initial=0.0) + jnp.sum(x**2),
    "whole": lambda x: jnp.max((10 * x).astype(int)) * x[0],
    "a norm": lambda x: jnp.linalg.norm(x, jnp.inf) + jax.nn.logsumexp(x) + jax.nn.softmax(x)[1],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_slopes_are_those_of_jax(name, x64):
    fun, x = FUNCTIONS[name], jnp.asarray(np.random.default_rng(2).standard_normal(6))
    traced = jax.make_jaxpr(fun)(x)
    settled = extremes.settled(traced.jaxpr)
    got = lambda x: jaxpr_as_fun(ClosedJaxpr(settled, traced.consts))(x)[0]  # noqa: E731
    points = jnp.stack([x, -x, x.at[1].set(x[0]), jnp.ones(6)])
    modes = [lambda f: f, jax.jacfwd, lambda f: jax.jacfwd(jax.jacfwd(f))]
    modes += [] if name == "in a loop" else [jax.grad, jax.hessian]
    for mode in modes:  # each by itself: in one program, rounding decides ties
        have, want = (jax.vmap(mode(f))(points) for f in (got, fun))
        np.testing.assert_allclose(have, want, rtol=1e-10 if x64 else 1e-4, atol=1e-5)


def test_a_function_without_them_stays_as_it_is():
    traced = jax.make_jaxpr(lambda x: jax.lax.scan(lambda c, y: (c + jnp.maximum(y, 0), y), 0.0, x)[0])(jnp.ones(3))
    assert extremes.settled(traced.jaxpr) is traced.jaxpr


def ends(result):
    return {status for level in result.levels for status in level.statuses}


def test_every_search_of_a_least_distance_has_a_slope():
    result = jg.minimize(nearest, [(-1, 1)] * 2, (PLACES, SIZES), progress=False)
    assert result.success and jg.LocalStatus.NONFINITE_GRADIENT not in ends(result)
    np.testing.assert_allclose(result.fun, -(np.max(SIZES) ** 2), rtol=1e-3)


def test_a_least_distance_as_a_constraint():
    inside = jg.Constraint(nearest, -jnp.inf, 0.0)
    to = lambda x, places, sizes: jnp.sum((x - 0.3) ** 2)  # noqa: E731
    result = jg.minimize(to, [(-1, 1)] * 2, (PLACES, SIZES), constraints=inside, progress=False, max_evals=20_000)
    away = np.linalg.norm(PLACES - 0.3, axis=1) - SIZES
    assert result.success and jg.LocalStatus.NONFINITE_GRADIENT not in ends(result)
    np.testing.assert_allclose(result.fun, np.min(away) ** 2, rtol=1e-4)
