"""Objectives that are not JAX: in this thread, in pools, all points at once; failures; ask and tell."""

import asyncio
import concurrent.futures as futures
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
import traceback

import jax.numpy as jnp
import numpy as np
import pytest
import simulators
from simulators import gradient, himmelblau

import jaxglobal as jg
from jaxglobal.engine.asked import AskedLanes
from jaxglobal.problem.region import Region

BOX = [(-5.0, 5.0)] * 2
MINIMA = np.array([[3, 2], [-2.805118, 3.131312], [-3.779310, -3.283186], [3.584428, -1.848126]])


def solve(fun, bounds=BOX, **options):
    """From plain starts, whose searches are as many as there are points."""
    return jg.minimize(fun, bounds, **({"progress": False, "max_levels": 3, "starts": jg.Grid()} | options))


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


def test_failures_are_counted_and_the_search_goes_on():
    calls = []

    def fails(x):
        calls.append(1)
        if len(calls) % 20 == 7:
            raise RuntimeError("out of luck")
        return himmelblau(x) if len(calls) % 31 else float("nan")

    result = solve(jg.host(fails), max_levels=4)
    assert result.fun < 1e-6 and result.calls.made == len(calls)
    assert result.calls.failed == len([k for k in range(1, len(calls) + 1) if k % 20 == 7])
    assert "RuntimeError: out of luck" in result.calls.traceback and "failed" in repr(result)


@pytest.mark.slow
def test_hanging_and_dying_workers_are_replaced():
    with jg.host(simulators.unreliable, workers=4, timeout=0.5) as unreliable:
        result = solve(unreliable)
        assert result.fun < 1e-4
        assert result.calls.failed >= result.calls.made // 40 > 0 and result.calls.timed_out >= 1
    with jg.host(simulators.suicidal, workers=2) as suicidal:
        result = solve(suicidal)
        assert result.fun < 1e-4 and result.calls.died >= 2
    assert not multiprocessing.active_children()


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


def test_a_start_that_fails_ends_its_search():
    def half(x):
        if x[0] > 0:
            raise ArithmeticError("outside the model")
        return himmelblau(x)

    result = solve(jg.host(half))
    assert result.fun < 1e-6 and result.x[0] <= 0
    assert result.levels[0].statuses.keys() | result.levels[1].statuses.keys() >= {jg.LocalStatus.NONFINITE_VALUE}
    nothing = solve(jg.host(lambda x: 1 / 0), max_levels=2)
    assert nothing.status is jg.Status.NO_FINITE_VALUE and np.isnan(nothing.fun)


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


def told(search, k):
    """Evaluates k points at a time until none is asked."""
    while len(points := search.ask(k)):
        search.tell([himmelblau(x) for x in points.x], np.array([gradient(x) for x in points.x]), points.ids)
    return search.result()


@pytest.mark.parametrize("starts", [jg.Grid(), "auto"], ids=["plain", "learning"])
def test_ask_and_tell_in_any_order(starts):
    limits = {"max_levels": 4} if starts != "auto" else {"max_levels": None}
    plain = solve(jg.host(himmelblau, jac=gradient), starts=starts, **limits)
    results = [told(jg.Search(BOX, starts=starts, **limits), k) for k in (1, 3, 16, 100)]
    for result in results:
        assert np.array_equal(result.x, plain.x) and (result.nfev, result.nstarts) == (plain.nfev, plain.nstarts)
        assert [m.count for m in result.minima] == [m.count for m in plain.minima]
        assert result.status is plain.status is jg.Status.SAME and len(result.minima) == 4


