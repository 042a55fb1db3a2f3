"""Whole numbers among the variables, in every entry point: right, and the function is called at whole numbers alone."""

import itertools
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.api import minimize_many
from jaxglobal.problem import lattice
from jaxglobal.starts import designs

HALF = [False, True, False, True]
PLACE = np.array([0.3, 1.0, -0.7, 2.0])


def rastrigin(x):
    y = x - PLACE.astype(x.dtype)
    return 10 * x.size + jnp.sum(y * y - 10 * jnp.cos(2 * jnp.pi * y))


def valley(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def pair(x, a):
    """Its best whole number k jumps with a: y = a k / 4 wherever it is."""
    k, y = x
    return (y - a * k / 4) ** 2 + 0.1 * (k - a) ** 2 + 0.3 * jnp.cos(5 * k)


BOX = [(-4, 6), (-3.0, 9.0)]


def by_hand(a):
    """The best k, and the value."""
    return min((0.1 * (k - a) ** 2 + 0.3 * np.cos(5 * k), k) for k in range(-4, 7))[::-1]


@pytest.mark.parametrize(("fun", "box"), [(rastrigin, (-5.12, 5.12)), (valley, (-5, 5))])
def test_half_of_the_variables(fun, box, x64):
    result = jg.minimize(fun, [box] * 4, integrality=HALF, progress=False)
    assert result.success and result.fun < (1e-10 if x64 else 1e-3), result
    assert all(float(v).is_integer() for m in result.minima for v in np.asarray(m.x)[HALF])
    np.testing.assert_allclose(result.x, PLACE if fun is rastrigin else 1, atol=1e-6 if x64 else 2e-2)


def test_each_point_of_a_small_lattice():
    result = jg.minimize(valley, [(-2, 3)] * 4, integrality=True, progress=False)
    assert result.success and result.fun == 0 and np.array_equal(result.x, np.ones(4))
    assert result.message == "each of the 1,296 points of whole numbers was evaluated"


def test_a_large_lattice_ends_by_its_evidence():
    result = jg.minimize(valley, [(-20, 30)] * 4, integrality=True, progress=False)
    assert result.success and result.fun == 0 and result.nfev < 200_000


def test_a_value_that_alone_is_good_among_thousands():
    def fun(x):
        k, y = x
        return ((k - 7) / 4096) ** 2 + (y - 0.3) ** 2 - (k == 3000)

    result = jg.minimize(fun, [(0, 4096), (-1.0, 1.0)], integrality=[True, False], seed=2)
    assert result.success and result.x[0] == 3000


@pytest.mark.long
def test_each_assignment_beside_continuous_variables(x64):
    rng = np.random.default_rng(0)
    worth, pull = rng.uniform(-1, 1, 6), rng.standard_normal((6, 2))

    def fun(x):
        z, y = x[:6], x[6:]
        return jnp.sum((y - z @ pull) ** 2) + jnp.sum(jnp.cos(3 * y)) - z @ worth

    result = jg.minimize(fun, [(0, 1)] * 6 + [(-5, 5)] * 2, integrality=[True] * 6 + [False] * 2, progress=False)
    assert result.success and "each of the 64 assignments" in result.message
    bits = np.array(list(itertools.product((0.0, 1.0), repeat=6)))
    box = np.concatenate([np.stack([bits, bits], axis=2), np.tile([[[-5.0, 5.0]]], (64, 2, 1))], axis=1)
    each = jg.minimize_many(lambda x, _: fun(x), box, np.zeros(64), starts=jg.Grid(), bounds_axis=0, progress=False)
    assert result.fun <= np.min(each.fun) + (1e-9 if x64 else 1e-4)


def test_a_host_function_sees_whole_numbers_alone():
    seen = []

    def fun(x):
        seen.append(x.copy())
        return float((x[0] - 2.6) ** 2 + (x[1] - 0.5) ** 2)

    result = jg.minimize(jg.host(fun), [(-3.5, 9.2), (-1, 2)], integrality=[1, 0], max_evals=300, progress=False)
    assert {float(x[0]) for x in seen} <= set(range(-3, 10)) and len(seen) > 50
    assert result.x[0] == 3 and abs(result.x[1] - 0.5) < 1e-3


@pytest.mark.parametrize("both", [True, False])
def test_a_slope_in_a_whole_number_may_be_nan(both):
    def fun(x):
        return float((x[0] - 2.2) ** 2 + (x[1] - x[0] / 10) ** 2)

    def slope(x):
        return np.array([np.nan, 2 * (x[1] - x[0] / 10)])

    host = jg.host(lambda x: (fun(x), slope(x)), jac=True) if both else jg.host(fun, jac=slope)
    result = jg.minimize(host, BOX, integrality=[True, False], max_evals=300, progress=False)
    np.testing.assert_allclose(result.x, [2, 0.2], atol=1e-6)
    assert result.status is jg.Status.MAX_EVALS or result.success
    np.testing.assert_allclose(result.jac, 0, atol=1e-6)


def test_no_gradient_is_called_where_nothing_moves():
    host = jg.host(lambda x: float(np.sum((x - 1.3) ** 2)), jac=lambda x: pytest.fail("a gradient was called"))
    result = jg.minimize(host, [(-4, 4)] * 2, integrality=True, progress=False)
    assert result.success and result.x.tolist() == [1, 1] and np.isclose(result.fun, 0.18)


@pytest.mark.parametrize("options", [{}, {"vectorized": True}])
def test_a_point_of_whole_numbers_alone_is_called_once(options):
    """Searches come back to the best points again and again; of several problems each has its own values."""
    seen = []

    def fun(x, a=3.2):
        seen.extend((*point, float(a)) for point in np.reshape(x, (-1, 3)).tolist())
        return np.sum((x - a) ** 2 + 3 * np.cos(3 * x), axis=-1)

    host, whole = jg.host(fun, **options), dict(integrality=True, progress=False)
    result = jg.minimize(host, [(0, 40)] * 3, max_evals=4000, **whole)
    assert result.x.tolist() == [3, 3, 3] and result.nfev >= 4000 and len(set(seen)) < 3000
    assert len(seen) <= 1.05 * len(set(seen))  # some points stand twice in what is called together
    seen.clear()
    many = jg.minimize_many(host, [(0, 40)] * 3, np.array([3.2, 9.4]), max_evals=1000, **whole)
    assert many.x.tolist() == [[3, 3, 3], [9, 9, 9]] and len(seen) <= 1.05 * len(set(seen))


def test_a_search_that_goes_on_from_a_file_calls_no_point_again(tmp_path):
    seen = []

    def fun(x):
        seen.append(tuple(x.tolist()))
        if len(seen) == 700:
            signal.raise_signal(signal.SIGINT)
        return float(np.sum((x - 3.2) ** 2 + 3 * np.cos(3 * x)))

    options = dict(integrality=True, max_evals=4000, checkpoint=tmp_path / "search", progress=False)
    statuses = [jg.minimize(jg.host(fun), [(0, 40)] * 3, **options).status for _ in range(2)]
    assert statuses == [jg.Status.INTERRUPTED, jg.Status.MAX_EVALS]
    assert len(seen) == len(set(seen))


@pytest.mark.long
def test_what_is_not_found_is_on_the_lattice():
    """The middle of the box is the answer where fun has no value, and may be between two whole numbers."""
    box, options = [(0, 3), (0.0, 1.0)], dict(integrality=[True, False])
    rows = jg.Constraint(lambda x, *_: x[0], upper=9.0)
    found = [
        jg.minimize(lambda x: jnp.nan * x[0], box, max_levels=2, progress=False, **options),
        jg.minimize(lambda x: jnp.nan * x[0], box, max_levels=2, progress=False, constraints=rows, **options),
        jg.minimize_many(lambda x, a: jnp.nan * x[0] * a, box, np.ones(2), max_levels=2, progress=False, **options),
        jg.argmin(lambda x: jnp.nan * x[0], box, levels=2, **options),
    ]
    assert all(np.all(np.asarray(result.x)[..., 0] == 2) for result in found)
    assert not found[0].success and not found[1].success


def test_ask_and_tell():
    search = jg.Search([(-3, 6), (0.0, 1.0)], integrality=[True, False], max_evals=400)
    while not search.done:
        x = search.ask()
        assert float(x[0]).is_integer()
        search.tell((x[0] - 2) ** 2 + (x[1] - 0.25) ** 2, [np.nan, 2 * (x[1] - 0.25)])
    np.testing.assert_allclose(search.result().x, [2, 0.25], atol=1e-4)
    assert search.result().status is not jg.Status.NO_FINITE_GRADIENT


@pytest.mark.parametrize(("k", "stop"), [(1, 90), (7, 150), (64, 400)])
def test_ask_and_tell_in_parts_and_from_a_file(k, stop, tmp_path):
    """However many points are told together, and wherever the state was saved, the answer is that of one go."""

    def go(k, stop=10**9, **options):
        search, seen = jg.Search([(-3, 6), (0.0, 1.0)], integrality=[True, False], max_evals=600, **options), 0
        while len(points := search.ask(k)) and seen < stop:
            i, y = points.x.T
            assert np.all(i == np.rint(i)) and np.all((-3 <= i) & (i <= 6))
            told = (i - 2) ** 2 + (y - 0.25) ** 2 + 0.3 * np.cos(9 * i * y)
            slope = 2 * (y - 0.25) - 2.7 * i * np.sin(9 * i * y)
            search.tell(told, np.stack([np.full_like(y, np.nan), slope], axis=1), points.ids)
            seen += len(points)
        search.save()
        return search.result()

    kept = dict(checkpoint=tmp_path / "search.npz", tag="cells")
    whole, early, late = go(16, checkpoint=tmp_path / "whole.npz", tag="cells"), go(k, stop, **kept), go(k, **kept)
    assert early.nfev < late.nfev == whole.nfev and np.array_equal(late.x, whole.x) and late.x[0] == 2


@pytest.mark.long
@pytest.mark.parametrize("starts", ["auto", jg.Grid()])
def test_many_problems(starts, x64):
    a = np.linspace(-3, 5, 7)
    results = jg.minimize_many(pair, BOX, a, starts=starts, integrality=[True, False], progress=False)
    for i, value in enumerate(a):
        k, f = by_hand(value)
        assert results.x[i, 0] == k and abs(results.fun[i] - f) < (1e-9 if x64 else 1e-4), (value, results.x[i])
    own = np.tile(np.array(BOX), (7, 1, 1))
    own[:, 0, 1] = np.arange(-3, 4)  # the number of values differs between the problems
    results = jg.minimize_many(pair, own, a, starts=starts, integrality=[True, False], progress=False)
    assert np.all(results.x[:, 0] <= own[:, 0, 1]) and np.all(results.x[:, 0] == np.rint(results.x[:, 0]))


@pytest.mark.long
def test_plain_starts_come_to_each_assignment_before_success(monkeypatch):
    def fun(x, a=2.2):
        return (x[0] - a) ** 2 + jnp.cos(9 * x[0])

    box, k, a = [(-50, 50)], np.arange(-50, 51), np.linspace(-20, 20.5, 9)
    result = jg.minimize(fun, box, integrality=True, starts=jg.Grid(), progress=False)
    assert result.success and result.x[0] == 3 and "each of the 101 points" in result.message
    own = np.tile([[[-50.0, 50.0]]], (9, 1, 1))
    own[:, 0, 1] = 30 + np.arange(9)
    monkeypatch.setattr(minimize_many, "FEW", 8)
    for bounds, options in ((own, {"starts": jg.Grid()}), (box, {})):
        results = jg.minimize_many(fun, bounds, a, integrality=True, progress=False, **options)
        best = np.array([np.argmin((k - value) ** 2 + np.cos(9.0 * k)) for value in a])
        assert np.all(results.success) and np.array_equal(results.x[:, 0], k[best]), options
    assert np.max(results.nfev) < 200  # these have learnt


@pytest.mark.long
def test_argmin_and_its_derivative(x64):
    def best(a):
        return jg.argmin(pair, BOX, a, levels=4, integrality=[True, False])

    for a in (0.4, 3.1):
        answer, (k, f) = best(a), by_hand(a)
        assert answer.x[0] == k and abs(answer.fun - f) < (1e-9 if x64 else 1e-4) and not answer.singular
        np.testing.assert_allclose(jax.jacfwd(lambda a: best(a).x)(a), [0, k / 4], atol=1e-5)
    result = jg.minimize(pair, BOX, 3.1, integrality=[True, False], progress=False)
    d = jg.derivative(result, pair, BOX, 3.1, integrality=[True, False])
    np.testing.assert_allclose(d.x[0], [0, by_hand(3.1)[0] / 4], atol=1e-5)
    assert np.all(np.asarray(d.x_bounds.lower) == 0) and not d.singular


def test_argmin_of_whole_numbers_alone_comes_to_each_of_some_thousand_points():
    a = jnp.array([2.4, -3.7, 8.2])
    x = jax.vmap(lambda a: jg.argmin(lambda x: (x[0] - a) ** 2 + (x[1] + a) ** 2, [(-9, 9)] * 2, integrality=True).x)(a)
    assert np.array_equal(x, [[2, -2], [-4, 4], [8, -8]])


def test_no_derivative_by_a_whole_number_is_asked_for():
    def fun(x):  # whose gradient is NaN at every whole number
        return jnp.where(x[0] == jnp.rint(x[0]), (x[0] - 2) ** 2, jnp.nan) + jnp.sqrt(jnp.sin(x[0]) * 0) + x[1] ** 2

    result = jg.minimize(fun, [(-3, 5), (-1.0, 2.0)], integrality=[True, False], max_evals=2000, progress=False)
    assert result.x[0] == 2 and result.fun < 1e-6 and np.all(np.isfinite(result.jac))


def test_a_tree_and_a_fixed_number():
    box = jg.Box({"n": 1.5, "w": -jnp.ones(2)}, {"n": 2.5, "w": 2 * jnp.ones(2)})  # one whole number: n = 2

    def fun(x):
        return (x["n"] - 5) ** 2 + jnp.sum((x["w"] - 0.5) ** 2)

    result = jg.minimize(fun, box, integrality={"n": True, "w": False}, progress=False)
    assert result.x["n"] == 2 and abs(result.fun - 9) < 1e-6


def test_a_checkpoint(tmp_path):
    options = dict(integrality=HALF, checkpoint=tmp_path / "search.npz", progress=False)
    whole = jg.minimize(valley, [(-5, 5)] * 4, max_evals=4000, **options | {"checkpoint": None})

    def stops(level):
        if level.index == 2:
            raise StopIteration

    jg.minimize(valley, [(-5, 5)] * 4, max_evals=4000, callback=stops, **options)
    again = jg.minimize(valley, [(-5, 5)] * 4, max_evals=4000, **options)
    assert np.array_equal(again.x, whole.x) and again.nfev == whole.nfev


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(integrality=[True]), "`integrality` must be True"),
        (dict(integrality=[2, 0]), "`integrality` must be True"),
        (dict(integrality={"n": True}), "`integrality` must be True"),
        (dict(integrality=[True, False], open=True), "`open` must be False"),
        (dict(integrality=[True, False], x0=[0.5, 0.5]), "`x0` must be whole"),
        (dict(integrality=[False, True]), "whole number between them"),
    ],
)
def test_wrong_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        jg.minimize(lambda x: x[0], [(0, 3), (0.2, 0.8)], progress=False, **options)


