"""Whole numbers under constraints that are told: right, no point off the lattice, and none more than is needed."""

import collections
import itertools

import numpy as np
import pytest
from scipy.optimize import LinearConstraint

import jaxglobal as jg

BOX = [(-4, 9), (-3.0, 9.0)]
MASK = [True, False]
ROWS = jg.Constraint(None, upper=[1.5, 5.0])  # y below a line that k moves; k alone, below 6


def value(x):
    k, y = x
    return (y - k / 2) ** 2 + (k - 2.6) ** 2 + 0.3 * np.cos(5 * k)


def rows(x):
    return np.array([x[1] + 0.5 * x[0], x[0]])


def slopes(x):
    """NaN by the whole number."""
    return np.array([np.nan, 2 * x[1] - x[0]]), np.array([[np.nan, 1.0], [np.nan, 0.0]])


def by_hand():
    """The value of the best assignment, and where it is."""
    y = {k: np.clip(min(k / 2, 1.5 - 0.5 * k), -3, 9) for k in range(-4, 6)}
    return min((value((k, y[k])), k, y[k]) for k in y)


def tell(search, points):
    """Tells what is at some points, all of them whole."""
    assert np.all(points.x[:, 0] == np.rint(points.x[:, 0]))
    g, J = (np.array(part) for part in zip(*map(slopes, points.x), strict=True))
    c = np.array([*map(rows, points.x)])
    search.tell(np.array([*map(value, points.x)]), g, points.ids, constraints=c, jacobian=J)


def told(**options):
    return jg.Search(BOX, integrality=MASK, constraints=ROWS, **options)


@pytest.mark.parametrize("starts", ["auto", jg.Sobol()], ids=["learning", "sobol"])
def test_a_simulator_sees_whole_numbers_alone(starts, x64):
    seen = collections.Counter()

    def simulate(x):
        assert x[0] == np.rint(x[0])
        seen[float(x[0])] += 1
        return value(x), rows(x)

    result = jg.minimize(
        jg.host(simulate), BOX, integrality=MASK, constraints=ROWS, starts=starts, max_evals=500, progress=False
    )
    f, k, y = by_hand()
    assert result.x[0] == k and np.isclose(result.x[1], y, atol=1e-6 if x64 else 1e-3), result
    assert np.isclose(result.fun, f, atol=1e-9 if x64 else 1e-4) and result.violation < 1e-4
    assert np.isclose(result.multipliers[0], 1, atol=1e-3) and result.multipliers[1] == 0
    assert sum(seen.values()) == result.calls.made and set(seen) <= set(range(-4, 10))
    # Where k is too large no search helps: a point there is looked at, or a search of one evaluation, of three calls.
    assert not any(seen[k] > max(seen[k] for k in range(-4, 6)) for k in range(6, 10))


@pytest.mark.long
def test_ask_and_tell_and_checkpoints(tmp_path):
    """In whatever order; saved anywhere, it finds what it would have."""

    def ask_all(search, k, most=10**9, rng=None):
        asked = []
        while len(asked) < most and len(points := search.ask(k)):
            asked += [x.tobytes() for x in points.x]
            order = np.arange(len(points)) if rng is None else rng.permutation(len(points))
            tell(search, type(points)(points.ids[order], points.x[order]))
        return asked

    options = dict(max_levels=4, lanes=4)
    usual = told(**options)
    asked = ask_all(usual, 1)
    plain, (f, k, y) = usual.result(), by_hand()
    assert plain.x[0] == k and np.isclose(plain.x[1], y, atol=1e-6) and np.isclose(plain.fun, f)
    mixed = told(**options)
    ask_all(mixed, 50, rng=np.random.default_rng(1))
    assert np.array_equal(mixed.result().x, plain.x) and mixed.result().nfev == plain.nfev
    for stop in (7, 40, 75):  # among the points that tell the scales, too
        kept = dict(checkpoint=tmp_path / f"{stop}.npz", tag="line", **options)
        before = told(**kept)
        early = ask_all(before, 1, stop)
        before.save()
        again = told(**kept)
        late = ask_all(again, 1)
        assert collections.Counter(early + late) == collections.Counter(asked), stop
        assert np.array_equal(again.result().x, plain.x) and again.result().nfev == plain.nfev
    with pytest.raises(ValueError, match="another options"):
        jg.Search([(-4.5, 9.5), (-3.0, 9.0)], constraints=ROWS, **kept)