@pytest.mark.parametrize("starts", [jg.Grid(), "auto"], ids=["plain", "learning"])
def test_answers_that_come_late_and_partly(starts):
    options = {"max_levels": 4, "starts": starts}
    plain = told(jg.Search(BOX, **options), 16)
    search, rng, waiting = jg.Search(BOX, **options), np.random.default_rng(1), []
    while not search.done:
        points = search.ask(16)
        waiting += zip(points.ids, points.x, strict=True)
        rng.shuffle(waiting)
        answered, waiting = waiting[: 1 + len(waiting) // 3], waiting[1 + len(waiting) // 3 :]
        ids, xs = zip(*answered, strict=True)
        search.tell([himmelblau(x) for x in xs], np.array([gradient(x) for x in xs]), ids)
        assert search.result().fun <= min(himmelblau(x) for x in xs)
    assert np.array_equal(search.result().x, plain.x) and search.result().nfev == plain.nfev


def test_starts_that_learn():
    """A look costs a simulator one call, where a point of a search costs five; gradients are looked at of these alone.

    One of many minima is found, where the searches from every point of a grid take twenty times as many calls.
    """
    made = []

    def rastrigin(x):
        made.append(np.array(x))
        return 30 + float(np.sum((x - 0.7) ** 2 - 10 * np.cos(2 * np.pi * (x - 0.7))))

    box = [(-4.0, 5.12)] * 3
    result = jg.minimize(jg.host(rastrigin), box, progress=False)
    assert result.success and result.fun < 1e-9 and "the evidence speaks" in result.message
    assert len(made) == result.calls.made < 5 * result.nfev < 40_000
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


def test_many_simulators_learn():
    """Each is searched as it would be alone, with few lanes for many problems too."""

    def rastrigin(x, a):
        return 20 + float(np.sum((x - a) ** 2 - 10 * np.cos(2 * np.pi * (x - a))))

    a = np.linspace(0.1, 0.9, 3)
    for lanes in (2, "auto"):
        many = jg.minimize_many(jg.host(rastrigin), [(-4, 5.12)] * 2, a, lanes=lanes, progress=False)
        assert many.success.all() and np.all(many.fun < 1e-9) and np.all(many.nfev < 4000)
    alone = jg.minimize(jg.host(rastrigin), [(-4, 5.12)] * 2, (a[1],), progress=False)
    assert np.array_equal(alone.x, many.x[1]) and alone.nfev == many.nfev[1]


def test_a_program_that_always_raises_is_given_up_soon():
    """An error of the program, not of the point: with any other, a small region where it returns is looked for."""

    def typo(x):
        return undefined_name + x[0]  # noqa: F821

    result = jg.minimize(jg.host(typo), BOX, progress=False)
    assert result.status is jg.Status.NO_FINITE_VALUE and NAMED in result.message and result.calls.made < 1000
    small = jg.host(lambda x: himmelblau(x) if x[0] > 4.7 and x[1] < -4.7 else 1 / 0)
    assert np.isfinite(jg.minimize(small, BOX, progress=False, max_evals=5000).fun)


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


@pytest.mark.parametrize("vectorized", [False, True])
def test_looks_of_a_function_that_fails(vectorized):
    """Points where it raises or is not finite are no starts, whether calls are made one by one or all at once."""

    def half(x):
        if not vectorized and x[0] > 0:
            raise ArithmeticError("outside the model")
        a, b = x[..., 0], x[..., 1]
        return np.where(a > 0, np.nan, (a**2 + b - 11) ** 2 + (a + b**2 - 7) ** 2)

    result = jg.minimize(jg.host(half, vectorized=vectorized), BOX, progress=False, max_evals=1500)
    assert result.fun < 1e-6 and result.x[0] <= 0


def test_one_point_at_a_time():
    search = jg.Search(jg.Box({"a": -1.0}, {"a": 3.0}), target=1e-8)
    while (x := search.ask()) is not None:
        search.tell((x["a"] - 2) ** 2, {"a": 2 * (x["a"] - 2)})
    assert search.done and search.result().status is jg.Status.TARGET and abs(search.result().x["a"] - 2) < 1e-4
    failing = jg.Search(BOX, max_levels=2)
    while (x := failing.ask()) is not None:
        failing.tell(np.nan, np.full(2, np.nan))
    assert failing.result().status is jg.Status.NO_FINITE_VALUE


@pytest.mark.parametrize("constrained", [False, True])
def test_a_limit_in_the_middle_of_looks_ends_a_search_that_is_told(constrained):
    """Nothing more may be asked for, and nothing is out: it has ended."""
    rows = dict(constraints=jg.Constraint(None, upper=1.0)) if constrained else {}
    search, told = jg.Search(BOX, max_evals=1500, **rows), 0
    while len(points := search.ask(64)):
        k = len(points)
        row = dict(constraints=np.zeros(k), jacobian=np.zeros((k, 2))) if constrained else {}
        search.tell(np.full(k, np.nan), np.zeros((k, 2)), points.ids, **row)
        told += k
    assert search.done and told <= 3000 and search.result().nfev <= 1500


def test_wrong_answers():
    search = jg.Search(BOX)
    with pytest.raises(ValueError, match="`k` must be a whole number of at least 1; got 0"):
        search.ask(0)
    points = search.ask(4)
    with pytest.raises(ValueError, match="`ids` must be whole numbers, those of asked points; got float64"):
        search.tell(1.0, np.zeros(2), 0.5)
    with pytest.raises(ValueError, match="`g` must be real numbers; got"):
        search.tell(1.0, np.zeros(2) * 1j, points.ids)
    with pytest.raises(ValueError, match="`f` must be 1 real values, one a point; got shape"):
        search.tell([1.0, 2.0], np.zeros((2, 2)), points.ids)
    with pytest.raises(ValueError, match=re.escape("`g` must have the shapes [(2,)]; got [(3,)]")):
        search.tell(1.0, np.zeros(3), points.ids)
    with pytest.raises(ValueError, match="`ids` must be those of points that were asked; got 99"):
        search.tell(1.0, np.zeros(2), 99)
    search.tell(1.0, np.ones(2), points.ids)
    with pytest.raises(ValueError, match="`ids` must be told once; one of them has been told before"):
        search.tell(1.0, np.ones(2), points.ids)
    with pytest.raises(ValueError, match="`ids` must say which points these are"):
        jg.Search(BOX).tell(1.0, np.ones(2))
    with pytest.raises(TypeError, match=re.escape("`callback` must be a function callback(level); got int")):
        jg.Search(BOX, callback=3)
    with pytest.raises(ValueError, match="`noise` must be a number of at least 0; got -1"):
        jg.Search(BOX, noise=-1)
    search = jg.Search(BOX)
    x = search.ask()
    with pytest.raises(ValueError, match="`g` must have the shapes"):
        search.tell(1.0, np.ones(3))
    search.tell(1.0, np.zeros_like(x))  # an answer that was refused can be given again


def raises(x, *args):
    return undefined_name + x[0]  # noqa: F821


NAMED = "every call raised; the first: NameError: name 'undefined_name' is not defined"


def test_a_function_that_always_raises_is_told_by_its_exception():
    result = solve(jg.host(raises))
    assert result.status is jg.Status.NO_FINITE_VALUE and NAMED in result.message
    assert NAMED in " ".join(repr(result).split())
    assert str(result.calls).endswith("the first: NameError: name 'undefined_name' is not defined)")
    assert NAMED in asyncio.run(jg.aminimize(jg.host(raises), BOX, max_levels=2, progress=False)).message
    many = jg.minimize_many(jg.host(raises), BOX, np.zeros(2), max_levels=2, progress=False)
    assert NAMED in repr(many) and many.calls.failed == many.calls.made > 0


def test_what_is_said_of_calls_that_return_nothing():
    calls = jg.calls.Calls(made=4)
    say = jg.calls.message
    none = jg.Status.NO_FINITE_VALUE
    assert say(none, None) == say(none, calls) == none.value  # values that are not finite
    calls.count("timed out", "")
    assert say(none, calls).endswith("1 of 4 calls timed out")
    try:
        raise ValueError("first line\nsecond line")
    except ValueError:
        calls.count("failed", traceback.format_exc())
    assert calls.first == "ValueError: first line"
    calls.add(jg.calls.Calls(1, 0, 0, 1, "BrokenProcessPool: gone"))
    assert (calls.made, calls.bad) == (5, 3) and calls.first == "ValueError: first line"
    assert say(none, calls).endswith(
        "3 of 5 calls raised or timed out or lost their workers; the first: " + calls.first
    )
    assert say(jg.Status.SAME, calls) == jg.Status.SAME.value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "error"),
    [
        (
            "",
            "TypeError: `fun` must be importable in a process: put it in a module file, or use an executor of threads",
        ),
        ("script", "RuntimeError: the workers died as they began: guard the script by"),
    ],
    ids=["-c", "unguarded"],
)
def test_a_function_that_workers_cannot_import_is_said_once(before, error, tmp_path):
    code = (
        "import jaxglobal as jg\ndef sim(x): return float((x**2).sum())\n"
        "with jg.host(sim, workers=2) as s: jg.minimize(s, [(-3, 4)] * 2, max_levels=2)\n"
    )
    (tmp_path / "script.py").write_text(code)
    command = [str(tmp_path / "script.py")] if before else ["-c", code]
    ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1 and error in ran.stderr.splitlines()[-1], ran.stderr
    if not before:
        assert ran.stderr.count("Traceback") == 1 and ran.stderr.splitlines()[-1].endswith(
            "got AttributeError: Can't get attribute 'sim' on <module '__main__' (built-in)>."
        )


class OnlyHere:
    """Can be sent, and not received."""

    def __call__(self, x):
        return 0.0

    def __reduce__(self):
        return eval, ("1 / 0",)


def test_the_workers_end_where_they_cannot_import_the_function():
    with jg.host(OnlyHere(), workers=1, timeout=60) as fun:
        with pytest.raises(TypeError, match="must be importable in a process: .*; got ZeroDivisionError"):
            solve(fun)
        assert not multiprocessing.active_children()
