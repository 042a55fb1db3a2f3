"""Objectives that are not JAX: in this thread, in pools, all points at once; failures; ask and tell."""

import concurrent.futures as futures
import multiprocessing
import os
import re
import signal
import time

import jax.numpy as jnp
import numpy as np
import pytest
import simulators
from hosts import solve
from simulators import gradient, himmelblau

import jaxglobal as jg
from jaxglobal.engine.asked import AskedLanes
from jaxglobal.problem.region import Region

MINIMA = np.array([[3, 2], [-2.805118, 3.131312], [-3.779310, -3.283186], [3.584428, -1.848126]])


def check(result):
    assert result.fun < 1e-6, result
    assert np.min(np.max(np.abs(MINIMA - result.x), axis=1)) < 1e-4
    assert len(result.minima) == 4 and result.x.dtype == np.float64
    assert np.max(np.abs(result.jac)) < 1e-2
    assert result.nfev == result.njev > 0 and result.calls.made > 0


@pytest.mark.parametrize(
    ("fun", "options"),
    [
        (himmelblau, {}),
        (himmelblau, {"jac": "2-point"}),
        (himmelblau, {"jac": gradient}),
        (simulators.both, {"jac": True}),
        (simulators.many, {"vectorized": True}),
        (simulators.many_both, {"vectorized": True, "jac": True}),
        (simulators.many, {"vectorized": True, "jac": lambda X: np.stack([gradient(x) for x in X])}),
    ],
    ids=["3-point", "2-point", "jac", "both", "vectorized", "vectorized both", "vectorized jac"],
)
def test_every_kind_of_gradient(fun, options):
    result = solve(jg.host(fun, **options))
    check(result)
    assert (result.calls.failed, result.calls.timed_out, result.calls.died) == (0, 0, 0)
    if options == {"jac": True}:
        assert result.calls.made == result.nfev
    if options == {}:
        assert result.calls.made == 5 * result.nfev


def test_threads_processes_and_a_cluster_find_the_same():
    alone = solve(jg.host(himmelblau))
    with futures.ThreadPoolExecutor(4) as threads:
        several = [
            solve(jg.host(himmelblau, executor=threads)),
            solve(jg.host(himmelblau, executor=threads, workers=3)),
        ]
    with jg.host(himmelblau, workers=2) as processes:
        several += [solve(processes), solve(processes, lanes=16)]
    with futures.ThreadPoolExecutor(2) as threads:
        several.append(solve(jg.host(simulators.many, executor=threads, vectorized=True)))
    for result in several:
        check(result)
        assert np.allclose(result.x, alone.x, rtol=0, atol=1e-7) and result.nstarts == alone.nstarts
    assert np.array_equal(several[0].x, several[1].x) and several[0].nfev == several[1].nfev


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_dask_cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            check(solve(jg.host(himmelblau, executor=client.get_executor())))


def test_the_pool_lives_as_long_as_the_function():
    with jg.host(simulators.process, jac=np.zeros_like, workers=2) as pid:
        seen = {solve(pid, max_levels=2).fun for _ in range(2)} | {solve(pid, max_levels=1).fun}
        assert seen <= {float(child.pid) for child in multiprocessing.active_children()}
    assert not multiprocessing.active_children()
    with pytest.raises(ValueError, match="`fun` must be an open host function; this one has been closed"):
        solve(pid)


@pytest.mark.slow
def test_answers_to_another_search_do_not_count():
    """Calls that a limit left under way, and those of a search beside it, share the workers."""
    guesses = np.random.default_rng(0).uniform(-5, 5, (16, 2))
    with jg.host(simulators.distance, workers=3) as distance:
        solve(distance, args=(3.0,), max_levels=1)  # the processes have started
        assert solve(distance, args=(3.0,), x0=guesses, max_time=0.2).status is jg.Status.MAX_TIME
        with futures.ThreadPoolExecutor(2) as threads:
            run = lambda a: solve(distance, args=(a,), x0=guesses, max_levels=1)  # noqa: E731
            both = list(threads.map(run, [-2.0, 1.0], timeout=60))
    for result, a in zip(both, [-2.0, 1.0], strict=True):
        assert np.allclose(result.x, a, atol=1e-5) and result.nstarts == 17 and len(result.minima) == 1
        assert result.calls.made == 5 * result.nfev


