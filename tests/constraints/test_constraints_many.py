"""minimize_many under constraints: each problem as minimize has it, and nothing infeasible called a success."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import X64
from scipy.optimize import LinearConstraint
from test_constraints import BOX, CASES, row, row_of_sum, squares

import jaxglobal as jg
from jaxglobal.constraints import penalties
from jaxglobal.status import LocalStatus

TOLERANCE = 1e-9 if X64 else 2e-5
CENTRE = (0.3, 0.3)


def problems():
    """The args and the bounds of the cases of a single search, and of one that cannot be kept."""
    cases = [*CASES.values(), ((0, 0), (1.0, 1.0), 9.0, np.inf, None, None)]
    slope, power, lower, upper, _, _ = (list(column) for column in zip(*cases, strict=True))
    return cases, (np.tile(CENTRE, (len(cases), 1)), np.array(slope, float), np.array(power, float)), lower, upper


def many(given, constraint, **options):
    return jg.minimize_many(squares, BOX, given, constraints=constraint, progress=False, **options)


@pytest.mark.long
@pytest.mark.parametrize("starts", ["auto", jg.Grid()], ids=["learning", "grid"])
def test_each_is_that_of_a_single_search(starts):
    """Bounds of each problem, of all kinds: values, multipliers, active; one cannot be kept, and says so."""
    cases, given, lower, upper = problems()
    results = many(given, jg.Constraint(row, lower, upper), starts=starts)
    for i, (_, _, low, high, value, multiplier) in enumerate(cases):
        one = results[i]
        if value is None:
            assert one.status is jg.Status.INFEASIBLE and not one.success and np.isclose(one.violation, 1, atol=1e-4)
            assert np.allclose(np.abs(one.x), 2, atol=1e-4)
            continue
        c = float(row(jnp.asarray(one.x), *(part[i] for part in given)))
        assert one.success and abs(one.fun - value) <= TOLERANCE * (1 + abs(value)), (i, one)
        assert max(low - c, c - high, one.violation) <= 10 * TOLERANCE * max(1, abs(c)), (i, one)
        assert np.isclose(one.multipliers, multiplier, atol=1e-6 if X64 else 1e-3), (i, one)
        assert bool(one.active) == (multiplier != 0)
    assert results.violation.shape == results.multipliers.shape == results.active.shape == (len(cases),)
    assert set(results[0].to_dict()) >= {"violation", "multipliers", "active"}
    assert results[2:4].multipliers.shape == (2,)
    assert "violation: " in repr(results) and "violation=" in repr(results[0])


@pytest.mark.long
def test_lists_auxiliary_outputs_and_evaluations():
    """Several constraints, one of them SciPy's; the auxiliary output is the user's own; a limit; new bounds."""
    traces = []

    def fun(x, a):
        traces.append(1)
        return jnp.sum((x - a) ** 2), {"twice": 2 * x}

    def search(least, **options):
        rows = [LinearConstraint([[1.0, 1.0]], -np.inf, 0.0), jg.Constraint(lambda x, a: x * x, [0.0, least], np.inf)]
        given = np.array([[0.3, 0.3], [-0.3, -1.0]])
        return jg.minimize_many(
            fun, BOX, given, constraints=rows, has_aux=True, starts=jg.Grid(), progress=False, **options
        )

    results = search(0.25)
    assert np.all(results.success) and [part.shape for part in results.active] == [(2, 1), (2, 2)]
    assert np.allclose(results.x, [[0.3, -0.5], [-0.3, -1.0]], atol=1e-4)
    assert np.allclose(results.aux["twice"], 2 * results.x)
    assert results.active[1][:, 1].tolist() == [True, False] and not np.any(results.active[0])
    before = len(traces)
    again = search(0.36)
    assert again.compile_time < 0.3 * results.compile_time and len(traces) - before <= before
    assert np.allclose(again.x[0], [0.3, -0.6], atol=1e-4)
    few = search(0.25, max_evals=60)
    assert np.all(few.nfev < 60 + 400) and np.all([status is jg.Status.MAX_EVALS for status in few.status])
    assert not np.any(few.success)
    reached = search(0.25, target=0.7)
    assert np.all(reached.success) and np.all(reached.fun <= 0.7)


@pytest.mark.long
def test_lanes_do_not_matter():
    _, given, lower, upper = problems()
    constraint = jg.Constraint(row, lower, upper)
    narrow, wide = (many(given, constraint, starts=jg.Grid(), lanes=lanes, max_levels=2) for lanes in (4, 32))
    assert np.allclose(narrow.x[:-2], wide.x[:-2], atol=TOLERANCE) and np.array_equal(narrow.nstarts, wide.nstarts)


@pytest.mark.long
def test_undefined_rows_and_dependent_ones():
    """A row that is NaN in half of the box; two that say the same; contradictory ones; a function that is NaN."""

    def rows(x, a):
        return jnp.stack([x[0] + x[1], 2 * (x[0] + x[1]), jnp.sqrt(x[0])])

    none = np.inf
    lower = np.array([[1, 2, -none], [-none, -none, 1.0], [1, 1, -none], [-none, -none, -none]])
    upper = np.array([[1, 2, none], [none, none, none], [1, 1, none], [none, none, none]])
    given = np.tile(CENTRE, (4, 1))
    given[3] = np.nan
    results = many(given, jg.Constraint(rows, lower, upper), starts=jg.Grid())
    assert np.allclose(results.fun[:2], [0.08, 0.49], atol=10 * TOLERANCE) and np.all(results.success[:2])
    assert results.status[2] is jg.Status.INFEASIBLE and results.status[3] is jg.Status.NO_FINITE_VALUE
    assert not np.any(results.success[2:])
    assert np.isfinite(results.multipliers).all()


def test_without_constraints_nothing_changes():
    given = np.array([[0.3, 0.3], [0.1, 0.5]])
    plain = jg.minimize_many(squares, BOX, given, progress=False)
    for none in (None, [], jg.Constraint(lambda x, _: x[:0])):
        same = jg.minimize_many(squares, BOX, given, constraints=none, progress=False)
        assert np.array_equal(same.x, plain.x) and np.array_equal(same.nfev, plain.nfev)
    assert np.all(plain.violation == 0) and plain.multipliers is None and plain.active is None
    assert plain[0].violation == 0 and "violation" not in plain[0].to_dict()


WRONG = {
    "axis": (dict(constraints=jg.Constraint(row_of_sum, np.zeros(3))), ValueError, "must have 2 problems along"),
    "order": (dict(constraints=jg.Constraint(row_of_sum, np.ones(2), np.array([2.0, 0]))), ValueError, "at index 1"),
    "open": (dict(open=True), ValueError, "`open` must be False"),
    "ctol": (dict(ctol=2.0), ValueError, "`ctol` must be above 0"),
    "many": (dict(constraints=jg.Constraint(lambda x, a: jnp.tile(x, 200), 0.0)), ValueError, "at most 256 together"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    options, error, words = WRONG[name]
    rows = options.get("constraints", jg.Constraint(row_of_sum, 0.0))
    with pytest.raises(error, match=words):
        many(
            np.zeros((2, 2)),
            **{**options, "constraint": rows} if "constraints" not in options else {"constraint": rows},
        )


def test_what_does_not_take_them_says_so():
    host = jg.host(lambda x, a: float(np.sum(x)))
    rows = jg.Constraint(row_of_sum, 0.0)
    with pytest.raises(TypeError, match="not taken by minimize_many of a host function yet: call minimize for each"):
        jg.minimize_many(host, BOX, np.zeros((2, 2)), constraints=rows)
    plain = jg.minimize_many(squares, BOX, np.zeros((2, 2)), progress=False)
    with pytest.raises(TypeError, match="constraints` .*yet"):
        jg.derivative(plain, squares, BOX, np.zeros((2, 2)), constraints=rows)


@pytest.mark.long
@pytest.mark.skipif(not X64, reason="compared to the digits of float64")
def test_is_that_of_argmin_with_a_box_of_each():
    """By another program, for random problems with boxes of their own."""
    rng = np.random.default_rng(3)
    a, high = rng.uniform(-2, 2, (24, 2)), rng.uniform(0.2, 2, (24, 2))
    boxes = np.stack([np.full_like(high, -1.5), high], axis=-1)

    def fun(x, a):
        return jnp.sum((x - a) ** 2) + 0.3 * jnp.sum(jnp.cos(3 * (x + a)))

    disc = jg.Constraint(lambda x, a: jnp.sum(x**2), upper=1.0)
    results = jg.minimize_many(fun, boxes, a, constraints=disc, max_levels=3, starts=jg.Grid(), progress=False)
    found = jax.vmap(lambda a, box: jg.argmin(fun, box, a, 3, starts=jg.Grid(), constraints=disc))(a, boxes)
    assert np.allclose(results.fun, found.fun, atol=1e-10) and np.allclose(
        results.multipliers, found.multipliers, atol=1e-8
    )
    assert np.array_equal(results.active, found.active) and np.max(results.violation) < 1e-11


@pytest.mark.long
def test_many_tiny_feasible_parts_end_by_the_evidence():
    """Where most searches end infeasible, every other one begins with a large penalty, as those of minimize do."""
    centre = np.random.default_rng(1).uniform(-5, 5, (3, 2))
    row = jg.Constraint(lambda x, c: jnp.sum((x - c) ** 2 + 1 - jnp.cos(20 * (x - c))), upper=1e-3)
    results = jg.minimize_many(
        lambda x, c: jnp.sum((x - 1) ** 2), [(-10, 10)] * 2, centre, constraints=row, max_evals=30_000, progress=False
    )
    away = np.linalg.norm(centre - 1, axis=1) - np.sqrt(1e-3 / 201)  # the row is 201 |x - c|^2 there, nearly
    assert np.all(results.success) and np.allclose(results.fun, away**2, atol=1e-2)


def test_how_searches_ended_counts_once_none_is_under_way():
    bad, good = np.full(3, LocalStatus.INFEASIBLE), np.full(1, LocalStatus.CONVERGED)
    x, number, of = np.zeros((4, 2)), np.arange(4), np.array([0, 0, 7, 7])
    kept = penalties.Penalties(np.float64)
    kept.count(np.concatenate([bad, good]), np.full(4, 7))
    assert np.all(kept.of(x, number, of) < penalties.LARGE)
    again = penalties.Penalties(np.float64)
    again.load(kept.save())
    again.looked(x[:1] + 1, np.array([np.inf]), np.array([7]))
    assert (again.of(x, number, of) == penalties.LARGE).ravel().tolist() == [False, False, False, True]
    again.load(again.save())
    assert (again.of(x, number, of) == penalties.LARGE).ravel().tolist() == [False, False, False, True]