def test_a_grid_repeats_few_values():
    """An axis is split no further than into its values; once all points have been evaluated, no level follows."""
    grid, values = designs.of_values(jg.Grid(), np.array([2, 3, 0])), np.array([2, 3, 0])
    assert [grid.size(level, 3) for level in range(4)] == [1, 8, 32, 64]
    points = lattice.snapped(grid.points(3, 0, 64, 3), values)
    _, count = np.unique(points, axis=0, return_counts=True)
    assert len(count) == 2 * 3 * 8 and np.max(count) == 2 and grid.spacing(3, 64, 3) == 1 / 16
    assert designs.of_values(jg.Grid(), np.zeros(3, int)) == jg.Grid()
    weights, row = jnp.array([20.0, 12, 11, 7, 4]), dict(integrality=True, starts=jg.Grid(), progress=False)
    result = jg.minimize(lambda x: (weights @ x - 23.2) ** 2, [(0, 1)] * 5, **row)
    assert (
        result.nstarts == 1 + 32 and "each of the 32 points" in result.message and result.x.tolist() == [0, 1, 1, 0, 0]
    )


def test_points_of_the_unit_box():
    count = np.array([3, 0, 2])
    x = lattice.snapped(np.array([[0.0, 0.3, 0.49], [0.4, 0.3, 0.51], [1.0, 1.0, 1.0]]), count)
    np.testing.assert_allclose(x, [[1 / 6, 0.3, 0.25], [0.5, 0.3, 0.75], [5 / 6, 1.0, 0.75]])
    tried = lattice.Tried(count)
    tried.add(x)
    rest = tried.rest(x[0], 10)
    assert len(rest) == 3 and not tried.all
    tried.add(rest)
    assert tried.all == 6 and len(tried.rest(x[0], 10)) == 0


def test_many_problems_with_plain_starts_end_at_all_points():
    """Each of 32 points has been looked at by level 5 of the grid: no further level says more."""
    shift = np.linspace(0, 1, 3)
    many = jg.minimize_many(
        lambda x, s: jnp.sum((x - s) ** 2), [(0, 1)] * 5, (shift,), integrality=True, starts=jg.Grid(), progress=False
    )
    one = jg.minimize(
        lambda x: jnp.sum((x - 0.5) ** 2), [(0, 1)] * 5, integrality=True, starts=jg.Grid(), progress=False
    )
    assert np.all(many.success) and np.all(many.nfev <= one.nfev) and np.all(many.nit == one.nit)
