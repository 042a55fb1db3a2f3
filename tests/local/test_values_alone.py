"""A value that is returned is that of one point alone, to the last bit, where programs of many round otherwise."""

import dataclasses
import math
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxglobal as jg
from jaxglobal.engine import sweep
from jaxglobal.evidence import minima
from jaxglobal.problem import objective
from jaxglobal.problem.region import Region
from jaxglobal.search import finish, incumbent, polish_many


def test_small_values_beside_an_infinite_slope_are_those_of_their_points(x64):
    """What rounding moves is much beside a value of 1e-5, though little beside 1; in the last level told, too."""

    def fun(x, a):
        return 1e-3 * (jnp.sqrt(jnp.abs(a * x[0] - 0.8216 * x[1])) + 0.1 * jnp.linalg.norm(x - 1.3) + 0.05 * x[0] ** 2)

    a = np.asarray(0.7, np.float64 if x64 else np.float32)
    search = jg.levels(fun, [(-3, 3)] * 2, (a,), max_evals=1500, progress=False)
    last, alone = list(search)[-1], jax.jit(fun)
    assert search.result.fun == float(alone(search.result.x, a)) == search.result.minima[0].fun
    assert last.fun == float(alone(last.x, a)) == search.result.fun


def test_values_alone_count_to_the_last_bit():
    """However small they are. The last level is what was found; one whose point has no value alone gives way."""
    problem, _ = objective.check(lambda x: jnp.sum(x), [(0, 1)] * 2, (), None, False, False)
    x = np.array([[0.1, 0.1], [0.5, 0.5]])
    ended = minima.Ended(x, np.array([1e-15, 3e-15]), *np.array([[0, 1], [1, 1], [9, 9], [0, 0]]))
    news = incumbent.news(ended, np.ones(2, bool), incumbent.nothing(problem), problem, 0.0)
    before = incumbent.collect(incumbent.nothing(problem), news)
    told = incumbent.confirmed(before, before, lambda x: 4e-15 if x[0] < 0.2 else 2e-15, 0.0)
    assert told.f == 2e-15 and told.x[0] == 0.5 and sorted(told.archive.f) == [2e-15, 4e-15]
    (level,) = jg.minimize(jnp.sum, [(0, 1)] * 2, max_levels=1, progress=False).levels
    levels = [dataclasses.replace(level, x=x[0], fun=f) for f in (1e-15, 1e-16, 5e-15)]
    state: Any = types.SimpleNamespace(problem=problem, found=told, levels=levels)
    for alone in (math.nan, 1e-15):
        records = finish._records(state, lambda x, alone=alone: alone)
        assert [level.fun for level in records] == [2e-15] * 3
        assert np.array_equal(records[-1].x, x[1]) and (math.isfinite(alone) or np.array_equal(records[0].x, x[1]))


def test_many_keep_a_value_that_the_program_of_the_polish_does_not_have(x64):
    """At the edge of where a function is defined another program may round to the side where it is not."""

    @jax.custom_jvp
    def fun(x):
        return jnp.sum(x**2) + jnp.floor(x[0])

    @fun.defjvp
    def of_slope(primals, tangents):
        return jnp.nan * primals[0][0], 2 * primals[0] @ tangents[0]

    x = jnp.asarray([[0.5, 0.5], [0.25, 0.5]])
    f = jax.vmap(fun)(x)
    width = jnp.ones_like(x[0])
    problems = sweep.Problems(Region(0 * width, width, width), [])
    told = polish_many.polish_all(lambda x, _: fun(x), x, f, problems, (False,) * 3, True)
    np.testing.assert_array_equal(told.f, f)
    np.testing.assert_array_equal(told.x, x)
