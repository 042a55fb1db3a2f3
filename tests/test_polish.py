"""The last digits of the best few minima: in float64 after a search in float32, counted, and never after a limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import check_counts

import jaxglobal as jg
from jaxglobal import polish, programs
from jaxglobal.descent import Region

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
    known = set(programs._known)
    again = jg.minimize(fun, FLOAT32, (1.5,), progress=False)
    assert traces == 2 * [jnp.float32, jnp.float64] and set(programs._known) == known
    assert again.nfev > 0 and first.success
    if x64:  # a search in float64 has one trace
        traces.clear()
        jg.minimize(make(traces), [(-3, 3.5)] * 2, (1.0,), progress=False)
        assert traces == [jnp.float64]


@pytest.mark.parametrize("limit", [{"max_evals": 400}, {"target": 1.2}, {"max_time": 1e-9}], ids=str)
def test_not_after_a_limit(limit, monkeypatch):
    made = []
    monkeypatch.setattr("jaxglobal.precise.compiled", lambda *args: made.append(args))
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
