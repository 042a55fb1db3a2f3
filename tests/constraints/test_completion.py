"""Whole numbers whose continuous variables the rows tell: slacks, and variables that equalities define."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.constraints.completion import completion
from jaxglobal.constraints.constant_slopes import constant_slopes
from jaxglobal.constraints.kkt import Frame


def deviations(x):
    """Two numbers made of three whole ones, that are to be near given ones."""
    i, j, k = x[..., 0], x[..., 1], x[..., 2]
    return 1e3 * i * j / (k + 7.0) - 5141.3, i * i - 3 * j * k + 211.7


SLACKS = [(0, 40)] * 3, [(0.0, 1e5)] * 4  # above and below each
EACH = np.array(list(itertools.product(range(41), repeat=3)), float)


@pytest.mark.long
def test_slacks_of_many_assignments_are_solved_for():
    """One point of 68,921 is the best; without slacks solved for none of its neighbours says so."""
    rows = jg.Constraint(lambda x: jnp.stack(deviations(x)) - x[3:5] + x[5:7], 0.0, 0.0)
    result = jg.minimize(
        lambda x: x[3] + x[5] + 2 * (x[4] + x[6]), [*SLACKS[0], *SLACKS[1]], constraints=rows,
        integrality=[True] * 3 + [False] * 4, max_evals=60_000, progress=False,
    )  # fmt: skip
    first, second = deviations(EACH)
    best = np.min(np.abs(first) + 2 * np.abs(second))
    assert result.fun == pytest.approx(best, rel=1e-4 if result.x.dtype == np.float32 else 1e-9)
    assert result.violation <= 1e-2 if result.x.dtype == np.float32 else 1e-6
    assert np.all(np.asarray(result.x[:3]) == np.rint(result.x[:3]))


@pytest.mark.long
def test_variables_that_equalities_define_bound_whole_numbers():
    """y = h(i) in its bounds: the lowest whole numbers for which that holds, out of 10^8."""

    def defined(x):
        a, b, c, d, y, z = x
        return jnp.stack([y - 0.03 * a * b - 0.02 * c * d, 2 * z - a - 0.5 * b * d + c])

    whole = [True] * 4 + [False] * 2
    result = jg.minimize(
        lambda x: x[0] ** 2 + 3 * x[1] + x[2] + 0.1 * x[3], [(0, 99)] * 4 + [(40.0, 60.0), (10.0, 30.0)],
        constraints=jg.Constraint(defined, 0.0, 0.0), integrality=whole, max_evals=100_000, progress=False,
    )  # fmt: skip
    a, b, c, d = EACH_OF_FOUR
    y, z = 0.03 * a * b + 0.02 * c * d, (a + 0.5 * b * d - c) / 2
    fits = (40 <= y) & (y <= 60) & (10 <= z) & (z <= 30)
    best = np.min((a**2 + 3 * b + c + 0.1 * d)[fits])
    assert result.fun == pytest.approx(best, rel=1e-6)


EACH_OF_FOUR = np.meshgrid(np.arange(6.0), np.arange(100.0), np.arange(100.0), np.arange(100.0), sparse=True)


@pytest.mark.slow
def test_many_problems_are_searched_without_it_and_say_no_more_than_they_know():
    """Rows are solved for slacks in searches of one problem alone."""

    def solve(many, *more, **options):
        return many(
            lambda x, *_: x[3] + x[5] + 2 * (x[4] + x[6]), [*SLACKS[0], *SLACKS[1]], *more,
            constraints=jg.Constraint(lambda x, *_: jnp.stack(deviations(x)) - x[3:5] + x[5:7], 0.0, 0.0),
            integrality=[True] * 3 + [False] * 4, max_evals=300, progress=False, **options,
        )  # fmt: skip

    one, many = solve(jg.minimize), solve(jg.minimize_many, np.zeros(2))
    assert one.violation <= 1e-2 and np.all(many.fun[np.isfinite(many.fun)] > one.fun)
    assert not one.success and not np.any(many.success)


def tied(fun, box, *rows, **more):
    return jg.minimize(
        fun, box, constraints=[jg.Constraint(*row) for row in rows],
        integrality=[True] + [False] * (len(box) - 1), max_evals=20_000, progress=False, **more,
    )  # fmt: skip


@pytest.mark.long
def test_a_row_that_bends_in_a_part_of_the_box_is_searched_for():
    def bent(x):
        i, y, z = x
        inside = (i == 17) & (jnp.abs(z - 0.5) < 0.2)
        return jnp.stack([y + z - i / 10 - jnp.where(inside, (z - 0.5) ** 2, 0.0)])

    def steep(x):
        return jnp.where((x[0] > 94) & (x[1] > 190), 2.0, 1.0) * x[2] - (x[0] + x[1]) / 300 * 1.9

    result = tied(lambda x: (x[0] - 17) ** 2 + 0.1 * x[1], [(0, 40), (0.0, 10.0), (0.0, 1.0)], (bent, 0.0, 0.0))
    assert result.fun == pytest.approx(0.07, abs=1e-5) and result.x[0] == 17
    result = jg.minimize(
        lambda x: -x[0] - x[1], [(0, 100), (0, 200), (0.0, 1.0)], constraints=jg.Constraint(steep, 0.0, 0.0),
        integrality=[True, True, False], max_evals=20_000, progress=False,
    )  # fmt: skip
    assert result.fun <= -157 and (result.fun == -300 or not result.success)


def test_a_function_that_bends_for_one_whole_number_is_searched_for():
    def fun(x):
        return jnp.where(x[0] == 17, -1 + 0.3 * jnp.sin(20 * x[1]), 0.01 * x[0] + x[1])

    result = tied(fun, [(0, 40), (0.0, 1.0), (0.0, 1.0)], (lambda x: x[1] + x[2] - 1, 0.0, 0.0))
    assert result.fun == pytest.approx(-1.3, abs=1e-5)


@pytest.mark.parametrize(
    "fun, best", [(lambda x: jnp.where(abs(x[1] - 0.1 * x[0]) > 0.05, jnp.nan, -x[0]), -7.0),
                  (lambda x: jnp.sqrt(x[1] - 0.6), 0.0)],
)  # fmt: skip
def test_a_function_that_has_values_along_the_row_alone(fun, best):
    result = tied(fun, [(0, 7), (0.0, 1.0)], (lambda x: x[1] - 0.1 * x[0], 0.0, 0.0))
    assert result.success and result.fun == pytest.approx(best, abs=1e-3)


def test_another_row_has_no_value_where_the_search_begins():
    rows = (lambda x: x[1] - 0.1 * x[0], 0.0, 0.0), (lambda x: jnp.sqrt(x[1] - 0.9), 0.0, 1.0)
    result = tied(lambda x: -x[0], [(0, 10), (0.0, 1.0)], *rows)
    assert result.success and result.fun == -10


def test_a_row_without_a_forward_mode_is_searched_for():
    @jax.custom_vjp
    def row(x):
        return x[1] - 0.1 * x[0]

    row.defvjp(lambda x: (row(x), None), lambda _, g: (g * jnp.array([-0.1, 1.0]),))
    assert tied(lambda x: -x[0], [(0, 10), (0.0, 1.0)], (row, 0.0, 0.0)).fun == -10


def test_rows_of_any_size_have_all_their_vertices():
    rows = (lambda x: 1e10 * (x[1] + x[2] - 0.1 * x[0]), 0.0, 0.0), (lambda x: 1e10 * (x[1] - x[2]), -0.55e10, np.inf)
    result = tied(lambda x: x[1], [(0, 10), (0.0, 1.0), (0.0, 1.0)], *rows)
    assert result.fun == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("most", [1, 20, 32, 40])
def test_a_limit_before_the_first_search(most):
    result = jg.minimize(
        lambda x: (x[0] - 2.2) ** 2 + x[1], [(0, 9), (0.0, 9.0)], integrality=[True, False],
        constraints=jg.Constraint(lambda x: x[1] - x[0], 0.0, 0.0), max_evals=most, progress=False,
    )  # fmt: skip
    assert result.status is jg.Status.MAX_EVALS
    assert result.nfev <= max(most, 33) + 2  # 32 have measured the rows


@pytest.mark.parametrize("most", [60, 101, 1000])
def test_a_limit_on_evaluations_holds(most):
    rows = jg.Constraint(lambda x: jnp.stack(deviations(x)) - x[3:5] + x[5:7], 0.0, 0.0)
    result = jg.minimize(
        lambda x: x[3] + x[5] + 2 * (x[4] + x[6]), [*SLACKS[0], *SLACKS[1]], constraints=rows,
        integrality=[True] * 3 + [False] * 4, max_evals=most, progress=False,
    )  # fmt: skip
    assert result.nfev <= most + 2 and result.violation is not None


def test_slopes_that_are_the_same_at_all_points():
    def both(x):
        rows = [0.1 * x[2] - x[0] * x[1], x[3] - x[0] ** 3, jnp.where(x[0] > 3, 2, 1) * x[2], jnp.abs(x[3])]
        return x[0] ** 2 + 3 * x[2], jnp.stack(rows)

    known = constant_slopes(both, np.zeros(4), np.array([2, 3]))
    assert known.tolist() == [True, True, True, False, False]
    kinds = (jnp.floor, jnp.sign, jnp.round, jax.lax.stop_gradient, lambda y: (y > 0.5) * 1.0, lambda y: y.astype(int))
    for kind in kinds:  # of which derivatives say nothing
        known = constant_slopes(lambda x, k=kind: (k(x[2]) + x[3], jnp.stack([k(x[0]) + x[2]])), np.zeros(4), [2, 3])
        assert known.tolist() == [False, True]
    A = np.arange(12.0).reshape(3, 4)
    known = constant_slopes(lambda x: (jnp.sum(x[2:]) * x[0], A @ x), np.zeros(4), np.array([2, 3]))
    assert known.tolist() == [False, True, True, True]


def frame(n: int, equal: list[bool]) -> Frame:
    upper = np.where(equal, 0.0, np.inf)
    return Frame(np.zeros(n), np.ones(n), np.zeros(len(equal)), upper)


def test_nothing_is_told_where_slopes_change_or_nothing_is_whole():
    rng, whole = np.random.default_rng(0), np.array([True, False, False])
    J = np.repeat(rng.normal(size=(1, 2, 3)), 4, axis=0)
    g = np.repeat(rng.normal(size=(1, 3)), 4, axis=0)
    constant = lambda moving: np.ones(3, bool)  # noqa: E731
    told = completion(g, J, frame(3, [True, False]), whole, 1e-16, constant)
    assert told is not None and told.held.shape[1] == 2
    assert completion(g, J, frame(3, [False, False]), whole, 1e-16, constant) is None
    assert completion(g, J, frame(3, [True, False]), np.zeros(3, bool), 1e-16, constant) is None
    J[1, 1, 2] += 1e-6
    assert completion(g, J, frame(3, [True, False]), whole, 1e-16, constant) is None


def test_the_lowest_vertex_is_chosen():
    """Against SciPy's linear programs."""
    from scipy.optimize import linprog

    rng = np.random.default_rng(1)
    for _ in range(20):
        J, g = rng.normal(size=(1, 3, 4)), rng.normal(size=(1, 4))
        J, g = np.repeat(J, 2, axis=0), np.repeat(g, 2, axis=0)
        box = frame(4, [True, False, False])
        told = completion(g, J, box, np.array([True, False, False, False]), 1e-16, lambda moving: np.ones(4, bool))
        x = rng.uniform(size=4)
        point = np.concatenate([[0.0], rng.uniform(size=3)])
        shift = -J[0] @ point + np.array([0, 0.1, 0.1])  # feasible at one place
        moved = told.moved(x[None], g[0] @ x[None].T, (J[0] @ (x - [x[0], 0, 0, 0]) + shift)[None], box)[0]
        known = linprog(g[0][1:], A_ub=-J[0][1:, 1:], b_ub=shift[1:], A_eq=J[0][:1, 1:], b_eq=-shift[:1],
                        bounds=[(0, 1)] * 3)  # fmt: skip
        assert g[0][1:] @ moved[1:] == pytest.approx(known.fun, abs=1e-9)
