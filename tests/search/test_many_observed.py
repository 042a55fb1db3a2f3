"""What `minimize_many` tells of its problems: the callback, the checkpoint that it goes on from, distinct minima."""

import collections

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal import Status
from jaxglobal.evidence import distinct
from jaxglobal.evidence.minima import Ended

BOX = [(-3.0, 3.0)] * 2


def wells(x, a):
    return jnp.sum((x**2 - a) ** 2 + 0.1 * x)


HOST = jg.host(lambda x, a: float(np.sum((x**2 - a) ** 2 + 0.1 * x)))
KINDS = {
    "learning": (wells, 9, {}),
    "plain": (wells, 300, dict(starts=jg.Grid(), lanes=4)),
    "host": (HOST, 3, dict(max_levels=3)),
}


def many(kind, **options):
    fun, count, more = KINDS[kind]
    return jg.minimize_many(fun, BOX, np.linspace(1, 3, count), **{"progress": False} | more | options)


@pytest.fixture(scope="module", params=KINDS)
def whole(request):
    return request.param, many(request.param)


def the_same(results, others):
    for name in ("x", "fun", "nfev", "nit", "nstarts", "success", "status"):
        np.testing.assert_array_equal(getattr(results, name), getattr(others, name), name)
    for name in ("x", "fun", "count"):
        np.testing.assert_array_equal(getattr(results.minima, name), getattr(others.minima, name), name)


@pytest.mark.long
def test_a_callback_hears_of_each_problem_once_and_ends_the_search(whole, tmp_path):
    kind, results = whole
    heard, calls = [], 0

    def stop(told):
        heard.extend(told.problems.tolist())
        assert told.done == len(heard) and told.count == len(results) and told.x.shape == (len(told.problems), 2)
        found = results.minima.fun[told.problems, 0]
        np.testing.assert_allclose(told.fun, found, atol=1e-4)  # before the polish
        raise StopIteration

    while not heard or len(heard) < len(results):
        stopped = many(kind, callback=stop, checkpoint=tmp_path / "many.npz")
        calls += 1
        stops = stopped.status == Status.CALLBACK
        assert stops.sum() == len(results) - len(heard) and not stopped.success[stops].any()
    assert sorted(heard) == list(range(len(results))) and calls > 1
    the_same(many(kind, checkpoint=tmp_path / "many.npz"), results)  # has ended: at once


@pytest.mark.long
def test_a_search_of_many_goes_on_from_its_checkpoint(whole, tmp_path):
    kind, results = whole
    for _ in range(1000):
        part = many(kind, max_time=0.2, checkpoint=tmp_path / "many.npz")
        assert set(part.status) <= {Status.MAX_TIME, *results.status}
        if Status.MAX_TIME not in part.status:
            break
    the_same(part, results)


def test_the_file_of_another_search_is_refused(tmp_path):
    args, options = np.linspace(1, 3, 4), dict(max_levels=1, progress=False, checkpoint=tmp_path / "many.npz")
    jg.minimize_many(wells, BOX, args, **options)
    with pytest.raises(ValueError, match="`checkpoint` must be the file of this search.* another args"):
        jg.minimize_many(wells, BOX, args + 1, **options)
    with pytest.raises(ValueError, match="another function"):
        jg.minimize_many(lambda x, a: wells(x, a) + 1, BOX, args, **options)
    with pytest.raises(TypeError, match="`callback` must be a function"):
        jg.minimize_many(wells, BOX, args, callback=3)


def test_the_distinct_minima_of_each_problem_are_those_of_its_own_search():
    args, options = np.linspace(1, 3, 5), dict(starts=jg.Grid(), max_levels=3, progress=False)
    results = jg.minimize_many(wells, BOX, args, **options)
    assert results.minima.fun.shape == (5, 4) and results.minima.x.shape == (5, 4, 2)
    for one, a in zip(results, args, strict=True):
        alone = jg.minimize(wells, BOX, (a,), **options).minima
        assert one.minima.count.tolist() == [m.count for m in alone]
        np.testing.assert_allclose(one.minima.fun, [m.fun for m in alone], atol=1e-5)
        assert one.minima.fun[0] == one.fun and np.array_equal(one.minima.x[0], one.x)
    part = results[1:3]
    assert len(part) == 2 and np.array_equal(part.minima.count, results.minima.count[1:3])


