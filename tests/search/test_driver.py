"""minimize and levels: stopping rules alone and together, each in the middle of a level too; traces; determinism."""

import gc
import os
import signal
import threading
import time
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import check_counts, check_minimum
from drivers import BOX, endless, rastrigin

import jaxglobal as jg
from jaxglobal.problem import programs
from jaxglobal.status import LocalStatus


def test_same_counts_the_first_of_the_equal_levels():
    result = jg.minimize(lambda x: jnp.sum((x - 0.3) ** 2), [(-1, 1)], same=3, progress=False)
    assert result.status is jg.Status.SAME and result.success and result.nit == 3
    assert result.message == "the best value was the same in 3 levels in a row"


def test_max_levels():
    result = endless(max_levels=3)
    assert result.status is jg.Status.MAX_LEVELS and not result.success
    assert [level.nstarts for level in result.levels] == [1, 4, 16]
    assert [level.spacing for level in result.levels] == [0.5, 0.25, 0.125]
    assert all(level.complete for level in result.levels)


def test_max_starts_cuts_a_level_short():
    result = endless(max_starts=50)
    assert result.status is jg.Status.MAX_STARTS and result.nstarts == 50
    assert [level.nstarts for level in result.levels] == [1, 4, 16, 29]
    assert not result.levels[-1].complete and result.levels[-1].spacing > 0.0625
    check_counts(result)


def test_max_evals_is_exceeded_by_at_most_one_tick_and_deterministic():
    results = [endless(max_evals=5000, lanes=32) for _ in range(2)]
    assert results[0].status is jg.Status.MAX_EVALS
    # One tick of every thread's lanes, and the one evaluation of the gradient of the answer.
    assert 5000 <= results[0].nfev <= 5000 + 32 * os.cpu_count() + 1
    assert results[0].levels[-1].statuses[LocalStatus.CUT] > 0
    assert results[0].fun == results[1].fun and results[0].nstarts == results[1].nstarts
    assert [m.count for m in results[0].minima] == [m.count for m in results[1].minima]


HUGE = jg.Sobol(first=2**20)  # level 1 takes seconds on any machine


def test_max_time_binds_in_the_middle_of_a_level():
    endless(starts=HUGE, max_starts=50_000)
    result = endless(starts=HUGE, max_time=0.4)
    assert result.status is jg.Status.MAX_TIME and not result.levels[-1].complete
    assert result.fun < 1e-4


@pytest.mark.timing
def test_max_time_is_kept():
    endless(starts=HUGE, max_starts=50_000)
    began = time.perf_counter()
    endless(starts=HUGE, max_time=0.4)
    assert time.perf_counter() - began < 0.7


def test_a_time_limit_that_is_over_at_once_still_returns_a_point():
    result = endless(max_time=0.0)
    assert result.status is jg.Status.MAX_TIME and np.isfinite(result.fun)


def test_target_stops_at_once():
    result = endless(target=1.5)
    assert result.status is jg.Status.TARGET and result.success and result.fun <= 1.5
    assert result.nstarts < 500
    check_counts(result)


def test_target_stops_within_a_tick():
    starts = np.random.default_rng(0).uniform(*np.array(BOX).T, (20000, 2))
    result = endless(x0=starts, target=1e-3, lanes=16)
    hits = sum(level.statuses.get(LocalStatus.TARGET_REACHED, 0) for level in result.levels)
    assert result.status is jg.Status.TARGET and 1 <= hits <= 16 * os.cpu_count()


def test_limits_together_the_first_one_binds():
    assert endless(max_levels=4, max_starts=10).status is jg.Status.MAX_STARTS
    assert endless(max_levels=2, max_starts=1000).status is jg.Status.MAX_LEVELS


def test_without_limits_no_level_goes_beyond_the_affordable_number():
    result = endless()
    assert result.status is jg.Status.TOO_LARGE and result.nstarts == 87381
    assert "131,072" in result.message and "max_time" in result.message


def test_callback_sees_each_level_and_may_end_the_search():
    seen = []

    def callback(level):
        seen.append(level.index)
        if level.index == 2:
            raise StopIteration

    result = endless(callback=callback)
    assert seen == [0, 1, 2] and result.status is jg.Status.CALLBACK and result.nit == 3


