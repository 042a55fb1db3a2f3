"""Starts that learn: the cover, the hops, the evolution strategy, and what they are promised to keep."""

import jax.numpy as jnp
import numpy as np
import pytest
from checks import check_counts, check_minimum

import jaxglobal as jg
from jaxglobal.engine import looks
from jaxglobal.engine.spent import Spent
from jaxglobal.starts import adaptive, cmaes, elite, hops, state
from jaxglobal.starts.rounds import Rounds

BOX = [(-4.2, 5.0)] * 2


def lattice(x):
    """Rastrigin with its minimum off every grid."""
    return jg.problems.rastrigin(x - 1.3)


def wrinkled(x):
    """A funnel whose slope says nothing beyond the next wrinkle."""
    z = (x - 0.7) * 3
    return jnp.sum(z**2) + jnp.sum(jnp.abs(jnp.sin(40 * z)))


def search(fun=lattice, box=BOX, **options):
    return jg.minimize(fun, box, **{"progress": False, "same": 50, "max_levels": 6} | options)


def test_the_cover_is_whole_and_searches_are_fewer():
    result, plain = search(), search(starts=jg.Grid())
    assert [level.spacing for level in result.levels] == [level.spacing for level in plain.levels]
    assert all(level.nstarts < 3 + 4**k for k, level in enumerate(result.levels))
    assert 3 * result.nfev < 2 * plain.nfev and result.nstarts < plain.nstarts
    check_counts(result)
    check_minimum(result, 0.0)


def test_the_same_call_gives_the_same_answer_for_any_number_of_threads(monkeypatch):
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr("jaxglobal.engine.devices.threads", lambda threads=threads: threads)
        results.append(search(lanes=16))
    for result in results[1:]:
        assert np.array_equal(result.x, results[0].x) and result.nfev == results[0].nfev
        assert [(m.fun, m.count) for m in result.minima] == [(m.fun, m.count) for m in results[0].minima]


def test_seeds_differ_and_find_the_same():
    first, second = search(seed=0), search(seed=1)
    check_minimum(first, 0.0)
    check_minimum(second, 0.0)
    assert first.nfev != second.nfev


@pytest.mark.parametrize("limit", [dict(max_evals=700), dict(max_starts=17), dict(target=1.0)])
def test_limits_bind_within_a_round(limit):
    result = search(lanes=16, max_levels=None, **limit)
    check_counts(result)
    if "max_evals" in limit:
        # A tick of the lanes of every thread, and the gradient of the answer.
        assert 700 <= result.nfev <= 700 + 16 * 8 + 1 and result.status is jg.Status.MAX_EVALS
    elif "max_starts" in limit:
        assert result.nstarts == 17 and result.status is jg.Status.MAX_STARTS
    else:
        assert result.fun <= 1.0 and result.status is jg.Status.TARGET


def test_a_checkpoint_within_a_round(tmp_path):
    path, seen = tmp_path / "state.npz", []

    def stop(level):
        seen.append(level.index)
        if level.index == 4 and len(seen) <= 5:
            raise StopIteration

    plain = search(max_levels=7)
    search(max_levels=7, checkpoint=path, callback=stop)
    resumed = search(max_levels=7, checkpoint=path)
    assert np.array_equal(plain.x, resumed.x) and plain.nfev == resumed.nfev and plain.fun == resumed.fun
    assert [(m.fun, m.count) for m in plain.minima] == [(m.fun, m.count) for m in resumed.minima]


