"""Searches under constraints: the minimum, what comes back with it, and that nothing infeasible is called a success."""

import asyncio
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse
from checks import X64
from scipy.optimize import LinearConstraint, NonlinearConstraint

import jaxglobal as jg

TOLERANCE = 1e-9 if X64 else 2e-5
BOX = [(-2.0, 2.0)] * 2


def squares(x, centre, *_):
    return jnp.sum((x - centre) ** 2)


def row(x, centre, slope, power):
    """One row that many tests share, and with it its program: a line, a circle, or something between."""
    return jnp.sum(slope * x) + jnp.sum(power * x**2)


def args(slope=(0.0, 0.0), power=(0.0, 0.0), centre=(0.3, 0.3)):
    return tuple(np.asarray(part, np.float32 if not X64 else np.float64) for part in (centre, slope, power))


def search(constraint, given, **options):
    """A search of the problem that tests share."""
    return jg.minimize(squares, BOX, given, constraints=constraint, progress=False, **options)


def check_feasible(result, value, rows, lower, upper):
    """The minimum, at a point that keeps the rows, with all that is told about it."""
    assert result.success, result
    assert abs(result.fun - value) <= TOLERANCE * (1 + abs(value)), result
    c = np.asarray(rows, float)
    worst = max(np.max(np.asarray(lower) - c), np.max(c - np.asarray(upper)), 0.0)
    size = 10 * TOLERANCE * max(1.0, float(np.max(np.abs(c))))
    assert worst <= size and result.violation <= size, result


LINE = (1.0, 1.0)
ROUND = (1.0, 1.0)
CASES = {
    # name: (slope, power, lower, upper, minimum, multiplier)
    "upper": (LINE, (0, 0), -np.inf, 0.0, 0.18, 0.6),
    "lower": (LINE, (0, 0), 1.0, np.inf, 0.08, -0.4),
    "equality": (LINE, (0, 0), 1.0, 1.0, 0.08, -0.4),
    "range": (LINE, (0, 0), -0.5, 0.0, 0.18, 0.6),
    "inactive": (LINE, (0, 0), -3.0, 3.0, 0.0, 0.0),
    "disc": ((0, 0), ROUND, -np.inf, 0.02, 2 * 0.2**2, 2.0),
    "sphere": ((0, 0), ROUND, 2.0, 2.0, 2 * 0.7**2, -0.7),
    "tube": ((0, 0), ROUND, 2.0, 2.0 + 1e-6, 2 * 0.7**2, -0.7),
}


@pytest.mark.parametrize("name", CASES)
def test_minimum_and_multipliers(name):
    """Bounds of all kinds are one program; the multiplier is minus the derivative of the minimum in the bound."""
    slope, power, lower, upper, value, multiplier = CASES[name]
    given = args(slope, power)
    result = search(jg.Constraint(row, lower, upper), given)
    check_feasible(result, value, row(jnp.asarray(result.x), *given), lower, upper)
    assert np.isclose(result.multipliers, multiplier, atol=1e-3 if not X64 else 1e-6), result
    assert bool(result.active) == (multiplier != 0)
    assert "violation" in repr(result)
    best = result.minima[0]
    assert best.fun == result.fun and best.violation == result.violation
    assert np.array_equal(best.multipliers, result.multipliers) and np.array_equal(best.active, result.active)


def test_new_bounds_compile_nothing():
    traces = []

    def counted(x, *given):
        traces.append(1)
        return row(x, *given)

    first = search(jg.Constraint(counted, upper=0.0), args(LINE))
    before = len(traces)
    second = search(jg.Constraint(counted, upper=0.1), args(LINE))
    assert len(traces) - before <= before  # the trace that every call makes, and no more
    assert second.compile_time < 0.5 * first.compile_time or first.compile_time < 0.5
    assert second.fun < first.fun