def test_an_error_in_the_callback_is_raised():
    def callback(level):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        endless(callback=callback)


def test_levels_is_an_iterator_with_a_result_at_any_time():
    search = jg.levels(rastrigin, BOX, same=100, progress=False)
    assert search.result.status is jg.Status.RUNNING and np.isnan(search.result.fun)
    first = next(search)
    assert first.index == 0 and search.result.nit == 1
    next(search)
    assert search.result.nit == 2 and search.result.status is jg.Status.RUNNING
    check_counts(search.result)


def test_result_does_not_change_by_being_looked_at():
    search = jg.levels(rastrigin, BOX, max_levels=2, progress=False)
    list(search)
    first, second = search.result, search.result
    assert first.nfev == second.nfev > 0 and np.array_equal(first.x, second.x)


def test_ctrl_c_in_the_callback_loses_nothing():
    def callback(level):
        if level.index == 1:
            signal.raise_signal(signal.SIGINT)

    result = endless(callback=callback)
    assert result.status is jg.Status.INTERRUPTED and result.nit == 2 and np.isfinite(result.fun)


def test_time_spent_in_the_callback_counts():
    result = endless(max_time=0.2, callback=lambda level: time.sleep(0.25))
    assert result.status is jg.Status.MAX_TIME and result.nit == 1


def test_max_evals_does_not_depend_on_the_clock(monkeypatch):
    results = []
    for length in (1e-4, 0.03, 1.0):
        monkeypatch.setattr("jaxglobal.engine.streams.CHUNK_TIME", length)
        results.append(endless(max_evals=20000, lanes=16))
    assert len({(r.nfev, r.nstarts, r.fun, len(r.minima)) for r in results}) == 1


def interrupted():
    """A search that Ctrl-C ends after 0.3 s, and how long it has taken."""
    jg.minimize(rastrigin, BOX, max_levels=2, progress=False)  # compiles for few searches a round
    endless(max_levels=1)  # and for many
    timer = threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    began = time.perf_counter()
    result = jg.minimize(rastrigin, BOX, same=100, max_time=60, progress=False)
    timer.join()
    return result, time.perf_counter() - began


def test_ctrl_c_ends_the_search_with_its_status():
    handler = signal.getsignal(signal.SIGINT)
    result, _ = interrupted()
    assert result.status is jg.Status.INTERRUPTED
    assert result.fun < 1e-4 and not result.success
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.timing
def test_ctrl_c_ends_the_search_at_once():
    assert interrupted()[1] < 2


def test_a_search_in_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(endless(max_levels=3)))
    thread.start()
    thread.join()
    assert found[0].nit == 3


def test_own_starts_are_searched_first():
    at = np.array([4.97, 4.97])
    result = endless(x0=at, max_starts=1)
    assert result.nstarts == 1 and result.nit == 1 and not result.levels[0].complete
    several = endless(x0=np.array([[0.1, 0.1], [3.1, 2.9]]), max_levels=1)
    assert several.nstarts == 3 and several.fun < 1e-4


def test_traces_of_the_objective():
    """One for each call, in float32 a second one for the last digits, whatever the numbers."""
    traces = []

    def fun(x, a):
        traces.append(1)
        return jnp.sum((x - a) ** 2) + jnp.sum(jnp.cos(7 * x))

    first = jg.minimize(fun, BOX, (jnp.array(0.3),), progress=False)
    each = 1 if first.x.dtype == np.float64 else 2
    assert first.nit > 1 and len(traces) == each
    options = {"fatol": 1e-3, "frtol": 1e-3, "max_levels": 3, "target": -1e9, "local": jg.BFGS(max_nfev=77, ftol=1e-6)}
    jg.minimize(fun, [(-3.0, 2.0), (1.0, 6.0)], (jnp.array(-1.3),), progress=False, **options)
    assert len(traces) == 2 * each


def test_caches_hold_the_function_weakly():
    def make():
        def fun(x):
            return jnp.sum(x**2)

        return fun

    fun = make()
    alive = weakref.ref(fun)
    jg.minimize(fun, [(-1, 2)], progress=False)
    del fun
    gc.collect()
    assert alive() is None