def test_a_choice_beside_rows_that_are_evaluated_here():
    """What is evaluated here sees the value of a choice, as what is told does."""
    sizes = [0.3, 0.7, 1.1, 2.0]
    search = jg.Search(
        [jg.Choice(sizes), (0.0, 1.2)], max_levels=4,
        constraints=[LinearConstraint([[1.0, 0.0]], -np.inf, 1.5), jg.Constraint(None, lower=1.0)],
    )  # fmt: skip
    while (x := search.ask()) is not None:
        assert x[0] in sizes
        search.tell(-(x[0] ** 2) + x[1], [np.nan, 1.0], constraints=x[0] * x[1], jacobian=[np.nan, x[0]])
    result = search.result()
    assert result.x[0] == 1.1 and np.isclose(result.x[1], 1 / 1.1, atol=1e-7) and result.violation < 1e-8


def test_whole_numbers_alone():
    """A point is one call; a row that is off its bound by rounding counts as kept; none that can be kept is said."""
    seen, weights = collections.Counter(), np.array([20.0, 12, 11, 7, 4])
    prices, bits = np.array([42, 44, 45, 47, 47.5]), np.array([*itertools.product((0.0, 1), repeat=5)])

    def simulate(x):
        seen[x.tobytes()] += 1
        return 50 * x @ x + prices @ x, weights @ x

    options = dict(integrality=True, progress=False)
    result = jg.minimize(jg.host(simulate), [(0, 1)] * 5, constraints=jg.Constraint(None, 40.0), **options)
    kept = bits[bits @ weights >= 40]
    assert result.fun == np.min(50 * np.sum(kept, axis=1) + kept @ prices) and result.success
    assert result.message == "each of the 32 points of whole numbers was evaluated" and not np.any(result.multipliers)
    tenths = jg.host(lambda x: (np.sum((x - 2.2) ** 2), 0.1 * x[0] - 0.3 * x[1]))
    result = jg.minimize(tenths, [(1, 5)] * 2, constraints=jg.Constraint(None, 0.0, 0.0), **options)
    assert result.success and result.x.tolist() == [3, 1]
    none = jg.minimize(jg.host(simulate), [(0, 1)] * 5, constraints=jg.Constraint(None, 55.0), **options)
    assert none.status is jg.Status.INFEASIBLE and none.violation == 1 and none.x.tolist() == [1] * 5


def test_few_evaluations():
    """A limit among the values that tell the scales is one, and says nothing of the constraints."""
    search = told(max_evals=3)
    while len(points := search.ask(2)):
        tell(search, points)
    result = search.result()
    assert result.status is jg.Status.MAX_EVALS and result.nfev == 3 and result.x[0] == np.rint(result.x[0])


def test_trees_in_float32():
    mask = {"n": np.array([True, False]), "w": False}
    low, high = ({"n": np.full(2, side, np.float32), "w": np.float32(side)} for side in (-3, 4))
    rows = jg.Constraint(None, 0.0, 1.4)
    search = jg.Search(jg.Box(low, high), integrality=mask, constraints=rows, max_levels=3)
    while len(points := search.ask(8)):
        n, w = points.x["n"], points.x["w"]
        assert n.dtype == np.float32 and np.all(n[:, 0] == np.rint(n[:, 0]))
        f = np.sum((n - np.float32(1.6)) ** 2, axis=1) + (w - n[:, 0]) ** 2
        g = {"n": 2 * (n - np.float32(1.6)), "w": 2 * (w - n[:, 0])}
        J = {"n": np.float32([[1, 0]] * len(w)), "w": np.ones_like(w)}
        search.tell(f, g, points.ids, constraints=n[:, 0] + w, jacobian=J)
    x = search.result().x
    assert x["n"][0] == 1 and np.allclose(x["n"][1], 1.6, atol=1e-4) and np.isclose(x["w"], 0.4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(integrality=[True]), "`integrality` must be True"),
        (dict(integrality=MASK, open=True), "`open` must be False"),
        (dict(integrality=MASK, x0=[0.5, 0.0]), "`x0` must be whole"),
        (dict(bounds=[(0.2, 0.8), (0, 1)], integrality=MASK), "whole number between them"),
    ],
)
def test_wrong_arguments(options, words):
    given = dict(bounds=BOX, constraints=ROWS) | options
    with pytest.raises(ValueError, match=words):
        jg.Search(**given)
    with pytest.raises(ValueError, match=words):
        jg.minimize(jg.host(lambda x: (value(x), rows(x))), **given, progress=False)