@pytest.mark.slow
def test_ctrl_c_in_a_worker_is_no_ctrl_c_here():
    with jg.host(simulators.quits, workers=2) as quits:
        result = solve(quits)
        assert result.fun < 1e-4 and result.calls.failed >= result.calls.made // 20 > 0
        assert "KeyboardInterrupt" in result.calls.traceback
        for child in multiprocessing.active_children():  # as a terminal does, which sends it to every process
            os.kill(child.pid, signal.SIGINT)
        assert solve(quits).calls.died == 0


def test_a_limit_on_evaluations_makes_no_more_calls():
    result = solve(jg.host(himmelblau), x0=np.ones((16, 2)), max_evals=40)
    assert result.status is jg.Status.MAX_EVALS and result.nfev == 40 and result.calls.made == 5 * 40


def test_bounds_hold_for_differences_too():
    seen = []

    def fun(x):
        seen.append(x.copy())
        return float(np.sum((x - np.array([2.0, -3.0, 0.1])) ** 2))

    result = solve(jg.host(fun), [(-1, 1)] * 3)
    np.testing.assert_allclose(result.x, [1, -1, 0.1], atol=1e-6)
    assert np.all(np.abs(seen) <= 1)


def test_pytrees_args_fixed_variables_limits_and_float64():
    def fun(x, a):
        return float((x["u"] - a) ** 2 + np.sum(x["v"] ** 2))

    box = jg.Box({"u": 0.0, "v": np.array([0.5, -1.0])}, {"u": 2.0, "v": np.array([0.5, 1.0])})
    result = solve(jg.host(fun), box, args=1.5)
    np.testing.assert_allclose(result.x["u"], 1.5, atol=1e-6)
    np.testing.assert_allclose(result.x["v"], [0.5, 0], atol=1e-6)
    assert result.jac["v"][0] == 0
    limited = solve(jg.host(himmelblau), max_levels=None, max_evals=50)
    assert limited.status is jg.Status.MAX_EVALS and 50 <= limited.nfev <= 70 and limited.fun < 200
    timed = solve(jg.host(simulators.sleepy), max_levels=None, max_time=0.5)
    assert timed.status is jg.Status.MAX_TIME and np.isfinite(timed.fun)
    assert solve(jg.host(himmelblau), target=1.0, max_levels=None).status is jg.Status.TARGET


@pytest.mark.timing
def test_a_time_limit_is_kept():
    began = time.perf_counter()
    solve(jg.host(simulators.sleepy), max_levels=None, max_time=0.5)
    assert time.perf_counter() - began < 3


def test_noise():
    rng = np.random.default_rng(0)

    def noisy(x):
        return himmelblau(x) + 1e-4 * rng.standard_normal()

    result = solve(jg.host(noisy, noise=3e-4), max_levels=4)
    assert np.min(np.max(np.abs(MINIMA - result.x), axis=1)) < 0.02
    assert result.nfev < 60 * result.nstarts


@pytest.mark.parametrize(
    ("fun", "options", "error", "message"),
    [
        (3, {}, TypeError, "`fun` must be a function fun(x, *args); got int."),
        (himmelblau, {"workers": 0}, ValueError, "`workers` must be a whole number of at least 1; got 0."),
        (himmelblau, {"jac": "4-point"}, ValueError, '`jac` must be a function, True, "2-point" or "3-point"'),
        (himmelblau, {"executor": 4}, TypeError, "`executor` must have a method `submit`; got int."),
        (himmelblau, {"timeout": -1}, ValueError, "`timeout` must be a positive number; got -1."),
        (himmelblau, {"tag": 3}, TypeError, "`tag` must be a string; got int."),
        (himmelblau, {"jac": np.zeros(2)}, ValueError, '`jac` must be a function, True, "2-point" or "3-point"'),
        (lambda x: 1.0, {"workers": 2}, TypeError, "`fun` must be importable by name to be called in a process"),
        (himmelblau, {"jac": lambda x: x * 1j}, TypeError, "the gradient must be real numbers; got complex128."),
        (himmelblau, {"noise": -1}, ValueError, "`noise` must be a number of at least 0; got -1."),
        (lambda x: None, {}, TypeError, "`fun` must return one real number; got NoneType."),
        (lambda x: x, {}, TypeError, "`fun` must return one real number; got shape (2,), float64."),
        (lambda x: 1j * x[0], {}, TypeError, "`fun` must return one real number; got shape (), complex128."),
        (himmelblau, {"jac": True}, TypeError, "`fun` must return (value, gradient) with jac=True; got float."),
        (himmelblau, {"jac": lambda x: 1.0}, TypeError, "the gradient must have the shapes of x, [(2,)]; got [()]."),
        (lambda x: 1.0, {"vectorized": True}, TypeError, "`fun` must return an array of"),
    ],
    ids=lambda v: v[:40] if isinstance(v, str) else "",
)
def test_wrong_arguments(fun, options, error, message):
    with pytest.raises(error, match=re.escape(message)) as caught:
        solve(jg.host(fun, **options))
    assert "\n" not in str(caught.value)