def test_a_method_is_compiled_once():
    class Model:
        def __init__(self, a):
            self.a = a

        def loss(self, x):
            return jnp.sum((x - self.a) ** 2)

    model = Model(0.25)
    jg.minimize(model.loss, [(-1, 1)], progress=False)
    known = list(programs._kept)
    result = jg.minimize(model.loss, [(-1, 1)], progress=False)
    assert sorted(map(id, known)) == sorted(map(id, programs._kept)) and abs(result.x[0] - 0.25) < 1e-3
    assert abs(jg.minimize(Model(0.75).loss, [(-1, 1)], progress=False).x[0] - 0.75) < 1e-3


def test_sobol_starts_where_a_grid_is_not_affordable():
    result = jg.minimize(lambda x: jnp.sum((x - 0.3) ** 2), [(-1, 1)] * 8, progress=False)
    assert result.levels[1].spacing == jg.Sobol().spacing(1, 64, 8) and result.levels[1].nstarts < 64
    plain = jg.minimize(lambda x: jnp.sum((x - 0.3) ** 2), [(-1, 1)] * 8, starts=jg.Sobol(), same=4, progress=False)
    assert [level.nstarts for level in plain.levels] == [1, 64, 128, 256]
    check_minimum(result, 0, [0.3] * 8)
    other = jg.minimize(lambda x: jnp.sum((x - 0.3) ** 2), [(-1, 1)] * 8, seed=1, progress=False)
    check_minimum(other, 0, [0.3] * 8)


def test_every_minimum_is_one(x64):
    """A line search that looks into other basins does not report what it saw on the way."""

    def ripples(x):
        return 0.1 * jnp.sum(x**2) + 0.3 * x[0] - jnp.cos(3 * x[0]) * jnp.cos(2 * x[1])

    result = jg.minimize(ripples, [(-4, 5), (-5, 4)], progress=False)
    assert len(result.minima) > 1
    for minimum in result.minima:
        g, x = jax.grad(ripples)(jnp.asarray(minimum.x)), minimum.x
        held = ((x <= [-4, -5]) & (g > 0)) | ((x >= [5, 4]) & (g < 0))
        assert np.all(held | (np.abs(g) < (1e-4 if x64 else 2e-2))), minimum


def test_own_sequence_of_starts():
    class Diagonal:
        def size(self, level, n):
            return 3

        def points(self, level, first, count, n):
            return np.tile(np.linspace(0, 1, 3)[first : first + count, None], (1, n))

        def spacing(self, level, done, n):
            return 0.5

    result = jg.minimize(jg.problems.himmelblau, [(-5, 5)] * 2, starts=Diagonal(), max_levels=2, progress=False)
    assert result.nstarts == 6 and result.fun < 1e-4


@pytest.mark.parametrize("kind", ["jax", "host"])
@pytest.mark.parametrize("most", [1, 2])
def test_a_limit_before_the_first_search_is_named(kind, most):
    fun = jg.problems.himmelblau if kind == "jax" else jg.host(lambda x: float(np.sum((x - 1) ** 2)))
    result = jg.minimize(fun, [(-5, 5)] * 2, max_evals=most, progress=False)
    assert result.status is jg.Status.MAX_EVALS and np.isfinite(result.fun) and not result.success


@pytest.mark.long
def test_values_up_to_the_largest_that_there_are_give_no_warning():
    """Their differences overflow, in the order of what was found as well."""
    largest = 0.9 * float(jnp.finfo(jnp.zeros(0).dtype).max)
    fun = lambda x: largest * (jnp.sum(jnp.cos(5 * x) + 0.05 * x**2) / 4 - 0.3)  # noqa: E731
    lowest = jg.minimize(lambda x: fun(x) / largest, [(-3, 3)] * 2, max_evals=4000, progress=False).fun
    for result in (
        jg.minimize(fun, [(-3, 3)] * 2, max_evals=4000, progress=False),
        jg.minimize(jg.host(lambda x: float(fun(x))), [(-3, 3)] * 2, max_evals=2000, progress=False),
        jg.minimize_many(lambda x, _: fun(x), [(-3, 3)] * 2, jnp.zeros(2), max_evals=4000, progress=False)[0],
    ):
        assert float(result.fun) / largest < lowest + 1e-3