def test_a_search_that_is_saved_between_any_two_chunks_goes_on_as_if_it_had_not_been(tmp_path):
    plain = search(max_levels=6, lanes=16)
    for steps in (3, 17, 40):
        path = tmp_path / f"{steps}.npz"
        options = dict(max_levels=6, same=50, lanes=16, progress=False, checkpoint=path)
        broken = jg.levels(lattice, BOX, **options)
        for _ in range(steps):
            broken.step()
        broken.save()
        resumed = jg.minimize(lattice, BOX, **options)
        assert resumed.nfev == plain.nfev and np.array_equal(resumed.x, plain.x)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_any_number_of_variables(n):
    result = search(lattice, [(-4.2, 5.0)] * n, max_levels=None, same=4)
    # In five variables the levels that are affordable may end among the best of 10^5 minima.
    assert result.success and result.fun < 1e-6 if n < 5 else result.fun < 5, result


def test_rugged_functions_without_a_useful_slope():
    result = search(wrinkled, max_levels=None, max_evals=20_000, target=1e-8)
    assert result.fun <= (1e-8 if result.x.dtype == np.float64 else 1e-3)


@pytest.mark.long
def test_fixed_and_open_variables_and_points_without_a_value():
    fixed = search(lambda x: jnp.sum((x - 0.25) ** 2), [(-1, 1), (0.5, 0.5), (-1, 1)])
    check_minimum(fixed, 0.0625)
    hole = search(lambda x: jnp.where(x[0] > 0, jnp.nan, jnp.sum((x + 0.5) ** 2)), [(-1, 1)] * 2)
    check_minimum(hole, 0.0)
    nothing = search(lambda x: jnp.sum(x) * jnp.nan, [(-1, 1)] * 2, max_levels=5)
    assert nothing.status is jg.Status.NO_FINITE_VALUE
    opened = search(lambda x: jnp.sum((x - 3) ** 2), [(-1, 1)] * 2, open=True)
    check_minimum(opened, 0.0)


def test_halves_split_each_axis_in_turn():
    halves, seen = jg.Halves(4), set()
    for level in range(4):
        points = halves.points(level, 0, halves.size(level, 3), 3)
        assert len(points) == 4**level == len({tuple(p) for p in points}) and np.all((points > 0) & (points < 1))
        sides = [len(set(points[:, axis])) for axis in range(3)]
        assert max(sides) <= 2 * min(sides) and np.prod(sides) == 4**level
        assert halves.spacing(level, len(points), 3) == 0.5 / min(sides)
        seen.add(tuple(sides))
    assert len(seen) == 4
    whole = halves.points(3, 0, 64, 3)
    assert np.array_equal(whole[10:20], halves.points(3, 10, 10, 3))
    with pytest.raises(ValueError, match="`factor` must be a power of two; got 3"):
        jg.Halves(3)


@pytest.mark.parametrize("n", [2, 5])
def test_the_evolution_strategy_follows_a_long_ellipsoid(n):
    rng, scales = np.random.default_rng(0), 10.0 ** np.linspace(0, 4, n)
    evolution = cmaes.begin(np.full(n, 0.8), cmaes.default_size(n))
    for _ in range(400):
        points = cmaes.sample(evolution, rng)
        evolution = cmaes.tell(evolution, points, ((points - 0.3) ** 2) @ scales, points)
        if cmaes.ended(evolution):
            break
    assert evolution.f < 1e-10 and np.allclose(evolution.x, 0.3, atol=1e-4)
    assert cmaes.ended(evolution)


def test_in_float32_a_minimum_enters_the_pool_once():
    rounds = Rounds(jg.Adaptive(jg.Sobol()), 2, float(np.finfo(np.float32).eps))
    rng, sure = np.random.default_rng(0), np.ones(20, bool)
    rounds.add(0.3 + 1e-5 * rng.random((20, 2)), 3 + 1e-6 * rng.random(20), sure)  # the ends of searches in one basin
    assert len(rounds.state.pool.f) == 1
    rounds.add(0.7 + 1e-5 * rng.random((20, 2)), 3 + 1e-6 * rng.random(20), sure)
    assert len(rounds.state.pool.f) == 2


