"""Limits of each of many problems, which hold in the middle of a level; and what their number costs."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal import Status
from jaxglobal.engine import counts, devices
from jaxglobal.search import many as many_problems

BOX = [(-3.0, 3.0)] * 2
LANES = 8


def wells(x, a):
    return jnp.sum((x**2 - a) ** 2 + 0.3 * x)


def many(fun=wells, args=None, **options):
    args = np.linspace(0.5, 3, 40) if args is None else args
    return jg.minimize_many(fun, BOX, args, **({"progress": False, "lanes": LANES, "starts": jg.Grid()} | options))


@pytest.fixture
def opened(monkeypatch):
    """The streams of all searches."""
    found, open_streams = [], many_problems.open_streams

    def kept(*args):
        found.append(open_streams(*args))
        return found[-1]

    monkeypatch.setattr("jaxglobal.search.many.open_streams", kept)
    return found


@pytest.mark.parametrize("starts", [jg.Grid(), jg.Sobol(first=4096)])
def test_max_evals_is_exceeded_by_at_most_a_tick_of_each_problem(starts, opened):
    results = many(max_evals=700, same=50, starts=starts)
    assert set(results.status) == {Status.MAX_EVALS} and not results.success.any()
    assert results.nfev.min() >= 700 and results.nfev.max() < 700 + LANES * devices.side_by_side()
    assert results.nfev.sum() == opened[0].spent.pairs  # with what the searches spent that were cut
    assert np.isfinite(results.fun).all() and len(set(results.nit)) == 1
    np.testing.assert_allclose(results.fun, many(starts=jg.Grid()).fun, atol=1e-3)


def test_max_evals_holds_where_problems_wait_for_a_slot(monkeypatch):
    monkeypatch.setattr("jaxglobal.search.slots.SLOTS", 8)
    monkeypatch.setattr("jaxglobal.search.slots.FEWEST_SLOTS", 8)
    results = many(max_evals=300, same=50)
    assert set(results.status) == {Status.MAX_EVALS}
    assert results.nfev.min() >= 300 and results.nfev.max() < 300 + LANES * devices.side_by_side()


@pytest.mark.long
def test_a_problem_that_has_its_target_stops_in_the_middle_of_a_level():
    a = np.linspace(0.5, 3, 12)
    best = many(args=a).fun
    target = float(np.sort(best)[5]) + 1e-3  # some reach it
    results = many(args=a, target=target, max_levels=2, starts=jg.Sobol(first=4096), lanes=4)
    reached = best < target
    assert set(results.status[reached]) == {Status.TARGET} and results.success[reached].all()
    assert set(results.status[~reached]) == {Status.MAX_LEVELS} and set(results.nstarts[~reached]) == {4097}
    assert np.all(results.fun[reached] <= target) and np.all(results.nstarts[reached] < 4097)


def test_max_evals_of_a_host_function():
    def fun(x, a):
        return float(np.sum((x**2 - a) ** 2 + 0.3 * x))

    results = many(jg.host(fun), np.linspace(0.5, 3, 5), max_evals=60, same=50)
    assert set(results.status) == {Status.MAX_EVALS} and np.isfinite(results.fun).all()
    assert results.nfev.min() >= 60 and results.nfev.max() <= 60 + LANES


@pytest.mark.parametrize("own_bounds", [False, True])
def test_another_number_of_problems_compiles_nothing(own_bounds, monkeypatch):
    def fun(x, a):
        return jnp.sum((x - a) ** 2)

    def search(count):
        box = np.array([BOX] * count) if own_bounds else BOX
        return jg.minimize_many(fun, box, np.linspace(-1, 1, count), starts=jg.Grid(), progress=False)

    def compiles(*_):
        raise AssertionError("compiled")

    search(20)
    monkeypatch.setattr("jaxglobal.engine.fused.compile_chunk", compiles)
    monkeypatch.setattr("jaxglobal.search.many_results.compiled", compiles)
    again = search(21)
    assert again.success.all()
    np.testing.assert_allclose(again.x, np.linspace(-1, 1, 21)[:, None] * np.ones(2), atol=1e-3)


def test_the_first_start_of_a_level_is_not_counted_from_the_first_level():
    asked = []

    @dataclasses.dataclass(frozen=True)
    class Single:
        def size(self, level, n):
            asked.append(level)
            return 1

        def points(self, level, first, count, n):
            return np.full((count, n), 0.1 + 0.8 / (level + 1))

        def spacing(self, level, done, n):
            return 0.5

    results = many(args=np.ones(1), starts=Single(), max_starts=18, same=100)
    assert results.nstarts.tolist() == [18] and results.status[0] is Status.MAX_STARTS
    assert len(asked) < 18 * 12


def test_more_starts_than_there_is_room_are_refused():
    ones = np.ones(2)
    assert counts.even_shares(4, ones, 0 * ones, np.array([2, 3])).tolist() in ([2, 2], [1, 3])
    with pytest.raises(ValueError, match="`count` must be at most the room of all streams; got 6 and 5"):
        counts.even_shares(6, ones, 0 * ones, np.array([2, 3]))