@pytest.mark.long
def test_scipy_and_lists():
    """SciPy's objects take x alone, may return a list; the structure of the answer is that of the constraints."""
    rows = [
        LinearConstraint([[1.0, 1.0]], -np.inf, 0.0),
        NonlinearConstraint(lambda x: x * x, [0.0, 0.25], np.inf),
        jg.Constraint(lambda x, *_: jnp.reshape(x, (2, 1)), -1.5, 1.5),
        NonlinearConstraint(lambda x: [x[0] * x[1], x[1]], [-9, -9.0], [9, 9.0], keep_feasible=[True, False]),
        NonlinearConstraint(lambda x: x[0], [-1.5], [1.5]),
        LinearConstraint(scipy.sparse.csr_matrix([[0.0, 1.0]]), [-9], [9]),
    ]
    result = search(rows, args())
    assert result.success and [part.shape for part in result.active] == [(1,), (2,), (2, 1), (2,), (), (1,)]
    assert np.allclose(result.x, [0.3, -0.5], atol=1e-4) and abs(result.fun - 0.64) <= 1e-6, result
    assert not result.active[0][0] and result.active[1].tolist() == [False, True] and not np.any(result.active[2])
    plain = result.to_dict()
    assert len(plain["multipliers"]) == 6 and len(plain["minima"][0]["active"]) == 6
    again = pickle.loads(pickle.dumps(result))
    assert again.violation == result.violation and np.array_equal(again.multipliers[1], result.multipliers[1])


def test_infeasible_is_said():
    """No point keeps the rows: never a success, the least violation, and which constraint it was."""
    result = search([jg.Constraint(row, 9.0, np.inf)], args((0, 0), ROUND))
    assert result.status is jg.Status.INFEASIBLE and not result.success and not result.minima
    assert "constraints[0]" in result.message and np.isclose(result.violation, 1.0, atol=1e-4)
    assert np.allclose(np.abs(result.x), 2.0, atol=1e-4)
    assert all(np.isnan(level.fun) for level in result.levels)
    late = search(jg.Constraint(row, 9.0, np.inf), args((0, 0), ROUND), max_starts=3)
    assert late.status is jg.Status.MAX_STARTS and not late.success and "no feasible point" in late.message


def test_target_and_levels_see_feasible_values():
    """The objective is below the target nearly everywhere, but nowhere that is feasible."""
    seen = []
    result = search(
        jg.Constraint(row, 1.0, 1.0),
        args(LINE),
        target=0.05,
        max_levels=3,
        callback=lambda level: seen.append(level.fun),
    )
    assert result.status is jg.Status.MAX_LEVELS and not result.success
    assert len(seen) == 3 and all(np.isnan(f) or f >= 0.08 - 1e-5 for f in seen)
    reached = search(jg.Constraint(row, 1.0, 1.0), args(LINE), target=0.09)
    assert reached.status is jg.Status.TARGET and reached.success


def traps(x, centre):
    """Five rows: two that say the same, one that is NaN in half of the box, one of no slope at its bound, a far one."""
    undefined = jnp.sqrt(x[0])
    return jnp.stack([x[0] + x[1], 2 * (x[0] + x[1]), undefined, (x[0] - 0.5) ** 2 * x[1] ** 2, 1e6 * x[1]])


FREE = np.full(5, np.inf)
TRAPS = {
    "dependent": ([1, 2, -np.inf, -np.inf, -np.inf], [1, 2, *FREE[2:]], 0.08),
    "contradictory": ([1, 1, -np.inf, -np.inf, -np.inf], [1, 1, *FREE[2:]], None),
    "undefined": ([-np.inf, -np.inf, 1.0, -np.inf, -np.inf], FREE, 0.49),
    "scaled": ([-np.inf] * 5, [*FREE[:4], 1e5], 0.04),
    "redundant": ([1, -np.inf, 0.0, -np.inf, -np.inf], [np.inf, 2, *FREE[2:]], 0.08),
}


@pytest.mark.parametrize("name", TRAPS)
def test_traps(name):
    lower, upper, value = TRAPS[name]
    result = jg.minimize(squares, BOX, args()[:1], constraints=jg.Constraint(traps, lower, upper), progress=False)
    if value is None:
        assert result.status is jg.Status.INFEASIBLE and not result.success, result
        return
    check_feasible(result, value, traps(jnp.asarray(result.x), None), lower, upper)


def test_infeasible_ends_are_neither_noise_nor_the_loss_of_a_feasible_point():
    row = jg.Constraint(lambda x: jnp.sum((x - 0.12345) ** 2 + 1 - jnp.cos(20 * (x - 0.12345))), upper=1e-3)
    result = jg.minimize(lambda x: jnp.sum((x - 1) ** 2), [(-10, 10)] * 2, constraints=row, progress=False)
    assert result.success and result.active and result.minima[0].count > 1
    value = 0.12345 + np.sqrt(1e-3 / 2 / 201)  # as the row is 201 |x - 0.12345|^2 there but for its fourth order
    np.testing.assert_allclose(result.x, [value] * 2, atol=1e-5)


