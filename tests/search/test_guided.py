"""minimize_many with starts that learn: each problem as `minimize` searches it, whatever shares its lanes."""

import signal
import threading

import jax.numpy as jnp
import numpy as np
import pytest
from checks import precision

import jaxglobal as jg
from jaxglobal import Status
from jaxglobal.api import minimize_many
from jaxglobal.engine.streams import Streams

BOX = [(-4.0, 5.0)] * 2
CENTRES = np.random.default_rng(3).uniform(-2, 2, (6, 2))
LEARNS = jg.Adaptive(jg.Grid())


def rastrigin(x, centre):
    return jnp.sum((x - centre) ** 2 - 10 * jnp.cos(2 * jnp.pi * (x - centre)) + 10)


def many(fun=rastrigin, args=CENTRES, bounds=BOX, **options):
    return jg.minimize_many(fun, bounds, args, **({"progress": False, "starts": LEARNS} | options))


@pytest.mark.long
def test_few_problems_learn_by_default_and_many_where_they_are_dear_or_have_a_limit(monkeypatch):
    crowd = np.tile(CENTRES, (30, 1))
    assert np.array_equal(many(starts="auto").nfev, many().nfev)
    # Each as by itself, also those for whose starts the queues had no room at first.
    limited = many(args=crowd, starts="auto", max_levels=2)
    assert np.array_equal(limited.nfev, np.tile(many(max_levels=2).nfev, 30)) and set(limited.nstarts) == {5}
    monkeypatch.setattr(minimize_many, "FEW", 2)
    assert not np.array_equal(many(starts="auto").nfev, many().nfev)
    monkeypatch.setattr(minimize_many, "DEAR", 0.0)
    assert np.array_equal(many(starts="auto").nfev, many().nfev)


@pytest.mark.long
def test_each_problem_is_searched_as_by_itself():
    results = many()
    alone = [jg.minimize(rastrigin, BOX, centre, starts=LEARNS, progress=False) for centre in CENTRES]
    ftol, xtol = precision()
    assert set(results.status) == {Status.SAME} and results.success.all() and results.fun.max() < ftol * 10
    np.testing.assert_allclose(results.x, CENTRES, atol=9 * xtol)
    evaluations = [result.nfev for result in alone]
    assert abs(int(np.sum(results.nfev)) - sum(evaluations)) < 0.2 * sum(evaluations)


@pytest.mark.long
def test_it_does_not_matter_what_shares_the_lanes(monkeypatch):
    whole = many(lanes=16)
    backwards = many(args=CENTRES[::-1], lanes=16)
    monkeypatch.setattr("jaxglobal.search.slots.SLOTS", 2)
    monkeypatch.setattr("jaxglobal.search.slots.FEWEST_SLOTS", 2)
    two_at_a_time = many(lanes=16)
    for other, order in ((backwards, slice(None, None, -1)), (two_at_a_time, slice(None))):
        for field in ("x", "fun", "nfev", "nstarts", "nit"):
            assert np.array_equal(getattr(whole, field), getattr(other, field)[order]), field


@pytest.mark.parametrize("limit", [7, 300, 900])
def test_the_evaluations_of_each_problem_are_limited(limit):
    results = many(max_evals=limit, lanes=8)
    assert set(results.status) == {Status.MAX_EVALS} and not results.success.any()
    assert results.nfev.min() >= limit and results.nfev.max() <= limit + 16 and np.isfinite(results.fun).all()


def test_other_limits():
    target = many(target=1e-2)
    assert set(target.status) == {Status.TARGET} and target.success.all() and target.nfev.max() < many().nfev.min()
    starts = many(max_starts=20)
    assert set(starts.status) == {Status.MAX_STARTS} and set(starts.nstarts) == {20}
    levels = many(max_levels=2)
    assert set(levels.status) == {Status.MAX_LEVELS} and set(levels.nit) == {2}
    same = many(lambda x, a: jnp.sum((x - a) ** 2), same=4)
    assert set(same.status) == {Status.SAME} and set(same.nit) == {4}


@pytest.mark.long
def test_ctrl_c_keeps_what_has_been_found():
    args = np.tile(CENTRES, (200, 1))
    many(args=args, max_levels=1)
    timer = threading.Timer(1.0, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    results = many(args=args)
    timer.join()
    assert Status.INTERRUPTED in results.status and np.isfinite(results.fun).any() and results.time < 10
    assert not results.success[results.status == Status.INTERRUPTED].any()


def test_bounds_of_each_and_a_guess_of_each_and_parameters_that_are_fixed():
    boxes = np.stack([CENTRES - 1.7, CENTRES + 2.9], axis=2)
    boxes = np.concatenate([boxes, np.full((6, 1, 2), 0.25)], axis=1)
    fun = lambda x, centre: rastrigin(x[:2], centre) + x[2]  # noqa: E731
    results = many(fun, bounds=boxes, x0=boxes[:, :, 0])
    np.testing.assert_allclose(results.fun, 0.25, atol=10 * precision()[0])
    np.testing.assert_allclose(results.x[:, :2], CENTRES, atol=9 * precision()[1])
    assert np.all(results.x[:, 2] == 0.25)


def test_problems_without_a_value_or_with_a_small_feasible_region():
    def fun(x, a):
        return jnp.where(jnp.sum((x - 1) ** 2) < a, jnp.sum((x - 1) ** 2), jnp.nan)

    results = many(fun, np.array([-1.0, 0.2**2, 10.0]))
    assert results.status[0] is Status.NO_FINITE_VALUE and np.isnan(results.fun[0]) and not results.success[0]
    assert results.success[1:].all() and np.all(results.fun[1:] < 10 * precision()[0])


SUM = jg.Constraint(lambda x, centre: x[0] + x[1], -1.0, 3.0)


def holed(x, centre):
    """Without a value in many parts of the box."""
    return jnp.where(jnp.sin(7 * x[1]) + x[0] > 0.4, jnp.nan, rastrigin(x, centre))


@pytest.mark.parametrize(
    "limit",
    [
        {},
        {"max_evals": 700},
        {"target": 1.5},
        {"max_levels": 3},
        pytest.param({"constraints": SUM}, marks=pytest.mark.long),
    ],
)
def test_the_answer_is_that_of_one_generation_a_turn(monkeypatch, limit):
    """Values that are heard as soon as they are there, or when the loop has its turn."""

    fun = holed if "constraints" in limit else rastrigin

    def searches():
        alone = jg.minimize(fun, BOX, CENTRES[0], progress=False, **limit)
        results = many(fun, CENTRES[:3], lanes=16, **limit)
        return alone.x, alone.fun, alone.nfev, alone.nstarts, results.x, results.fun, results.nfev, results.nstarts

    at_once, look = searches(), Streams.look
    heard = []

    def in_turn(self, points, number, problem=0, then=None):
        heard.append(then)
        look(self, points, number, problem)

    monkeypatch.setattr(Streams, "look", in_turn)
    for one, other in zip(at_once, searches(), strict=True):
        assert np.array_equal(one, other)
    assert any(heard)
