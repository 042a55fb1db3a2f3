"""certify under constraints and with whole numbers: the known minimum is held, and nothing wrong is proven."""

import pathlib
import sys
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import float64_only

import jaxglobal as jg
from jaxglobal.proof import branch, enclose, exactly, feasible, node, stationary
from jaxglobal.proof.lower import model_of
from jaxglobal.proof.problem import Problem

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
import cec2006

pytestmark = float64_only

ROOT = 2**0.5
SQUARE = [(-2, 2)] * 2


def prove(fun, bounds, point=None, **options):
    options = {"max_time": 20, "progress": False} | options
    return jg.certify(fun, bounds, result=None if point is None else np.asarray(point, float), **options)


def total(x):
    return jnp.sum(x)


def size(x):
    return jnp.sum(x**2)


def row(fun, lower=-np.inf, upper=np.inf):
    return jg.Constraint(fun, lower, upper)


@pytest.mark.parametrize("name", ["g04", "g06", "g08", "g11", "g12", "g24"])
def test_cec2006(name):
    p = cec2006.PROBLEMS[name]
    rows = jg.Constraint(p.rows, p.lower, p.upper)
    certificate = prove(p.fun, list(zip(*p.box, strict=True)), p.published, constraints=rows)
    slack = 1e-12 * (1 + abs(p.fmin))
    assert certificate.proven and certificate.complete
    assert certificate.lower <= p.fmin + slack and p.fmin <= certificate.upper + slack
    assert cec2006.violation(p, certificate.x) < 1e-10