def test_a_closed_executor_and_auxiliary_outputs():
    executor = futures.ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(ValueError, match="`executor` must be open; it takes no calls"):
        solve(jg.host(himmelblau, executor=executor))
    with pytest.raises(ValueError, match="`has_aux` must be False for a host function; got True"):
        solve(jg.host(himmelblau), has_aux=True)


def test_a_jax_function_works_with_a_hint():
    with pytest.warns(UserWarning, match="`fun` returned a JAX array: without host") as caught:
        result = solve(jg.host(lambda x: jnp.sum((jnp.asarray(x) - 1) ** 2)), max_levels=1)
    assert len(caught) == 1
    np.testing.assert_allclose(result.x, 1, atol=1e-2)


@pytest.mark.long
def test_starts_that_learn():
    """A look costs a simulator one call, a point of a search seven; gradients are looked at of these alone."""
    made = []

    def rastrigin(x):
        made.append(np.array(x))
        return 30 + float(np.sum((x - 0.7) ** 2 - 10 * np.cos(2 * np.pi * (x - 0.7))))

    box = [(-4.0, 5.12)] * 3
    result = jg.minimize(jg.host(rastrigin), box, progress=False)
    assert result.success and result.fun < 1e-9 and "the evidence speaks" in result.message
    assert len(made) == result.calls.made < 5 * result.nfev < 100_000
    limited = jg.minimize(jg.host(rastrigin), box, progress=False, max_evals=700)
    assert limited.status is jg.Status.MAX_EVALS and limited.nfev == 700

    def look(x):
        seen.append(x.value_only)
        slopes = 2 * (x.x - 0.7) + 20 * np.pi * np.sin(2 * np.pi * (x.x - 0.7))
        return np.where(x.value_only[:, None], np.nan, slopes)

    ids, x = jg.Search(box).ask(3)  # a pair, as it always was
    assert len(ids) == len(x) == 1
    seen, search = [], jg.Search(box)
    while len(points := search.ask(50)):
        search.tell([rastrigin(x) for x in points.x], look(points), points.ids)
    assert search.result().success and search.result().fun < 1e-12
    values = sum(int(np.sum(one)) for one in seen)
    assert values > 2000
    assert search.result().nfev == sum(map(len, seen)) - values + (values + 1) // 2


@pytest.mark.long
def test_many_simulators_learn():
    """Each is searched as it would be alone, with few lanes for many problems too."""

    def rastrigin(x, a):
        return 20 + float(np.sum((x - a) ** 2 - 10 * np.cos(2 * np.pi * (x - a))))

    a = np.linspace(0.1, 0.9, 3)
    for lanes in (2, "auto"):
        many = jg.minimize_many(jg.host(rastrigin), [(-4, 5.12)] * 2, a, lanes=lanes, progress=False)
        assert many.success.all() and np.all(many.fun < 1e-9) and np.all(many.nfev < 6000)
    alone = jg.minimize(jg.host(rastrigin), [(-4, 5.12)] * 2, (a[1],), progress=False)
    assert np.array_equal(alone.x, many.x[1]) and alone.nfev == many.nfev[1]


def test_searches_beside_looks_are_not_lost_where_all_are_cut():
    """Of several simulators, one waits for values where another searches."""
    local = jg.BFGS()
    lanes = AskedLanes(2, Region(*(np.full(2, side) for side in (-5.0, 5.0, 10.0))), local.program)
    lanes.deal(np.ones((2, 2)), 0.1, np.arange(2), np.array([0, 1]))
    lanes.look(np.zeros((3, 2)), np.arange(2, 5), 2)
    ids, x, _, value_only = lanes.ask(5)
    assert value_only.tolist() == [False] * 2 + [True] * 3
    lanes.tell(ids[:2], np.ones(2), np.ones((2, 2)))
    lanes.run(local.rules(np.dtype(float), None), drain=False)
    lanes.tell(ids[2:4], np.array([3.0, 2.0]), np.zeros((2, 2)))
    assert lanes.drop(np.array([0])).start.tolist() == [0]
    ended = lanes.cut()
    assert sorted(ended.start.tolist()) == [1, 2, 3] and sorted(ended.problem.tolist()) == [1, 2, 2]
    assert not lanes.busy