def test_undefined_everywhere():
    result = search(jg.Constraint(lambda x, *_: jnp.log(-1 - x[0] ** 2), lower=0.0), args(), max_evals=3000)
    assert result.status is jg.Status.INFEASIBLE and not result.success
    assert "finite" in result.message and "nan" in result.message


@pytest.mark.long
@pytest.mark.parametrize("fun", [lambda x: jnp.nan * x[0], lambda x: jnp.where(x[0] > 0, jnp.inf, x[0])])
def test_it_is_fun_that_has_no_value(fun):
    row = jg.Constraint(lambda x: x[0], lower=1.0)
    result = jg.minimize(fun, BOX, constraints=row, max_levels=5, same=4, progress=False)
    assert result.status is jg.Status.NO_FINITE_VALUE and not result.success
    assert result.message.startswith("no feasible point gave a finite value")


def test_auxiliary_output_and_too_many_equalities():
    """The auxiliary output is the user's own; more equalities than variables are told."""
    rows = jg.Constraint(lambda x, *_: jnp.stack([x[0] + x[1], x[0] - x[1], x[0]]), [0.5, 0.1, 0.3], [0.5, 0.1, 0.3])
    result = jg.minimize(
        lambda x: (jnp.sum(x**2), {"twice": 2 * x}), BOX, constraints=rows, has_aux=True, max_starts=4, progress=False
    )
    assert np.allclose(result.x, [0.3, 0.2], atol=1e-6) and np.allclose(result.aux["twice"], [0.6, 0.4], atol=1e-6)
    assert "3 equalities in 2 free variables" in result.message and result.violation < 1e-6


@pytest.mark.long
def test_fixed_and_single_variables():
    """One variable, fixed ones, and none that may move."""
    one = jg.Constraint(lambda x: x[0] ** 2, 1.0, 3.0)
    result = jg.minimize(lambda x: jnp.sin(5 * x[0]), [(-2, 2)], constraints=one, progress=False)
    assert result.success and abs(result.fun + 1) < 1e-6 and 1 <= result.x[0] ** 2 <= 3
    kept, broken = (
        jg.minimize(squares, [(0.2, 0.2), (0.1, 0.1)], args()[:1], constraints=rows, progress=False)
        for rows in (jg.Constraint(row_of_sum, upper=1.0), jg.Constraint(row_of_sum, upper=0.0))
    )
    assert kept.success and broken.status is jg.Status.INFEASIBLE and abs(broken.violation - 0.3) < 1e-6


def row_of_sum(x, *_):
    return jnp.sum(x)


def test_evaluations_are_bounded_and_repeat():
    """A limit on evaluations binds, and two calls give the same answer, bit for bit."""
    runs = [search(jg.Constraint(row, 2.0, 2.0), args((0, 0), ROUND), max_evals=600, lanes=4) for _ in range(2)]
    assert runs[0].nfev <= 600 + 8
    assert np.array_equal(runs[0].x, runs[1].x) and runs[0].nfev == runs[1].nfev


def test_checkpoint_goes_on(tmp_path):
    """A search that was stopped goes on to the answer of one that was not."""
    path, whole = tmp_path / "kept", search(jg.Constraint(row, 2.0, 2.0), args((0, 0), ROUND))

    def stop(level):
        raise StopIteration

    options = dict(checkpoint=path)
    first = search(jg.Constraint(row, 2.0, 2.0), args((0, 0), ROUND), callback=stop, **options)
    assert first.status is jg.Status.CALLBACK
    second = search(jg.Constraint(row, 2.0, 2.0), args((0, 0), ROUND), **options)
    assert second.nfev == whole.nfev and np.array_equal(second.x, whole.x) and second.success


def test_aminimize():
    given = args(LINE)
    result = asyncio.run(jg.aminimize(squares, BOX, given, constraints=jg.Constraint(row, upper=0.0), progress=False))
    assert result.success and np.array_equal(result.x, search(jg.Constraint(row, upper=0.0), given).x)


def test_without_constraints_nothing_changes():
    """An empty list, constraints of no row, None and no argument are the same search."""
    plain = jg.minimize(squares, BOX, args()[:1], progress=False)
    for none in (None, [], LinearConstraint(np.zeros((0, 2)), [], [])):
        same = jg.minimize(squares, BOX, args()[:1], constraints=none, progress=False)
        assert np.array_equal(same.x, plain.x) and same.nfev == plain.nfev and same.compile_time < 0.2
    assert plain.violation == 0.0 and plain.multipliers is None and plain.active is None