PROBLEMS = {  # function, bounds, constraints, a point that is handed in, the infimum, whether it is proven
    "slope that is not zero": (total, SQUARE, row(size, upper=1.0), [0, 0], -ROOT, True),
    "a point that violates": (total, SQUARE, row(size, upper=1.0), [-2, -2], -ROOT, True),
    "an equation": (total, SQUARE, row(size, 1.0, 1.0), [1, 1], -ROOT, True),
    "the sides of the box as rows": (total, SQUARE, row(lambda x: x, np.full(2, 0.25)), [0, 0], 0.5, True),
    "a kink that binds": (lambda x: (x[0] - 2) ** 2, [(-4, 4)], row(lambda x: jnp.abs(x[0]), upper=1.0), [0], 1, True),
    "a row that jumps, open": (
        lambda x: -x[0], [(0, 1)], row(lambda x: jnp.where(x[0] < 0.5, -1.0, 1.0), upper=0.0), [0.1], -0.5, False,
    ),
    "a row that jumps, closed": (
        lambda x: x[0], [(0, 1)], row(lambda x: jnp.where(x[0] < 0.5, 1.0, -1.0), upper=0.0), [0.9], 0.5, False,
    ),
    "a row that is undefined": (lambda x: x[0], [(-1, 2)], row(lambda x: jnp.log(x[0]), -3.0), [1], np.exp(-3), True),
    "where only a row is undefined": (
        lambda x: x[0] ** 2, [(-1, 2)], row(lambda x: jnp.sqrt(x[0] - 0.5), upper=2.0), [1], 0.25, False,
    ),
    "where fun is undefined": (
        lambda x: jnp.log(x[0]) + x[1], [(-1, 2)] * 2, row(lambda x: x[0], 0.5), [1, 0], np.log(0.5) - 1, True,
    ),
    "a constant row": (total, SQUARE, row(lambda x: jnp.ones(2), upper=1.0), [0, 0], -4.0, True),
    "concave, and held by a row": (lambda x: -size(x), SQUARE, row(total, upper=-1.0), [0, 0], -8.0, True),
    "concave, up to a row": (lambda x: -(x[0] ** 2), [(-1, 3)], row(lambda x: x[0] ** 3, upper=8.0), [0], -4.0, True),
    "a minimum of fun outside": (lambda x: size(x - 1), SQUARE, row(total, upper=1.0), [0, 0], 0.5, True),
    "two equations and no room": (
        total, SQUARE, row(lambda x: jnp.stack([x[0] * x[1], x[0] - x[1]]), np.array([1.0, 0]), np.array([1.0, 0])),
        [1, 1], -2.0, True,
    ),
    "an equation without a slope": (total, SQUARE, row(lambda x: (size(x) - 1) ** 2, 0.0, 0.0), [-1, 0], -ROOT, False),
    "one point": (total, SQUARE, row(size, upper=0.0), [0, 0], 0.0, False),
    # Sums of squares, where no point that keeps the rows is known at first.
    "squares": (
        lambda x: (x[0] ** 2 - 0.3) ** 2 + (x[1] - 0.1) ** 2, [(-1, 1)] * 2,
        row(lambda x: (x[1] + 1) ** 2 * (x[1] - 1) ** 2, 0.5), [1, 1], 0.0, True,
    ),
    "squares, and a row of another variable that jumps": (
        lambda x: (x[0] - 0.3) ** 2, [(-1, 1)] * 2, row(lambda x: jnp.where(x[1] > 0.7, 1.0, 0.0), 1.0, 1.0), [0, 0],
        0.0, True,
    ),
    "squares of one variable, without a slope": (
        lambda x: (x[0] ** 2 - 0.3) ** 2, [(-1, 1)], row(lambda x: (x[0] ** 2 - 0.36) ** 2, 0.0, 0.0), [0.5], 0.0036,
        False,
    ),
    "a row that is never a number": (lambda x: x[0], [(-1, 1)], row(lambda x: jnp.log(x[0] - 2)), [0], np.inf, True),
    "and one that is": (lambda x: x[0], [(-1, 1)], row(lambda x: jnp.stack([jnp.nan, x[0]])), [0], np.inf, True),
    "no row at all": (lambda x: x[0] ** 2, [(-1, 1)], row(lambda x: jnp.zeros(0)), [0.5], 0.0, True),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_no_proof_of_a_wrong_value(name):
    fun, bounds, constraints, point, infimum, proven = PROBLEMS[name]
    certificate = prove(fun, bounds, point, constraints=constraints, max_boxes=6000)
    assert certificate.lower <= infimum + 1e-12 and infimum <= certificate.upper + 1e-12
    assert certificate.proven or not proven
    if certificate.upper < np.inf:
        assert abs(fun(jnp.asarray(certificate.x)) - certificate.upper) < 1e-9
        c = np.ravel(constraints.fun(jnp.asarray(certificate.x)))
        assert np.all(c >= constraints.lower - 1e-12) and np.all(c <= constraints.upper + 1e-12)
    else:
        nowhere = infimum == np.inf
        said = "infeasible, proven" if nowhere else "no point is proven to keep the constraints"
        assert certificate.proven == nowhere and said in certificate.message


BIND = {  # fun, bounds, constraints, how many minimisers, each of them the only one about it
    "a disc": (lambda x: x[0] + x[1], [(-3, 3)] * 2, lambda x: x @ x, -np.inf, 4, 1),
    "a line": (lambda x: jnp.sum((x - 1) ** 2), [(-3, 3)] * 2, lambda x: x[0] + x[1], 1, 1, 1),
    "a corner": (
        lambda x: -x[0] - 2 * x[1], [(0, 5)] * 2, lambda x: jnp.stack([x[0] + x[1] ** 2, x[0] ** 2 + x[1]]), -np.inf,
        np.array([4, 5.0]), 1,
    ),
    "a side and a row": (
        lambda x: -x[0] - 2 * x[1] + x[2] ** 2 - x[2], [(0, 1.5), (0, 5), (-2, 2)],
        lambda x: x[0] + x[1] ** 2 + x[2], -np.inf, 4, 1,
    ),
    "two of them": (lambda x: x[1] - x[0] ** 2, [(-3, 3)] * 2, lambda x: x @ x, -np.inf, 4, 2),
    "rows that depend on each other": (
        lambda x: jnp.sum((x - 1) ** 2), [(-3, 3)] * 2, lambda x: jnp.stack([x[0] + x[1], 2 * x[0] + 2 * x[1]]),
        -np.inf, np.array([1, 2.0]), 0,
    ),
    "a row that only touches": (
        lambda x: jnp.sum((x - 1) ** 2), [(-3, 3)] * 2, lambda x: x[0] + x[1], -np.inf, 2, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BIND)
def test_the_only_minimiser_where_rows_bind(name):
    fun, bounds, c, lower, upper, count = BIND[name]
    certificate = prove(fun, bounds, constraints=row(c, lower, upper), max_boxes=50_000, max_time=300)
    assert certificate.proven and certificate.complete
    only = [m for m in certificate.minimizers if m.unique]
    assert len(only) == count and (not count or len(certificate.minimizers) == count)
    for m in only:
        assert np.max(m.upper - m.lower) < 1e-12 and m.bound <= certificate.upper
        value = fun(jnp.asarray(0.5 * (m.lower + m.upper)))
        assert abs(value - certificate.upper) < 1e-8


def test_a_maximum_where_a_row_binds_is_no_minimiser():
    low, high = np.full(2, -3.0), np.full(2, 3.0)
    model = model_of(jax.make_jaxpr(lambda x: (-x[0], (x @ x)[None]))(low), low, (np.ones(1), np.ones(1)))
    about = lambda x: stationary.only_one(model, np.array(x) - 1e-3, np.array(x) + 1e-3, low, high, None)  # noqa: E731
    assert about([1.0, 0.0]) is not None and about([-1.0, 0.0]) is None and about([0.6, 0.8]) is None


def test_a_corner_that_no_row_reaches_is_the_only_minimiser_about_it():
    low, high = np.zeros(2), np.ones(2)
    model = model_of(jax.make_jaxpr(lambda x: (x[0] + x[1], (x @ x)[None]))(low), low, (-np.ones(1), np.full(1, 5.0)))
    found = stationary.only_one(model, low, low + 1e-6, low, high, None)
    assert found is not None and np.all(found.tiny[0] == 0) and np.all(found.tiny[1] == 0) and np.all(found.high > 0)


@pytest.mark.parametrize("low", [9.0, 8.0 + 1e-9])
def test_no_point_keeps_the_constraints(low):
    certificate = prove(total, SQUARE, [1, 1], constraints=row(size, low))
    assert certificate.proven and certificate.lower == certificate.upper == np.inf and certificate.gap == 0
    assert "infeasible, proven" in certificate.message and not certificate.minimizers and np.isnan(certificate.x).all()
    assert "infeasible" in repr(certificate)


def test_random_problems_against_points():
    """No point that keeps the rows of random problems lies below the bound, whatever point is handed in."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        a, b, c = rng.normal(size=(3, 4))

        def fun(x, p=a):
            return p[0] * x[0] * x[1] + p[1] * jnp.sin(2 * x[0]) + p[2] * jnp.abs(x[1] - p[3]) + x[1]

        def rows(x, p=b, q=c):
            return jnp.stack([p[0] * x[0] ** 2 + p[1] * x[1], q[0] * x[0] + jnp.where(x[1] > q[1], 0.5, q[2] * x[1])])

        low, high = np.array([-2.0, -1.5]), np.array([1.5, 2.5])
        whole = np.array([False, seed % 2 == 1])
        points = rng.uniform(low, high, (50_000, 2))
        points[:, 1] = np.where(whole[1], np.rint(points[:, 1]), points[:, 1])
        values, inside = jax.vmap(fun)(points), np.all((points >= np.where(whole, np.ceil(low), low)), axis=1)
        table = np.asarray(jax.vmap(rows)(points))
        upper = table[rng.integers(len(table))]
        inside &= np.all(table <= upper, axis=1) & np.all(points <= np.where(whole, np.floor(high), high), axis=1)
        bounds = list(zip(low, high, strict=True))
        certificate = prove(
            fun, bounds, [0, 0], constraints=row(rows, upper=upper), integrality=whole.tolist(), max_boxes=2000
        )
        least = np.min(np.where(inside, values, np.inf))
        assert certificate.lower <= least and (not certificate.proven or certificate.upper <= least + 1e-9)
        assert not whole[1] or certificate.x[1] == np.rint(certificate.x[1])


def test_whole_numbers():
    def fun(x):
        return (x[0] - 2.6) ** 2 + (x[1] - x[0] - 0.3) ** 2

    certificate = prove(fun, [(-5.5, 5.5)] * 2, [1, 1], integrality=[True, False])
    assert certificate.proven and certificate.complete and abs(certificate.upper - 0.16) < 1e-12
    (place,) = certificate.minimizers
    assert (
        place.unique and place.lower[0] == place.upper[0] == certificate.x[0] == 3 and abs(place.lower[1] - 3.3) < 1e-6
    )
    knapsack = row(lambda x: jnp.stack([3 * x[0] + 5 * x[1], x[1]]), upper=np.array([38.5, 7.0]))
    both = prove(lambda x: -x[0] - 2 * x[1], [(0, 10)] * 2, [0, 0], integrality=[True, False], constraints=knapsack)
    assert both.proven and abs(both.upper + 15) < 1e-9 and len(both.minimizers) == 2  # at 1 and at 2
    odd = prove(
        lambda x: x[0], [(0, 10)] * 2, [0, 0], integrality=True, constraints=row(lambda x: 2 * x[0] - 4 * x[1], 1, 1)
    )
    assert odd.proven and odd.lower == np.inf
    tight = row(lambda x: 2 * x[0] + 3 * x[1], upper=20.0)  # met exactly, which an enclosure cannot see
    full = prove(lambda x: -3 * x[0] - 4 * x[1], [(0, 10)] * 2, [0, 0], integrality=True, constraints=tight)
    assert full.proven and full.x.tolist() == [10, 0] and abs(full.upper + 30) < 1e-9
    pair = row(total, 2.0, 2.0)
    cheapest = prove(
        lambda x: x @ np.array([3.0, 1, 2, 5]), [(0, 1)] * 4, [1, 1, 0, 0], integrality=True, constraints=pair
    )
    assert cheapest.proven and cheapest.x.tolist() == [0, 1, 1, 0]
    needle = prove(
        lambda x: jnp.where(x[0] == 2, -1.0, x[0] ** 2) + x[1] ** 2, SQUARE, [0, 0], integrality=[True, False]
    )
    assert needle.proven and needle.x[0] == 2 and needle.lower <= -1 <= needle.upper


def test_values_of_a_list():
    bounds = [jg.Choice([0.1, 0.25, 0.5, 1.0]), (-2, 2)]

    def fun(x):
        return (x[0] - 0.6) ** 2 + (x[1] - x[0]) ** 2

    certificate = prove(fun, bounds, [1.0, 0.0])
    assert certificate.proven and certificate.x[0] == 0.5 and abs(certificate.upper - 0.01) < 1e-12
    (place,) = certificate.minimizers
    assert place.unique and place.lower[0] == place.upper[0] == 0.5
    held = prove(fun, bounds, [1.0, 0.0], constraints=row(lambda x: x[0] - x[1], 0.0, 0.0), max_boxes=3000)
    assert held.proven and held.x[0] == 0.5
    with pytest.raises(ValueError, match="`result` must be one of the values"):
        prove(fun, bounds, [0.7, 0.0])


def test_a_checkpoint_and_limits_under_constraints(tmp_path):
    def fun(x):
        return jnp.sum(x * x - jnp.cos(9 * x)) + x[0] * x[1]

    rows, path = row(lambda x: jnp.sum(jnp.sin(3 * x)), 0.5, 1.0), tmp_path / "proof.npz"
    options = {"constraints": rows, "integrality": [False, False, True]}
    whole = prove(fun, [(-3, 3)] * 3, [1, 0, 0], **options)
    part = prove(fun, [(-3, 3)] * 3, [1, 0, 0], max_boxes=3, checkpoint=path, **options)
    assert whole.proven and not part.complete and part.lower <= whole.upper and "max_boxes" in part.message
    rest = prove(fun, [(-3, 3)] * 3, [1, 0, 0], checkpoint=path, **options)
    assert rest.proven and abs(rest.upper - whole.upper) < 1e-8
    with pytest.raises(ValueError, match="another function"):
        prove(fun, [(-3, 3)] * 3, [1, 0, 0], checkpoint=path, constraints=row(rows.fun, 0.5, 2.0))


@pytest.mark.long
def test_processes_change_nothing(monkeypatch):
    monkeypatch.setattr(branch, "LONG", 1e3)
    rows, answers = row(lambda x: jnp.prod(x) + x[0] * x[4], 0.5, 0.5), []
    for workers in (1, 2):
        monkeypatch.setattr("jaxglobal.proof.entry.cores", lambda workers=workers: workers)
        fun = lambda x: jnp.sum(jnp.cos(3 * x) + x * x / 9) + x[0] * x[1] - x[2] * x[3]  # noqa: E731
        answers.append(prove(fun, [(-3, 3)] * 5, np.ones(5), constraints=rows, max_boxes=2000, max_time=300))
    a, b = answers
    assert (a.lower, a.upper, a.nboxes) == (b.lower, b.upper, b.nboxes) and a.nboxes > 1000


@pytest.mark.slow
def test_searches_first_with_the_same_constraints():
    disc = row(lambda x, r: size(x), upper=2.0)
    certificate = prove(lambda x, r: r * total(x), SQUARE, args=(2.0,), constraints=disc, max_time=None)
    assert certificate.proven and certificate.lower <= -4 <= certificate.upper
    result = jg.minimize(lambda x: (x[0] - 0.7) ** 2 + x[1], [jg.Choice([0.0, 1.0]), (0, 5)], integrality=[0, 1])
    again = prove(lambda x: (x[0] - 0.7) ** 2 + x[1], [jg.Choice([0.0, 1.0]), (0, 5)], integrality=[0, 1])
    assert again.proven and again.x.tolist() == result.x.tolist() == [1.0, 0.0]


def test_points_that_are_proven_to_keep_the_rows():
    rows = row(lambda x: jnp.stack([size(x), x[0] - 2 * x[1]]), np.array([1.0, -9.0]), np.array([1.0, 0.25]))
    problem = Problem.read(total, SQUARE, (), rows)
    place = feasible.Place(problem.model, problem.low, problem.high, np.zeros(2, bool))
    with np.errstate(all="ignore"):
        lo, hi = feasible.near(place, np.array([0.7, -0.6]))
        assert feasible.near(place, np.array([np.nan, 0.0])) is None
        held = feasible.Place(problem.model, problem.low, problem.high, np.ones(2, bool))
        assert feasible.near(held, np.array([0.7, -0.6])) is None  # nothing may move
    assert np.any(lo < hi) and np.max(hi - lo) < 1e-12
    middle = 0.5 * (lo + hi)
    assert abs(size(middle) - 1) < 1e-14 and middle[0] - 2 * middle[1] <= 0.25 + 1e-14


def test_values_in_exact_arithmetic():
    def rows(x):
        a, b = x
        c = [a * b - 0.1, jnp.maximum(a, b) ** 3 - jnp.abs(a - 2 * b), jnp.floor(a / b) + jnp.sqrt(b), jnp.sin(a)]
        return jnp.concatenate([jnp.stack(c), jnp.where(a > b, x, -x) - 3 * x**2])

    model = Problem.read(total, SQUARE, (), row(rows, upper=1.0)).model
    assert model.rows is not None
    x = np.array([0.1, 0.25])
    out = exactly.exactly(model.program, model.rows.id, x)
    a, b = Fraction(0.1), Fraction(1, 4)
    known = [a * b - a, b**3 - abs(a - 2 * b), Fraction(1, 2), None, -a - 3 * a * a, -b - 3 * b * b]
    for value, want in zip(out, known, strict=True):
        assert value == want or want is None and value != value


TURN = np.array([[0.6, 0.8], [-0.8, 0.6]])
MIXED = {  # rows of which each depends on all variables, their upper bounds, fun, a point, and a bound of its least
    "square": (lambda x: TURN @ x, [5.0, 0.2], lambda x: x[0] + 10 * x[1] ** 2, [0.9, 0.9], -0.2640625),
    "in a sine": (lambda x: jnp.sin(TURN @ x), [5.0, np.sin(0.2)], lambda x: x[0] + 10 * x[1] ** 2, [0.9, 0.9], -0.264),
    "tall": (
        lambda x: np.array([[0.6, 0.8], [-0.8, 0.6], [1.0, 1.0]]) @ x, [5.0, 0.2, 3.0],
        lambda x: x[0] + 10 * x[1] ** 2, [0.9, 0.9], -0.2640625,
    ),
    "wide": (
        lambda x: np.array([[0.6, 0.8, 0.1], [-0.8, 0.6, 0.1]]) @ x, [5.0, 0.2],
        lambda x: x[0] + 10 * x[1] ** 2 + x[2] ** 2, [0.9, 0.9, 0.0], -0.264,
    ),
    "a large inverse": (
        lambda x: -jnp.linalg.inv(jnp.eye(4) + jnp.diag(jnp.ones(3), 1) / 2 + 0.3 + jnp.diag(
            jnp.concatenate([x, x])))[0, :2],
        [5.0, 5.0], lambda x: x[0] + 0.2 * x[1], [1.0, 1.0], -0.6,
    ),
    "an inverse": (
        lambda x: -jnp.linalg.inv(jnp.array([[2.0, 1.0], [1.0, 3.0]]) + jnp.diag(x))[0], [5.0, 0.12],
        lambda x: x[0] + 0.2 * x[1], [1.0, 1.0], 0.5336,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXED)
def test_rows_that_mix_variables_depend_on_all_of_them(name):
    rows, upper, fun, point, least = MIXED[name]
    bounds = [(-0.5 if "inverse" in name else -1.0, 1.0)] * len(point)
    rows = row(rows, upper=np.array(upper))
    model = Problem.read(fun, bounds, (), rows).model
    assert model.rows is not None and model.rows.depends.all()
    assert prove(fun, bounds, point, constraints=rows, max_time=2).lower <= least


def test_operations_mix_entries_unless_they_are_known_not_to():
    mixes = {"inverse", "logdet", "lse", "map", "move", "ranked", "softmax", "sort", "sum", "unknown"}
    assert set(enclose.RULES) - node.BY_ENTRY == mixes


WRONG = [
    ({"constraints": lambda x: x}, TypeError, "`constraints` must be a jaxglobal.Constraint"),
    ({"constraints": jg.Constraint(None, upper=1.0)}, TypeError, "`fun` of `constraints` must be a function"),
    ({"constraints": row(size, np.zeros(3))}, ValueError, "must broadcast to the shape ()"),
    ({"integrality": [True, False]}, ValueError, "`integrality` must be True, False, or booleans"),
    ({"bounds": [(0.2, 0.8)], "integrality": True}, ValueError, "must have a whole number between them"),
    (
        {"constraints": row(lambda x: jnp.sum(jnp.linalg.eigvals(jnp.outer(x, x)).real), upper=1.0)},
        NotImplementedError,
        "`fun` and `constraints` must have an enclosure in intervals; got 'eig' at test_certify",
    ),
]


@pytest.mark.parametrize(("options", "kind", "words"), WRONG, ids=lambda value: str(value)[:30])
def test_wrong_arguments(options, kind, words):
    given = {"fun": size, "bounds": [(-1, 1)], "result": np.zeros(1), "progress": False} | options
    with pytest.raises(kind) as caught:
        jg.certify(**given)
    assert words in str(caught.value) and "\n" not in str(caught.value)
