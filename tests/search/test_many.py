"""minimize_many: each problem as if alone, whatever shares its lanes."""

import re
import signal
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import precision

import jaxglobal as jg
from jaxglobal import Status
from jaxglobal.problem import programs

TOLERANCE = 1e-10 if jax.config.jax_enable_x64 else precision()[1]
BOX = [(-3.0, 3.0)] * 2


def wells(x, a):
    return jnp.sum((x**2 - a) ** 2 + 0.3 * x)


def many(fun=wells, bounds=BOX, args=None, **options):
    args = np.linspace(0.5, 3, 40) if args is None else args
    return jg.minimize_many(fun, bounds, args, **({"progress": False, "starts": jg.Grid()} | options))


@pytest.mark.long
def test_equals_a_loop_of_minimize():
    a = np.linspace(0.5, 3, 25)
    results = many(args=a)
    for starts in ("auto", jg.Grid()):
        loop = [jg.minimize(wells, BOX, v, starts=starts, progress=False) for v in a]
        np.testing.assert_allclose(results.x, [r.x for r in loop], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(results.fun, [r.fun for r in loop], rtol=1e-6, atol=1e-6)
    assert results.status.tolist() == [r.status for r in loop]
    assert results.nit.tolist() == [r.nit for r in loop]
    assert results.nstarts.tolist() == [r.nstarts for r in loop]
    assert results.success.all() and len(results) == 25
    assert np.all(np.abs(results.jac) < 1e-2)


@pytest.mark.long
def test_bit_for_bit_whatever_shares_the_lanes(monkeypatch):
    a = np.linspace(0.5, 3, 200)
    whole = many(args=a, lanes=16)
    monkeypatch.setattr("jaxglobal.engine.devices.threads", lambda: 1)
    one_thread = many(args=a[::-1], lanes=16)
    monkeypatch.setattr("jaxglobal.search.slots.SLOTS", 64)
    few_slots = many(args=a, lanes=16)
    for other, order in ((one_thread, slice(None, None, -1)), (few_slots, slice(None))):
        for field in ("x", "fun", "nfev", "nstarts", "nit"):
            assert np.array_equal(getattr(whole, field), getattr(other, field)[order]), field


@pytest.mark.long
def test_each_problem_stops_by_its_own_rule():
    def fun(x, a, flat):
        return jnp.where(flat, 1.0, jnp.sum((x - a) ** 2 - jnp.cos(9 * x)))

    a, flat = np.linspace(-1, 1, 12), np.arange(12) % 3 == 0
    results = many(fun, BOX, (a, flat), target=-1.9, same=4)
    assert set(results.status[flat]) == {Status.SAME} and set(results.nit[flat]) == {4}
    assert set(results.status[~flat]) <= {Status.TARGET, Status.SAME} and Status.TARGET in results.status
    some = many(fun, BOX, (a, flat), max_levels=2)
    assert set(some.status) == {Status.MAX_LEVELS} and set(some.nstarts) == {5} and not some.success.any()
    few = many(fun, BOX, (a, flat), max_starts=3)
    assert set(few.status) == {Status.MAX_STARTS} and set(few.nstarts) == {3}
    bounded = many(args=a, max_evals=1)
    assert set(bounded.status) == {Status.MAX_EVALS} and set(bounded.nfev) == {1}
    assert set(many(args=a[:2], same=50, bounds=[(-3, 3)] * 5).status) == {Status.TOO_LARGE}


@pytest.mark.long
def test_lanes_are_busy_though_efforts_differ():
    def fun(x, a):
        return (1 - x[0]) ** 2 + a * (x[1] - x[0] ** 2) ** 2

    results = many(fun, args=10.0 ** np.linspace(-1, 3, 400), lanes=16)
    assert results.nfev.max() > 2 * results.nfev.min()
    assert results.lane_efficiency > 0.95
    assert results.lane_efficiency <= 1


@pytest.mark.long
def test_each_call_looks_at_the_function_once():
    traces = []

    def fun(x, a):
        traces.append(1)
        return jnp.sum((x - a) ** 2)

    many(fun)
    known = list(programs._kept)
    many(fun, args=np.linspace(0, 1, 40), bounds=[(-1, 1)] * 2, same=2, lanes=16)
    many(fun, args=np.linspace(0, 1, 40), lanes=16)
    assert len(traces) == 3 and list(programs._kept) == known


@pytest.mark.long
def test_bounds_and_guesses_of_each_problem():
    a = np.linspace(1, 3, 5)
    lower, upper = np.zeros((5, 2)), np.stack([a / 2, 2 * a], axis=1)
    expected = np.stack([a / 2, a], axis=1)
    fun = lambda x, a: jnp.sum((x - a) ** 2)  # noqa: E731
    for bounds in (jg.Box(lower, upper), np.stack([lower, upper], axis=-1)):
        np.testing.assert_allclose(many(fun, bounds, a).x, expected, atol=precision()[1])
    tree = {"u": np.zeros(5), "v": np.zeros((5, 3))}
    top = {"u": a / 2, "v": np.full((5, 3), 9.0)}
    results = many(lambda x, a: (x["u"] - a) ** 2 + jnp.sum((x["v"] - a) ** 2), jg.Box(tree, top), a)
    assert results.x["v"].shape == (5, 3)
    np.testing.assert_allclose(results.x["u"], a / 2, atol=precision()[1])
    # A shared box whose x is as long as there are problems.
    shared = many(lambda x, a: jnp.sum((x - a) ** 2), jg.Box(-np.ones(2), 4 * np.ones(2)), a[:2])
    assert shared.x.shape == (2, 2)
    one = many(lambda x, a: (x - a) ** 2, jg.Box(np.zeros(2), 4 * np.ones(2)), a[:2], bounds_axis=0)
    assert one.x.shape == (2,)

    narrow = lambda x, a: -jnp.exp(-jnp.sum((x - a) ** 2) / 1e-6)  # noqa: E731
    guesses = np.stack([a + 2e-4, a - 1e-4], axis=1)
    assert np.all(many(narrow, args=a / 3, x0=guesses / 3, max_levels=1).fun < -0.99)
    several = np.stack([guesses / 3, np.zeros((5, 2))], axis=1)
    results = many(narrow, args=a / 3, x0=several, max_levels=1)
    assert np.all(results.fun < -0.99) and set(results.nstarts) == {3}


@pytest.mark.long
def test_structures_auxiliary_output_fixed_and_open_variables():
    def fun(x, p):
        return (x["u"] - p["a"]) ** 2 + jnp.sum(x["v"] ** 2), {"twice": 2 * x["u"]}

    args = ({"a": jnp.linspace(0.0, 5.0, 6), "label": np.arange(6)},)
    box = jg.Box({"u": 0.0, "v": np.array([0.5, -1.0])}, {"u": 2.0, "v": np.array([0.5, 1.0])})
    results = many(fun, box, args, has_aux=True)
    np.testing.assert_allclose(results.x["u"], [0, 1, 2, 2, 2, 2], atol=precision()[1])
    np.testing.assert_allclose(results.aux["twice"], 2 * results.x["u"])
    np.testing.assert_allclose(results.x["v"], [[0.5, 0.0]] * 6, atol=precision()[1])
    everywhere = many(fun, box, args, has_aux=True, open={"u": True, "v": np.array([False, False])})
    np.testing.assert_allclose(everywhere.x["u"], args[0]["a"], atol=precision()[1])


@pytest.mark.long
def test_bad_problems_do_not_poison_the_others():
    results = many(lambda x, a: jnp.sum(x**2) + jnp.log(a), args=np.array([1.0, -1.0, np.nan, 2.0]))
    assert results.success.tolist() == [True, False, False, True]
    assert results.status[1:3].tolist() == [Status.NO_FINITE_VALUE] * 2
    assert np.isnan(results.fun[1:3]).all() and np.isfinite(results.fun[[0, 3]]).all()
    assert "2 successful" in repr(results) and "NO_FINITE_VALUE" in results._repr_html_()


@pytest.mark.long
def test_what_jumps_is_flagged():
    results = many(lambda x, a: jnp.sum((x**2 - 1) ** 2 + a * x), [(-2, 2.2)], np.array([0.0, 0.3]))
    assert results.tied.tolist() == [True, False]
    results = many(lambda x, a: jnp.sum((x - a) ** 2), [(-1, 1)], np.array([1.0, 0.5, 2.0]))
    assert results.touching.tolist() == [True, False, False] and not results.singular.any()


def slow(x, a):
    return jnp.sum(jnp.cos(40 * x) + (x - a) ** 2)


@pytest.mark.timing
def test_a_time_limit_is_kept():
    many(slow, max_levels=1)
    began = time.perf_counter()
    many(slow, same=50, max_time=0.5)
    assert time.perf_counter() - began < 3


def test_a_time_limit_keeps_what_was_found():
    many(slow, max_levels=1)
    results = many(slow, same=50, max_time=0.5)
    assert set(results.status) == {Status.MAX_TIME} and np.isfinite(results.fun).all()


def test_ctrl_c_keeps_what_was_found():
    many(slow, max_levels=1)
    timer = threading.Timer(0.5, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    results = many(slow, same=50, max_time=60)
    assert set(results.status) == {Status.INTERRUPTED} and np.isfinite(results.fun).all()


def test_progress_counts_problems(capsys, monkeypatch):
    many(progress=True)
    assert "jaxglobal: 40 of 40 problems" in capsys.readouterr().err
    from tqdm import tqdm

    bars = []

    class Recorded(tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            bars.append(self)

    monkeypatch.setattr("jaxglobal.search.progress.sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("jaxglobal.search.progress._tqdm", lambda notebook: Recorded)
    many(lambda x, a: jnp.sum((x - a) ** 2), progress=True)
    assert bars and bars[-1].total == 40 and bars[-1].n == 40


@pytest.mark.slow
def test_derivatives_of_a_finished_search():
    a = np.linspace(1.0, 3.0, 6)
    results = many(args=a)
    d = jg.derivative(results, wells, BOX, a)
    slopes = jax.vmap(jax.jacrev(lambda a: jg.argmin(wells, BOX, a).x))(jnp.asarray(a))
    np.testing.assert_allclose(d.x[0], slopes, rtol=precision()[1], atol=precision()[1])
    np.testing.assert_allclose(d.fun[0], np.sum(-2 * (results.x**2 - a[:, None]), axis=1), rtol=1e-3, atol=1e-4)
    one = jg.derivative(jg.minimize(wells, BOX, a[2], progress=False), wells, BOX, a[2])
    np.testing.assert_allclose(one.x[0], d.x[0][2], rtol=precision()[1])
    assert not (d.singular | d.touching | d.tied).any() and not one.tied

    fun = lambda x, p: jnp.sum((x - p["a"]) ** 2)  # noqa: E731
    args = {"a": np.array([0.5, 2.0]), "k": np.arange(2)}
    boxes = np.array([[[-1.0, 1.0]], [[-1.0, 1.0]]])
    held = jg.derivative(many(fun, boxes, (args,)), fun, boxes, (args,))
    np.testing.assert_allclose(held.x[0]["a"], [[1], [0]], atol=precision()[1])
    np.testing.assert_allclose(held.x_bounds.upper, [[[0]], [[1]]], atol=precision()[1])
    np.testing.assert_allclose(held.fun_bounds.upper, [[0], [-2]], atol=precision()[1])
    assert held.x[0]["k"] is None
    with pytest.raises(ValueError, match="`result` must be that of these bounds and args"):
        jg.derivative(results, wells, BOX, a[:3])
    with pytest.raises(TypeError, match="`result` must be what minimize or minimize_many returned; got float"):
        jg.derivative(1.0, wells, BOX, a)


@pytest.mark.long
def test_a_host_function():
    a = np.linspace(0.5, 3, 7)
    expected = many(args=a)

    def fun(x, a):
        return float(np.sum((x**2 - a) ** 2 + 0.3 * x))

    for bounds in (BOX, np.array([BOX] * 7)):
        results = many(jg.host(fun), bounds, args=a)
        np.testing.assert_allclose(results.x, expected.x, atol=1e-4)
        assert results.success.all() and results.calls.made == 5 * results.nfev.sum()
    with pytest.raises(ValueError, match="`has_aux` must be False for a host function"):
        many(jg.host(fun), has_aux=True)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (dict(args=()), ValueError, "`args` must have arrays with a leading axis of problems; got none."),
        (dict(args=2.0), ValueError, "every leaf of `args` must have a leading axis of problems; got a number"),
        (dict(args=(np.ones(3), np.ones(4))), ValueError, "the same leading axis, of problems; got lengths [3, 4]."),
        (dict(args=np.ones((0, 2))), ValueError, "`args` must have at least one problem along its leading axis"),
        (dict(args=["a", "b"]), TypeError, "`args` must be pytrees of arrays and numbers; got str"),
        (dict(bounds=np.ones((3, 2, 2)).cumsum(axis=2)), ValueError, "must have a leading axis of 4 problems"),
        (dict(bounds=np.zeros((4, 2, 2)) - np.arange(2)), ValueError, "`upper` must be greater than or equal"),
        (dict(bounds=lambda a: [(0, a)]), TypeError, "`bounds` must be pairs (low, high)"),
        (dict(bounds_axis=1), ValueError, '`bounds_axis` must be "auto", None or 0; got 1.'),
        (dict(bounds=[BOX, BOX[:1]], bounds_axis=0), ValueError, "`bounds` of each problem must be an array"),
        (dict(x0=1.0), ValueError, "`x0` must have shapes [(4, 2)], or these with a second axis"),
        (dict(x0=np.zeros(2)), ValueError, "`x0` must have shapes [(4, 2)], or these with a second axis"),
        (
            dict(x0=np.full((4, 2), 9.0)),
            ValueError,
            "`x0` must lie inside the bounds; got 9.0 at index 0 of problem 0.",
        ),
        (dict(fun=3), TypeError, "`fun` must be a function"),
        (dict(fun=lambda x, a: x * a), TypeError, "`fun` must return a scalar"),
        (dict(same=0), ValueError, "`same` must be at least 1; got 0."),
        (dict(lanes=0), ValueError, "`lanes` must be"),
    ],
    ids=lambda v: str(v)[:30] if isinstance(v, dict) else "",
)
def test_wrong_arguments(wrong, error, message, monkeypatch):
    def compiles(*_):
        raise AssertionError("compiled")

    monkeypatch.setattr("jaxglobal.engine.fused.compile_chunk", compiles)
    with pytest.raises(error, match=re.escape(message)) as caught:
        many(**({"args": np.linspace(1, 2, 4)} | wrong))
    assert "\n" not in str(caught.value)


def test_results_of_a_problem_and_of_several():
    def fun(x, a):
        return jnp.sum((x["p"] - a) ** 2), {"twice": 2 * x["p"]}

    a = jnp.array([0.1, 0.2, 0.3, 0.4])
    results = jg.minimize_many(
        fun, jg.Box({"p": -np.ones(2)}, {"p": np.ones(2)}), a, has_aux=True, max_levels=2, progress=False
    )
    last = results[-1]
    assert isinstance(last, jg.Outcome) and last.x["p"] == pytest.approx([0.4, 0.4], abs=1e-3)
    assert last.aux["twice"] == pytest.approx([0.8, 0.8], abs=1e-3) and last.jac["p"].shape == (2,)
    assert type(last.fun) is float and type(last.success) is bool and type(last.nfev) is int
    assert last.status is jg.Status.MAX_LEVELS and last.message == jg.Status.MAX_LEVELS.value
    assert "MAX_LEVELS" in repr(last) and last.to_dict()["status"] == "MAX_LEVELS"
    assert [one.fun for one in results] == results.fun.tolist() == [results[np.int64(i)].fun for i in range(4)]
    for index in (slice(1, 3), [1, 2], np.array([False, True, True, False])):
        part = results[index]
        assert isinstance(part, jg.Results) and len(part) == 2 and part.time == results.time
        np.testing.assert_array_equal(part.x["p"], results.x["p"][1:3])
        np.testing.assert_array_equal(part.nfev, results.nfev[1:3])
    assert len(results[:0]) == 0 and "0 successful" in repr(results[:0]) and len(results[[]]) == 0
    for index in (4, -5):
        with pytest.raises(IndexError, match="`index` must be in"):
            results[index]
    for index in (True, "x", 1.5, (0, 1, 2.0)):
        with pytest.raises((TypeError, IndexError), match="`index` must be"):
            results[index]