def test_minima_are_kept_whatever_the_order_in_which_searches_end(monkeypatch):
    monkeypatch.setattr(distinct, "MOST", 6)
    rng = np.random.default_rng(0)
    places = rng.uniform(-1, 1, (12, 2))
    k = 400
    problem, which = rng.integers(0, 3, k), rng.integers(0, 12, k)
    x, whole = places[which] + 1e-9 * rng.standard_normal((k, 2)), np.zeros(k, int)
    ended = Ended(x, which / 7 + 1e-12 * rng.random(k), np.arange(k), whole, whole + 1, problem)
    ended.f[::50] = np.inf

    def kept(order, blocks):
        found = distinct.Distinct(3, 2, np.dtype(float))
        for rows in np.array_split(order, blocks):
            found.add(Ended(*(field[rows] for field in ended)), np.full(2, -1.0), np.full(2, 2.0), 1e-8)
        return found.merged(np.full(2, -1.0), np.full(2, 2.0), 1e-8, 1e-8)

    one = kept(np.arange(k), 1)
    assert one.fun.shape == (3, 6)
    for p in range(3):
        mine = (problem == p) & np.isfinite(ended.f)
        assert one.count[p].tolist() == [int(np.sum(mine & (which == w))) for w in range(6)]
        np.testing.assert_allclose(one.fun[p], np.arange(6) / 7, atol=1e-9)
    for blocks in (2, 17, k):
        other = kept(rng.permutation(k), blocks)
        assert np.array_equal(one.x, other.x) and np.array_equal(one.count, other.count)


def test_the_lowest_cells_are_kept_with_their_searches_that_of_a_corner_too():
    rng = np.random.default_rng(0)
    k, most = 300, 3
    x = rng.integers(0, 4, (k, 1)) / 3  # of four cells, those of the ends of the box among them
    f = np.round(np.cos(7 * x[:, 0]) + rng.integers(0, 3, k) / 10, 6)
    whole, problem = np.zeros(k, int), rng.integers(0, 2, k)
    ended = Ended(x, f, np.arange(k), whole, whole + 1, problem)
    found = distinct.Distinct(2, 1, np.dtype(float), most)
    for rows in np.array_split(np.arange(k), 7):
        found.add(Ended(*(field[rows] for field in ended)), np.zeros(1), np.ones(1), 0.0)
    for p in range(2):
        cells = collections.Counter(zip(f[problem == p].tolist(), x[problem == p, 0].tolist(), strict=True))
        lowest = sorted(cells)[:most]
        kept = sorted(
            zip(found.f[:, p].tolist(), found.x[:, p, 0].tolist(), found.searches[:, p].tolist(), strict=True)
        )
        assert kept == [(*cell, cells[cell]) for cell in lowest] and found.full[p]


def test_the_distinct_minima_cost_no_python_for_each_search(monkeypatch):
    entered = []
    enter = distinct.Distinct._enter
    monkeypatch.setattr(distinct.Distinct, "_enter", lambda *args: entered.append(1) or enter(*args))
    k = 5000
    which = np.arange(k) % 20
    ended = Ended(which[:, None] / 20, which / 20, np.arange(k), *np.zeros((3, k), int))
    found = distinct.Distinct(1, 1, np.dtype(float))
    found.add(ended, np.zeros(1), np.ones(1), 0.0)
    assert len(entered) == distinct.MOST and np.all(found.searches == k / 20) and found.full.all()


def test_a_problem_without_a_value_has_no_minima():
    results = jg.minimize_many(
        lambda x, a: jnp.where(a > 0, jnp.sum((x - a) ** 2), jnp.nan), BOX, np.array([1.0, -1.0]), progress=False,
        starts=jg.Grid(), max_levels=2,
    )  # fmt: skip
    assert len(results[0].minima.fun) == 1 and len(results[1].minima.fun) == 0
    assert np.isnan(results.minima.fun[1]).all() and results.minima.count[1].tolist() == [0]
