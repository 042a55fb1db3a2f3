"""Searches that are asked for points and told values: any order, late answers, limits."""

import re

import numpy as np
import pytest
from hosts import BOX, solve
from simulators import gradient, himmelblau

import jaxglobal as jg


def told(search, k):
    """Evaluates k points at a time until none is asked."""
    while len(points := search.ask(k)):
        search.tell([himmelblau(x) for x in points.x], np.array([gradient(x) for x in points.x]), points.ids)
    return search.result()


@pytest.mark.long
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
    with pytest.raises(ValueError, match="`f` must be real values, one a point; got lists of several lengths"):
        search.tell(points, [1.0], np.zeros((1, 2)))
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
