"""The last digits of the best few minima: in float64 after a search in float32, counted, never after a limit.

And never for a higher value: what is returned is a point that was evaluated, with its value.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import check_counts

import jaxglobal as jg
from jaxglobal.evidence import minima
from jaxglobal.local import polish
from jaxglobal.problem import objective, programs
from jaxglobal.problem.jumps import may_jump
from jaxglobal.problem.region import Region
from jaxglobal.search import incumbent

FLOAT32 = jg.Box(np.full(2, -3, np.float32), np.full(2, 3.5, np.float32))


def make(traces=None):
    """Four minima, whose values differ by less than float32 resolves at this height."""

    def fun(x, a):
        if traces is not None:
            traces.append(x.dtype)
        return a + jnp.sum((x**2 - 2) ** 2) + 1e-7 * x[0] + 3e-7 * x[1]

    return fun


def test_digits_beyond_float32():
    result = jg.minimize(make(), FLOAT32, (1.0,), progress=False)
    assert result.x.dtype == result.jac.dtype == np.float32
    exact = -np.sqrt(2) * np.ones(2)
    # The nearest float32 numbers, in the lowest of the four minima, which float32 values cannot tell apart.
    np.testing.assert_array_equal(result.x, exact.astype(np.float32))
    assert np.float32(result.fun) == result.fun == np.float32(1 - 4e-7 * np.sqrt(2))
    check_counts(result)
    for minimum in result.minima[:4]:
        np.testing.assert_array_equal(np.abs(minimum.x), np.abs(exact).astype(np.float32))


def test_one_more_trace_and_no_program_later(x64):
    traces = []
    fun = make(traces)
    first = jg.minimize(fun, FLOAT32, (1.0,), progress=False)
    assert traces == [jnp.float32, jnp.float64]  # before the search, so that both are of the same function
    known = set(programs._kept)
    again = jg.minimize(fun, FLOAT32, (1.5,), progress=False)
    assert traces == 2 * [jnp.float32, jnp.float64] and set(programs._kept) == known
    assert again.nfev > 0 and first.success
    if x64:  # a search in float64 has one trace
        traces.clear()
        jg.minimize(make(traces), [(-3, 3.5)] * 2, (1.0,), progress=False)
        assert traces == [jnp.float64]


def disc(x):
    return jnp.where(jnp.sum(x**2) > 1, 1e6, (x[0] - 2) ** 2 + (x[1] - 1) ** 2)


def half(x):
    return jnp.where(jnp.sum(x) > 1, 1e6, (x[0] - 2) ** 2 + (x[1] - 1) ** 2)


def step(x):
    near = jnp.sum((x - 0.7) ** 2)
    return jnp.where(x[0] > 0.7, near, 0.5 + 0.1 * near)


def comb(x):
    return jnp.sum((x - 0.9) ** 2) + jnp.where(jnp.sum(jnp.sin(5 * x)) > 0, 0, 1)


def cone(x):
    return jnp.linalg.norm(x - 0.3)


def terraces(x):
    return jnp.floor(3 * jnp.sum(jnp.abs(x - 0.3))) + 0.01 * jnp.sum(x**2)


def outside(x):
    return jnp.where(x[0] + 2 * x[1] > 0.3, jnp.nan, jnp.sum((x - 1) ** 2) + 100)


def penalised(x):
    return jnp.sum((x - 1) ** 2) + 1e4 * jnp.maximum(0, x[0] + 2 * x[1] - 0.3)


LOWEST = {disc: 6 - 2 * 5**0.5, half: 2.0, step: 0.0, cone: 0.0, outside: 101.458, penalised: 1.458}
KINKED = [disc, half, step, comb, cone, terraces, outside, penalised]


def check_value(fun, x, f, dtype):
    alone = float(jax.jit(fun)(np.asarray(x, dtype)))
    assert abs(alone - f) <= 64 * np.finfo(dtype).eps * (1 + abs(alone))
    if fun in LOWEST:
        assert f <= LOWEST[fun] + 1e-2 * (1 + LOWEST[fun])


@pytest.mark.parametrize("fun", KINKED)
def test_what_is_returned_belongs_together(fun, x64):
    """A point that was evaluated, its value, and none of a level below it."""
    dtype = np.dtype(np.float64 if x64 else np.float32)
    result = jg.minimize(fun, [(-3, 3)] * 2, progress=False)
    check_value(fun, result.x, result.fun, dtype)
    assert result.fun <= min(level.fun for level in result.levels)
    assert result.minima[0].fun == result.fun and np.array_equal(result.minima[0].x, result.x)
    for minimum in result.minima[:10]:
        alone = float(jax.jit(fun)(minimum.x))
        assert abs(alone - minimum.fun) <= 64 * np.finfo(dtype).eps * (1 + abs(alone))


@pytest.mark.parametrize("slope", [0.345584, 0.64])
def test_a_value_beside_an_infinite_slope_is_that_of_its_point(slope):
    def fun(x):
        return jnp.sqrt(jnp.abs(slope * x[0] - 0.8216)) + 0.05 * x[0] ** 2

    result = jg.minimize(fun, [(-3, 3)], progress=False)
    assert result.success and result.fun == float(jax.jit(fun)(result.x)) == result.minima[0].fun


@pytest.mark.parametrize("second", [(0.5, 0.5), jg.Choice([0.25, 0.5, 7.0])], ids=["held", "choice"])
def test_no_level_and_no_step_is_lower_than_the_answer(second):
    """Beside an infinite slope, lanes round to lower values than a point has alone."""

    def fun(x):
        steep = jnp.sqrt(jnp.abs(0.125730 * x[0] - 0.132105)) + 0.05 * x[0] ** 2 + 0.1 * jnp.sign(x[0] - 2)
        return steep + (x[1] - 0.5) ** 2

    search = jg.levels(fun, [(-3, 3), second], progress=False)
    told = list(search)
    result = search.result
    assert result.fun == float(jax.jit(fun)(result.levels[-1].x)) == result.levels[-1].fun
    assert result.fun == float(jax.jit(fun)(result.x)) and result.success
    assert result.fun <= min(level.fun for level in result.levels) and result.fun <= told[-1].fun
    assert result.fun == min(step.fun for step in result.history)


@pytest.mark.slow
@pytest.mark.parametrize("fun", KINKED)
def test_it_does_for_many_and_traced(fun, x64):
    dtype = np.dtype(np.float64 if x64 else np.float32)
    best = jax.jit(lambda: jg.argmin(fun, [(-3, 3)] * 2))()
    check_value(fun, best.x, float(best.fun), dtype)
    many = jg.minimize_many(lambda x, a: fun(x) + a, [(-3, 3)] * 2, np.zeros(3, dtype), progress=False)
    for x, f in zip(many.x, many.fun, strict=True):
        check_value(fun, x, f, dtype)


@pytest.mark.parametrize(
    "fun, jumps",
    [
        (disc, True), (step, True), (terraces, True), (lambda x: x[jnp.argsort(x)[0]], True),
        (lambda x: jnp.round(x).sum(), True), (lambda x: jnp.sum(x.astype(int) * 1.0), True),
        (lambda x: jnp.sum(x**2), False), (cone, False), (penalised, False), (lambda x: jnp.sort(x)[0], False),
        (lambda x: jnp.max(jnp.abs(x[::-1])), False),
    ],
)  # fmt: skip
def test_which_functions_may_jump(fun, jumps):
    assert may_jump(jax.make_jaxpr(fun)(jnp.ones(2)).jaxpr) is jumps


def test_another_value_alone_is_not_believed():
    """The next best is taken, and what is listed has the values that it has alone."""
    problem, _ = objective.check(lambda x: jnp.sum(x), [(0, 1)] * 2, (), None, False, False)
    x = np.array([[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]])
    ended = minima.Ended(x, np.array([1.0, 2.0, 3.0]), *np.array([[0, 1, 2], [1, 1, 1], [9, 9, 9], [0, 0, 0]]))
    news = incumbent.news(ended, np.ones(3, bool), incumbent.nothing(problem), problem, 0.0)
    before = incumbent.collect(incumbent.nothing(problem), news)
    alone = {0.1: 5.0, 0.5: 2.0, 0.9: np.nan}
    told = incumbent.confirmed(before, before, lambda x: alone.get(float(np.round(x[0], 6)), np.nan), 0.0)
    assert told.f == 2 and told.x[0] == 0.5 and told.start == 1
    assert sorted(told.archive.f) == [2, 5]
    alone = {0.1: 1.0, 0.5: 2.0, 0.9: 3.0}
    same = incumbent.confirmed(before, before, lambda x: alone[float(np.round(x[0], 6))], 0.0)
    assert same is before
    for whole in (False, np.array([True, False])):  # and as near to the lost best as its side of the jump goes
        near = incumbent.confirmed(before, before, lambda x: 5.0 if x[0] < 0.2 else 10 * x[0] ** 2 - 0.5, 0.0, whole)
        np.testing.assert_allclose(near.x, 0.5 if np.any(whole) else 0.2, rtol=1e-6)
        assert near.f == 10 * near.x[0] ** 2 - 0.5 and near.f == np.min(near.archive.f)


@pytest.mark.parametrize("limit", [{"max_evals": 400}, {"target": 1.2}, {"max_time": 1e-9}], ids=str)
def test_not_after_a_limit(limit, monkeypatch):
    made = []
    monkeypatch.setattr("jaxglobal.engine.precise.compiled", lambda *args: made.append(args))
    result = jg.minimize(make(), FLOAT32, (1.0,), progress=False, **limit)
    assert not made
    assert result.status in (jg.Status.MAX_EVALS, jg.Status.TARGET, jg.Status.MAX_TIME)


def test_it_counts_and_keeps_to_the_limit():
    result = jg.minimize(make(), FLOAT32, (1.0,), max_levels=4, same=9, progress=False)
    levels = sum(level.nfev for level in result.levels)
    assert levels < result.nfev <= 1.1 * levels + 1
    tight = jg.minimize(make(), FLOAT32, (1.0,), max_levels=4, same=9, max_evals=levels + 10, progress=False)
    assert tight.nfev <= levels + 10


def test_a_function_that_is_float32_alone_is_polished_there():
    def fun(x):
        return jax.lax.fori_loop(0, 2, lambda _, carry: carry + jnp.sum((x - 0.3) ** 2), np.float32(0))

    result = jg.minimize(fun, FLOAT32, progress=False)
    np.testing.assert_allclose(result.x, 0.3, atol=1e-3)
    check_counts(result)


@pytest.mark.parametrize("constraints", [None, jg.Constraint(jnp.sum, lower=-5.0, upper=5.0)], ids=["none", "one"])
def test_a_function_that_keeps_an_array_of_its_first_trace_is_polished_there(constraints):
    """A second trace, in float64, would have that of the first; a second call is told why it cannot be made."""
    kept = []

    def fun(x):
        if not kept:
            kept.append(jnp.arange(2.0, dtype=np.float32) / 4)
        return jnp.sum((x - kept[0]) ** 2)

    result = jg.minimize(fun, FLOAT32, constraints=constraints, progress=False)
    np.testing.assert_allclose(result.x, [0, 0.25], atol=1e-3)
    with pytest.raises(TypeError, match="keep no array that jax.numpy has made inside fun"):
        jg.minimize(fun, FLOAT32, progress=False)


def test_side_by_side_equals_one_by_one(x64):
    """In a corner, on a face, inside, on a ridge and far from a minimum: each asks for as much as it needs."""
    dtype = np.dtype(np.float64 if x64 else np.float32)
    values_and_gradients = jax.jit(jax.vmap(jax.value_and_grad(lambda x: jnp.sum(jnp.cos(3 * x) + 0.3 * x))))
    asked = []

    def evaluate(points):
        asked.append(len(points))
        padded = np.concatenate([points, np.zeros((64 - len(points), 2), dtype)])  # one program for any number
        return tuple(np.asarray(part)[: len(points)] for part in values_and_gradients(padded))

    region = Region(*(np.full(2, side, dtype) for side in (-2.0, 2.0, 4.0)))
    points = np.array([[-2.0, -2.0], [-1.09, 2.0], [-1.09, 1.0], [0.0, 0.0], [0.5, -0.5]], dtype)
    together = polish.side_by_side(evaluate, points, region)
    calls = len(asked)
    alone = [polish.side_by_side(evaluate, point[None], region)[0] for point in points]
    for one, other in zip(together, alone, strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)
    each = len(asked) - calls
    assert calls < each and sum(asked[:calls]) == sum(asked[calls:])
    assert polish.side_by_side(evaluate, points[:0], region) == []