def test_variables_that_act_alone_are_searched_alone():
    def lattice(x):  # 7^12 minima
        y = x - jnp.linspace(-2, 2, x.size)
        return jnp.sum(1 - jnp.cos(2 * jnp.pi * y) + 0.1 * y**2)

    result = search(lattice, [(-3.5, 3.5)] * 12, max_levels=None, max_evals=6000, target=1e-8)
    assert result.status is jg.Status.TARGET


def test_two_values_alone_are_one_evaluation():
    spent = Spent().add(pairs=10, ticks=16).add(values=3)
    assert spent.nfev == 12 and spent.efficiency == 10 / 16
    assert spent.values_within(5) == 11 and spent.add(values=11).nfev == 17 and spent.add(values=12).nfev == 18


def test_the_default_learns_up_to_a_thousand_variables():
    assert isinstance(adaptive.read("auto", 500, 0), jg.Adaptive)
    assert isinstance(adaptive.read("auto", 2000, 0), jg.Sobol)
    assert isinstance(adaptive.read(jg.Grid(), 2, 0), jg.Grid)
    assert isinstance(adaptive.read("auto", 4, 0).cover, jg.Halves)


@pytest.mark.parametrize("programs", [1, 3])
def test_values_alone_on_any_threads(programs, monkeypatch):
    monkeypatch.setattr(looks, "WORTH_THREADS", 0.0)

    def program(x, count, args):
        return args[0] * np.sum(x, axis=1)

    waiting = looks.Looks([program] * programs, 4, 2, np.dtype(float))
    points = np.arange(46.0).reshape(23, 2)
    waiting.ask(points[:13], np.arange(13))
    waiting.ask(points[13:], np.arange(13, 23))
    waiting.seconds, taken, told = 1.0, [], []
    while len(waiting.points):
        ended, count = waiting.run(3, 5 if not taken else None, [[2.0]] * programs, slice(None), map)
        taken.append(count)
        told.append(ended)
    assert taken == [5, 12, 6]  # evaluations that may still be made, three calls of four points, the rest
    assert np.concatenate([ended.start for ended in told]).tolist() == list(range(23))
    assert np.array_equal(np.concatenate([ended.f for ended in told]), 2 * np.sum(points, axis=1))
    assert np.array_equal(np.concatenate([ended.x for ended in told]), points)


def test_of_several_processes_each_looks_at_its_share():
    def program(x, count, args):
        return np.sum(x, axis=1)

    points, starts = np.arange(22.0).reshape(11, 2), []
    for index in range(2):
        waiting = looks.Looks([program], 4, 2, np.dtype(float))
        waiting.ask(points, np.arange(11))
        ended, count = waiting.run(9, None, [[]], slice(index, None, 2), map)
        assert count == 11 and not len(waiting.points)
        starts.append(ended.start.tolist())
    assert starts == [[0, 1, 2, 3, 8, 9, 10], [4, 5, 6, 7]]


def course_of(f, cover=8, cells=2, hopped=2, **fields):
    """A round, in it f: of `cover` points in `cells` cells, of four for each hop, and of exchanges."""
    n, whole = 2, np.zeros(hopped, np.int64)
    rounds = Rounds(jg.Adaptive(jg.Sobol()), n)
    x = np.random.default_rng(0).random((len(f), n))
    fields = {"pool": elite.enter(elite.empty(n), np.full((1, n), 0.5), np.ones(1), np.ones(1, bool))} | fields
    split = cover + hops.CANDIDATES * hopped
    axis = np.zeros(len(f) - split, np.int64)
    rounds.state = rounds.state._replace(
        candidates=x[:split], values=f[:split], x=x[split:],
        covered=np.array(cover), cells=np.array(cells), kind=whole, axis=axis, bin=whole,
        first_step=np.full(cells + hopped, 0.1), step=np.array(state.EXCHANGE), **fields,
    )  # fmt: skip
    rounds.take(x[split:], f[split:], np.ones(len(axis)), np.ones(len(axis), bool))
    assert len(rounds.state.x) == len(rounds.state.first_step) == cells + hopped  # the round keeps its size
    assert int(rounds.state.cells) + len(rounds.state.kind) <= cells + hopped
    return x, rounds.state