WRONG = {
    "kind": (lambda: 3, TypeError, "`constraints` must be a jaxglobal.Constraint"),
    "dict": (lambda: {"type": "ineq"}, TypeError, "older form"),
    "not a function": (lambda: jg.Constraint(3), TypeError, "must be a function"),
    "no function": (lambda: jg.Constraint(None, 0.0), TypeError, "but for a host function"),
    "NaN bound": (lambda: jg.Constraint(row_of_sum, np.nan), ValueError, "got NaN"),
    "no number": (lambda: jg.Constraint(row_of_sum, "a"), TypeError, "must be real numbers"),
    "upside down": (lambda: jg.Constraint(row_of_sum, 1.0, 0.0), ValueError, "greater than or equal to `lower`"),
    "no value": (lambda: jg.Constraint(row_of_sum, np.inf), ValueError, "leave a value"),
    "shape": (lambda: jg.Constraint(row_of_sum, np.zeros(3)), ValueError, "must broadcast to the shape ()"),
    "not JAX": (lambda: jg.Constraint(lambda x: np.sum(np.asarray(x))), TypeError, "must be a JAX function"),
    "arguments": (lambda: jg.Constraint(lambda x, a, b: a), TypeError, "further arguments"),
    "integer": (lambda: jg.Constraint(lambda x: 3), TypeError, "real floating-point"),
    "NaN matrix": (lambda: LinearConstraint([[0, np.nan]], 0, 1), ValueError, "must be finite; got nan at"),
    "columns": (lambda: LinearConstraint(np.ones((1, 3)), 0, 1), ValueError, "must have 2 columns"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_constraints(name):
    make, error, words = WRONG[name]
    with pytest.raises(error, match=words.replace("(", r"\(").replace(")", r"\)")):
        jg.minimize(lambda x: jnp.sum(x), BOX, constraints=make())


def moving(x, a, b):
    return jnp.sum((x - a) ** 2) + b * jnp.sum(x**3) / 10


def moving_rows(x, a, b):
    return jnp.stack([x[0] + b * x[1], jnp.sum(x**2)])


@pytest.mark.long
@pytest.mark.skipif(not X64, reason="differences need float64")
def test_derivative_is_that_of_the_search():
    """In args, in bounds of the box and of the constraints; two rows, one variable at its bound."""
    a, b, box = np.array([1.0, 0.5, 0.8]), 0.7, np.array([[-2.0, -2, -2], [2.0, 2, 0.2]])
    rows = np.array([[0.6, -np.inf], [0.6, 0.3]])

    def found(a, b, rows, box):
        given = jg.Constraint(moving_rows, *rows)
        return jg.minimize(moving, list(box.T), (a, b), constraints=given, progress=False), given

    def differences(**moved):
        above, below = (
            found(**{k: v + sign * moved.get(k, 0) for k, v in dict(a=a, b=b, rows=rows, box=box).items()})[0]
            for sign in (1e-6, -1e-6)
        )
        return (above.fun - below.fun) / 2e-6, (above.x - below.x) / 2e-6

    result, given = found(a, b, rows, box)
    assert result.active.tolist() == [True, True]
    d = jg.derivative(result, moving, list(box.T), (a, b), constraints=given)
    both, second = np.array([[1.0, 0], [1.0, 0]]), np.array([[0, 0], [0, 1.0]])
    equality = (sum(side[0] for side in d.fun_constraints), sum(side[:, 0] for side in d.x_constraints))
    corner = np.array([[0, 0, 0], [0, 0, 1.0]])
    for moved, (f, x) in (
        (dict(a=np.eye(3)[1]), (d.fun[0][1], d.x[0][:, 1])),
        (dict(b=1.0), (d.fun[1], d.x[1])),
        (dict(rows=both), equality),
        (dict(rows=second), (d.fun_constraints.upper[1], d.x_constraints.upper[:, 1])),
        (dict(box=corner), (d.fun_bounds.upper[2], d.x_bounds.upper[:, 2])),
    ):
        f_difference, x_difference = differences(**moved)
        assert np.isclose(f, f_difference, rtol=1e-6, atol=1e-8), moved
        assert np.allclose(x, x_difference, rtol=1e-5, atol=1e-6), moved
    assert np.allclose(result.multipliers, -np.sum(d.fun_constraints, axis=0), atol=1e-9)
    assert not d.singular and not d.touching


def test_derivative_compiles_once():
    """Other args and bounds are the same program: what is traced again is no more than what every call looks at."""
    traces = []

    def counted(x, a, b):
        traces.append(1)
        return moving(x, a, b)

    def taken(b, upper):
        given, kept = (np.array([1.0, 0.5]), b), jg.Constraint(moving_rows, upper=[upper, np.inf])
        result = jg.minimize(counted, BOX, given, constraints=kept, max_levels=1, progress=False)
        traces.clear()
        jg.derivative(result, counted, BOX, given, constraints=kept)
        return len(traces)

    first, compiled = taken(0.7, 0.5), []

    def hear(name, *_, **__):
        compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(hear)
    try:
        assert taken(0.8, 0.6) <= first
    finally:
        jax.monitoring.unregister_event_duration_listener(hear)
    assert not any("backend_compile" in name for name in compiled)


@pytest.mark.skipif(not X64, reason="what touches is judged to eight digits")
def test_derivative_says_where_it_means_little():
    """Two rows that are the same are singular; a row that just touches is touching; a wrong call is refused."""
    twice = jg.Constraint(lambda x, *_: jnp.stack([x[0] + x[1], 2 * x[0] + 2 * x[1]]), [1.0, 2.0], [1.0, 2.0])
    given = args()[:1]
    result = search(twice, given)
    assert jg.derivative(result, squares, BOX, given, constraints=twice).singular
    touches = jg.Constraint(row, -np.inf, 0.6)
    result = search(touches, args(LINE))
    d = jg.derivative(result, squares, BOX, args(LINE), constraints=touches)
    assert d.touching and not d.singular
    with pytest.raises(ValueError, match="`constraints` must be those of the search"):
        jg.derivative(result, squares, BOX, args(LINE))
    with pytest.raises(ValueError, match="`constraints` must be those of the search"):
        jg.derivative(jg.minimize(squares, BOX, given, progress=False), squares, BOX, given, constraints=touches)


def test_what_does_not_go_together():
    rows = jg.Constraint(row_of_sum, 0.0)
    for ctol, error in ((0.0, ValueError), ("a", TypeError)):
        with pytest.raises(error, match="`ctol`"):
            jg.minimize(lambda x: jnp.sum(x), BOX, constraints=rows, ctol=ctol)
    with pytest.raises(ValueError, match="`open` must be False"):
        jg.minimize(lambda x: jnp.sum(x), BOX, constraints=rows, open=True)
    with pytest.raises(TypeError, match="`local` must be a jaxglobal.BFGS or LBFGS"):
        jg.minimize(lambda x: jnp.sum(x), BOX, constraints=rows, local=jg.Optax(optax.adam(0.1)))


def test_entry_points_that_do_not_take_constraints_say_so():
    rows = jg.Constraint(row_of_sum, 0.0)
    host = jg.host(lambda x: (float(np.sum(x)), x))
    calls = [
        lambda: jg.minimize(host, BOX, constraints=rows),
        lambda: jg.minimize_many(host, BOX, np.zeros(2), constraints=rows),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="no `constraints`: |constraints` .*yet"):
            call()


def steep(x):
    """Where it is kept, slopes are a share of 1e-40 of the usual ones in the box."""
    return jnp.stack([x[1] - jnp.exp(x[0]), x[2] - jnp.exp(x[1])])


@pytest.mark.long
@pytest.mark.skipif(not X64, reason="exp(100) is infinite in float32")
@pytest.mark.parametrize("entry", ["minimize", "minimize_many", "argmin"])
def test_rows_that_are_steeper_by_far_where_they_are_violated(entry):
    """HS34 of Hock and Schittkowski; with the usual slopes for scales every point nearby was feasible."""
    box, rows = [(0, 100), (0, 100), (0, 10)], jg.Constraint(lambda x, *_: steep(x), lower=0.0)
    if entry == "minimize":
        found = jg.minimize(lambda x: -x[0], box, constraints=rows, progress=False)
        value, x, sure = found.fun, found.x, found.success
    elif entry == "minimize_many":
        many = jg.minimize_many(lambda x, a: -x[0] + 0 * a, box, np.zeros(2), constraints=rows, progress=False)
        value, x, sure = many.fun[0], many.x[0], many.success[0]
    else:
        told = jg.argmin(lambda x, a: -x[0] + 0 * a, box, 0.0, 3, constraints=rows)
        value, x, sure = told.fun, told.x, np.isfinite(told.fun)
    assert sure and np.isclose(value, -np.log(np.log(10)), atol=1e-8)
    assert np.min(steep(x)) >= -1e-6
