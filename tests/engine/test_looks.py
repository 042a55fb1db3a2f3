"""Values alone: the same for a point whatever stands beside it, of its own problem, and none but those wanted."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxglobal.engine import looks
from jaxglobal.engine.looks import Looks
from jaxglobal.engine.sweep import Problems
from jaxglobal.problem.region import within

N = 3
HERE = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def valley(x, args):
    return jnp.where(x[0] > 1.9, jnp.nan, jnp.sum((x - args[0]) ** 2 * jnp.cos(9 * x)))


def program(width, args, own=()):
    closed = SimpleNamespace(value=valley, programs={}, safe=lambda fun, platform: fun)
    side = np.full(N, 2.0, jnp.zeros(0).dtype)
    return looks.compiled(closed, Problems(within(-side, side, np.zeros((2, N), bool)), args), width, HERE, own=own)  # pyright: ignore


@pytest.mark.parametrize("width", [1, 5, 8, 20, 64])  # also those that no block divides
def test_each_point_has_its_value(width):
    shift, points = np.float32(0.3), np.random.default_rng(0).uniform(-2, 2, (width, N)).astype(jnp.zeros(0).dtype)
    values = program(width, [shift])
    got = np.asarray(values(points, np.int32(width), [shift]))
    want = np.array([valley(point, [shift]) for point in points])
    np.testing.assert_allclose(got, np.where(np.isnan(want), np.inf, want), rtol=1e-5)
    for count in range(1, width):
        some = np.asarray(values(points, np.int32(count), [shift]))
        assert np.array_equal(some[:count], got[:count])


def test_each_point_has_the_args_of_its_problem():
    shifts, points = np.array([0.1, -0.4, 0.7], np.float32), np.random.default_rng(1).uniform(-2, 1.8, (11, N))
    which = np.random.default_rng(2).integers(0, 3, 11)
    dtype = jnp.zeros(0).dtype
    asked = Looks([program(16, [shifts], (True,))], 16, N, dtype, several=True)
    for k, point in enumerate(points):
        asked.ask(point[None], np.array([k]), which[k])
    ended, count = asked.run(9, None, [[shifts]], slice(None), map)
    assert count == 11 and np.array_equal(ended.start, np.arange(11)) and np.array_equal(ended.problem, which)
    want = [valley(point, [shifts[k]]) for point, k in zip(points.astype(dtype), which, strict=True)]
    np.testing.assert_allclose(ended.f, want, rtol=1e-4, atol=1e-5)


def test_who_waits_hears_when_all_are_there_and_may_ask_for_more():
    shift, dtype = np.float32(0.0), jnp.zeros(0).dtype
    asked = Looks([program(8, [shift])], 8, N, dtype)
    points, heard = np.linspace(-1, 1, 10 * N).reshape(10, N), []

    def then(f):
        heard.append(f)
        asked.ask(points[:2], np.arange(10, 12))

    asked.ask(points, np.arange(10), then=then)
    first, _ = asked.run(1, None, [[shift]], slice(None), map)
    assert not asked.tell(first) and not heard
    second, _ = asked.run(1, None, [[shift]], slice(None), map)
    assert asked.tell(second) and len(asked.points) == 2
    assert np.array_equal(np.concatenate(heard), np.concatenate([first.f, second.f]))
    third, _ = asked.run(1, None, [[shift]], slice(None), map)
    assert not asked.tell(third) and np.array_equal(third.f, heard[0][:2])
    asked.ask(points, np.arange(10), then=then)
    asked.drop()
    assert not asked.tell(first) and len(heard) == 1