def searched(course, *points):
    """How often the round begins at each of the points."""
    return [int(np.sum(np.all(course.x == point, axis=1))) for point in points]


@pytest.mark.parametrize("lowest", range(18))
@pytest.mark.parametrize("ends", [0, 1, 2, 5])
def test_the_lowest_candidate_is_searched_from_once(lowest, ends):
    f = np.full(18, 5.0)
    f[lowest] = -1.0
    pending = np.linspace(0.1, 0.3, 2 * ends).reshape(ends, 2)
    x, course = course_of(f, pending=pending)
    assert searched(course, x[lowest]) == [1] and int(course.cells) >= 1
    # An end of an evolution that finds no place waits.
    assert sum(searched(course, *pending)) + len(course.pending) == ends


@pytest.mark.parametrize("cover, cells, hopped", [(8, 2, 2), (8, 1, 0), (0, 0, 1), (0, 0, 2), (8, 4, 6)])
def test_the_best_point_of_a_running_evolution_has_a_place(cover, cells, hopped):
    f = np.full(cover + 4 * hopped, 5.0)
    f[-1] = 0.5  # below the pool, and above the evolution
    evolution = cmaes.begin(np.full(2, 0.5), 6)._replace(x=np.array([0.3, 0.7]), f=np.array(-1.0))
    _, course = course_of(f, cover, cells, hopped, evolution=evolution, pending=np.array([[0.1, 0.1], [0.2, 0.2]]))
    assert searched(course, evolution.x) == [1]
    _, course = course_of(f, cover, cells, hopped, evolution=evolution, pool=elite.empty(2))
    assert searched(course, evolution.x) == [1]
    x, course = course_of(f, cover, cells, hopped, evolution=evolution._replace(f=np.array(0.9)))
    assert searched(course, x[-1]) == [1]


def test_the_best_point_is_one_that_was_searched_from():
    def rough(x):
        s = jnp.sqrt(x[:-1] ** 2 + x[1:] ** 2 + 1e-30)
        return jnp.mean(jnp.sqrt(s) * (1 + jnp.sin(50 * s**0.2) ** 2)) ** 2

    result = search(rough, [(-4.2, 5.0)] * 5, max_levels=3, seed=1)
    assert result.minima[0].count > 0 and result.minima[0].status is not jg.LocalStatus.RUNNING
    for starts in (40, 77, 150):  # in the middle of a round, with the evolution at work
        cut = search(rough, [(-4.2, 5.0)] * 5, max_levels=None, max_starts=starts, seed=1)
        assert cut.minima[0].count > 0


def test_an_evolution_ends_where_its_values_no_longer_differ():
    def of(best):
        evolution = cmaes.begin(np.full(2, 0.5), 8)
        return cmaes.ended(evolution._replace(best=np.array(best)))

    falling = 1e-9 * 0.5 ** np.arange(40.0)
    assert not of(falling)  # small values are not settled values
    assert of([1.0, *np.full(40, 1e-3)]) and of(np.full(40, np.inf))
    assert not of([*np.full(20, np.inf), 2.0, 1.0])


def test_a_round_of_many_variables_exchanges_only_so_much():
    n = 1000
    pool = elite.enter(elite.empty(n), np.random.default_rng(0).random((40, n)), np.arange(40.0), np.ones(40, bool))
    habits = hops.fresh()._replace(sweep=np.array(hops.LONGEST_SWEEP))
    _, x, axis = hops.exchanges(pool, habits, np.zeros((0, 2)), np.random.default_rng(0))
    assert n < len(x) == len(axis) <= hops.MOST_EXCHANGES < hops.LONGEST_SWEEP * n and len(np.unique(axis)) == n
