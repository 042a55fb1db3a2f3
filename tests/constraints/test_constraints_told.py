"""A search whose user tells values and constraints: the same answer in any order, kept on disk, honest throughout."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import LinearConstraint

import jaxglobal as jg

BOX = [(-2.0, 2.0)] * 2
NONE = np.inf
CENTRE = np.array([0.31, 0.27])
BOTH = jg.Constraint(None, [0.1, 0.3], [0.1, 0.3])  # the ends of a chord


def rows(x):
    return np.array([x[0] + x[1], x @ x])


def jacobian(x):
    return np.array([[1.0, 1.0], 2 * x])


def tell(search, points, which=slice(None), fails=lambda x: False):
    """Tells what is at some of the points."""
    x, ids = points.x[which], points.ids[which]
    f = np.array([np.nan if fails(at) else np.sum((at - CENTRE) ** 2) for at in x])
    c, J = np.array([rows(at) for at in x]).reshape(-1, 2), np.array([jacobian(at) for at in x]).reshape(-1, 2, 2)
    search.tell(f, 2 * (x - CENTRE), ids, constraints=c, jacobian=J)


def told(search, k=16, **options):
    """The result once nothing is asked any more, and the points that were."""
    asked = []
    while len(points := search.ask(k)):
        asked += [x.tobytes() for x in points.x]
        tell(search, points, **options)
    return search.result(), asked


def search(constraints=BOTH, box=BOX, **options):
    return jg.Search(box, constraints=constraints, **{"max_levels": 2, **options})


@pytest.fixture(scope="module")
def usual():
    return told(search())[0]


def test_minimum_multipliers_and_gradient(usual):
    # On x + y = 0.1 and x^2 + y^2 = 0.3 there are two points: the nearer one to the centre.
    d = np.sqrt(0.6 - 0.01) / 2
    x = np.array([0.05 + d, 0.05 - d])
    assert np.allclose(usual.x, x, atol=1e-7) and np.isclose(usual.fun, np.sum((x - CENTRE) ** 2), atol=1e-7)
    assert usual.violation < 1e-8 and np.all(usual.active) and usual.status is jg.Status.MAX_LEVELS
    assert np.allclose(2 * (usual.x - CENTRE) + jacobian(usual.x).T @ usual.multipliers, 0, atol=1e-6)
    assert np.allclose(usual.jac, 2 * (usual.x - CENTRE))
    assert told(search(same=2, max_levels=None))[0].success


def test_no_point_is_asked_twice_and_one_at_a_time_is_the_same(usual):
    result, asked = told(search(max_levels=1, starts=jg.Sobol()))
    assert len(asked) == len(set(asked)) < result.nfev and result.violation < 1e-8
    one, asked = told(search(), 1)
    assert np.array_equal(one.x, usual.x) and one.nfev == usual.nfev


def test_answers_that_come_late_and_partly(usual):
    asks, rng, waiting = search(), np.random.default_rng(1), []
    while not asks.done:
        points = asks.ask(16)
        waiting += zip(points.ids, points.x, strict=True)
        rng.shuffle(waiting)
        first, waiting = waiting[: 1 + len(waiting) // 3], waiting[1 + len(waiting) // 3 :]
        tell(asks, type(points)(*(np.array(part) for part in zip(*first, strict=True))))
        so_far = asks.result()
        assert so_far.minima or not so_far.success
    assert np.array_equal(asks.result().x, usual.x) and asks.result().nfev == usual.nfev


@pytest.mark.long
def test_failures_are_bad_trials():
    """Values, constraints and slopes that are not finite; a search of nothing else; where no point keeps the rows."""
    result, _ = told(search(jg.Constraint(None, [1.0, -NONE], [1.0, NONE])), fails=lambda x: x[0] > 1.2)
    assert np.isclose(result.fun, 0.0882, atol=1e-7) and result.violation < 1e-8
    for f, c, slope in ((np.nan, 0.0, 0.0), (0.0, np.nan, 0.0), (0.0, 0.2, np.nan)):
        bad = search(jg.Constraint(None, [0.1, 0.1], [0.1, 0.1]))
        while (x := bad.ask()) is not None:
            bad.tell(f, x * slope, constraints=np.full(2, c), jacobian=np.full((2, 2), slope))
        assert not bad.result().success and not bad.result().minima
    none, _ = told(search(jg.Constraint(None, [-NONE, 9.0], [NONE, NONE]), same=2, max_levels=None))
    assert none.status is jg.Status.INFEASIBLE and not none.minima and "constraints[1]" in none.message
    assert np.isclose(none.violation, 1, atol=1e-4)


def test_a_search_goes_on_from_its_checkpoint(usual, tmp_path):
    """In the middle, and once it has ended; answers to what an earlier process asked are dropped."""
    path = tmp_path / "search.npz"
    result, early = None, None
    for _ in range(1000):
        again = search(checkpoint=path, tag="chord")
        if again.done:
            result = again.result()
            break
        if early is not None:
            tell(again, early)
        for _ in range(7):
            if len(points := again.ask(16)):
                tell(again, points)
        early = again.ask(1) if not again.done else early
        again.save()
    assert np.array_equal(result.x, usual.x) and result.nfev == usual.nfev and result.violation == usual.violation
    assert np.array_equal(result.multipliers, usual.multipliers) and len(result.minima) == len(usual.minima)
    with pytest.raises(ValueError, match="another options"):
        search(jg.Constraint(None, [0.1, 0.3], [0.2, 0.3]), checkpoint=path, tag="chord")


@pytest.mark.long
@pytest.mark.parametrize("fails", [lambda x: False, lambda x: x[0] > 0.9], ids=["", "fails"])
def test_a_search_goes_on_from_everywhere(tmp_path, fails):
    """Saved after any answer, in the middle of an ending too, it asks and finds what it would have."""
    options = {"max_levels": 3, "starts": "auto", "lanes": 4, "seed": 1}
    plain, asked = told(search(**options), 1, fails=fails)
    for stop in range(3, len(asked), len(asked) // 9):
        path = tmp_path / f"{stop}.npz"
        before, early = search(**options, checkpoint=path, tag="chord"), []
        for _ in range(stop):
            points = before.ask(1)
            early += [x.tobytes() for x in points.x]
            tell(before, points, fails=fails)
        before.save()
        again, late = told(search(**options, checkpoint=path, tag="chord"), 1, fails=fails)
        assert set(early + late) == set(asked) and len(early + late) == len(asked), stop
        assert np.array_equal(again.x, plain.x) and (again.nfev, again.nstarts) == (plain.nfev, plain.nstarts)


def test_limits_bind_among_points_that_are_looked_at():
    for k in (1, 100):
        limited, asked = told(search(BOTH, [(-2.0, 2.0)] * 2, max_levels=None, starts="auto", max_evals=60), k)
        assert limited.status is jg.Status.MAX_EVALS and limited.nfev <= 60 + 16
        assert len(asked) <= 120 + 16


@pytest.mark.long
@pytest.mark.filterwarnings("error")
def test_looks_in_float32():
    """Points that violate a row have ranks that float32 can tell apart."""
    asks = search(jg.Constraint(None, 1.0, 1.0), x0=np.zeros(2, np.float32), max_levels=None, starts="auto")
    while len(points := asks.ask(50)):
        x = points.x.astype(float)
        asks.tell(np.sum(x, axis=1), np.ones_like(x), points.ids, constraints=np.sum(x * x, axis=1), jacobian=2 * x)
    assert asks.result().success and np.isclose(asks.result().fun, -np.sqrt(2), atol=1e-5)


def test_constraints_that_are_functions_are_evaluated_here(usual):
    """A linear one beside one that is told, in a list; and alone, so that nothing but values is told."""
    line, circle = LinearConstraint(np.ones((1, 2)), 0.1, 0.1), jg.Constraint(lambda x: x @ x, 0.3, 0.3)
    mixed = search([line, jg.Constraint(None, 0.3, 0.3)])
    while (x := mixed.ask()) is not None:
        mixed.tell(np.sum((x - CENTRE) ** 2), 2 * (x - CENTRE), constraints=x @ x, jacobian=2 * x)
    result = mixed.result()
    assert np.allclose(result.x, usual.x, atol=1e-7) and result.violation < 1e-8
    assert [np.shape(part) for part in result.multipliers] == [(1,), ()]
    assert np.allclose(np.concatenate([np.ravel(part) for part in result.multipliers]), usual.multipliers, atol=1e-6)
    known = search([line, circle])
    while len(points := known.ask(8)):
        known.tell(np.sum((points.x - CENTRE) ** 2, axis=1), 2 * (points.x - CENTRE), points.ids)
    assert np.allclose(known.result().x, usual.x, atol=1e-7) and known.result().violation < 1e-8
    with pytest.raises(ValueError, match="`constraints` must be left out unless"):
        known = search(circle)
        known.tell(1.0, np.zeros(2), known.ask(1).ids, constraints=1.0)


def test_a_slope_in_a_fixed_variable_may_be_nan():
    disc = jg.Search([(1.0, 1.0), (-2.0, 2.0)], constraints=jg.Constraint(None, upper=1.5), max_levels=1)
    while (x := disc.ask()) is not None:
        disc.tell(-x[1], [np.nan, -1.0], constraints=np.sum(x**2), jacobian=[np.nan, 2 * x[1]])
    result = disc.result()
    np.testing.assert_allclose(result.x, [1, np.sqrt(0.5)], atol=1e-7)
    np.testing.assert_allclose([result.multipliers, *result.jac], [np.sqrt(0.5), 0, -1], atol=1e-6)


def test_pytrees_and_float32():
    box = jg.Box(
        {"a": np.float32(-1), "b": np.full(2, -1, np.float32)}, {"a": np.float32(3), "b": np.full(2, 3.0, np.float32)}
    )
    asks = search(jg.Constraint(None, upper=1.0), box, max_levels=1)
    while (x := asks.ask()) is not None:
        slopes = {"a": 2 * (x["a"] - 2), "b": 2 * (x["b"] - [1, 0])}
        assert x["b"].dtype == np.float32
        asks.tell(
            (x["a"] - 2) ** 2 + np.sum((x["b"] - [1, 0]) ** 2), slopes, constraints=x["a"] + x["b"][0],
            jacobian={"a": 1.0, "b": np.array([1.0, 0.0])},
        )  # fmt: skip
    result = asks.result()
    assert np.isclose(result.fun, 2, atol=1e-4) and result.active and np.isclose(result.multipliers, 2, atol=1e-3)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`open` must be False"):
        search(open=True)
    with pytest.raises(TypeError, match="`local` must be"):
        search(local=jg.Optax(optax.sgd(0.1)))
    with pytest.raises(ValueError, match="`ctol`"):
        search(ctol=0)
    with pytest.raises(ValueError, match="of one shape; got"):
        jg.Search(BOX, constraints=jg.Constraint(None, np.zeros(2), np.zeros(3)))
    with pytest.raises(ValueError, match="at most one"):
        search([BOTH, BOTH])
    with pytest.raises(TypeError, match="must be a JAX function"):
        search(jg.Constraint(lambda x: np.sum(np.asarray(x)), 0.0))
    with pytest.raises(TypeError, match="`constraints` must be a jaxglobal.Constraint"):
        search(3)
    asks = search(x0=np.zeros((2, 2)))
    points = asks.ask(2)
    for c, J in (
        (None, None),
        (np.zeros((2, 2)), None),
        (np.zeros(2), np.zeros((2, 2, 2))),
        (np.zeros((2, 2)), np.zeros((2, 2))),
    ):
        with pytest.raises(ValueError, match="`constraints` and `jacobian` must be real numbers of the shapes"):
            asks.tell(np.zeros(2), np.zeros((2, 2)), points.ids, constraints=c, jacobian=J)
    for name in ("constraints", "jacobian"):
        told = {"constraints": np.zeros((2, 2)), "jacobian": np.zeros((2, 2, 2))}
        told[name] = told[name] * 1j
        with pytest.raises(ValueError, match=f"`{name}` must be real numbers; got complex128"):
            asks.tell(np.zeros(2), np.zeros((2, 2)), points.ids, **told)
    tell(asks, points)
    trees = jg.Search(jg.Box({"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 1.0}), constraints=jg.Constraint(None, 0.0))
    point = trees.ask(1)
    right, zero = {"a": np.zeros(1), "b": np.zeros(1)}, np.zeros(1)
    for g, J in (({"a": zero, "c": zero}, right), ([zero, zero], right), (right, {"a": zero, "c": zero})):
        with pytest.raises(ValueError, match="must have the structure of x"):
            trees.tell(np.zeros(1), g, point.ids, constraints=np.zeros(1), jacobian=J)
    with pytest.raises(ValueError, match="told once"):
        tell(asks, points)
    with pytest.raises(ValueError, match="`jacobian` must be left out unless"):
        plain = jg.Search(BOX)
        plain.tell(1.0, np.zeros(2), plain.ask(1).ids, jacobian=np.zeros((2, 2)))
    assert not jg.Search(BOX, constraints=[]).result().success
    assert jnp.isfinite(asks.result().time)


def test_a_checkpoint_belongs_to_its_constraints(tmp_path):
    def search(A):
        options = dict(checkpoint=tmp_path / "s.npz", tag="f", max_levels=2)
        search = jg.Search(BOX, constraints=LinearConstraint(A, 0.1, 0.1), **options)
        while len(points := search.ask(16)):
            search.tell(np.sum((points.x - CENTRE) ** 2, axis=1), 2 * (points.x - CENTRE), points.ids)
        search.save()
        return search.result()

    first = search([[1.0, 1.0]])
    with pytest.raises(ValueError, match="has another options"):
        search([[1.0, -1.0]])
    assert np.array_equal(search([[1.0, 1.0]]).x, first.x)


def test_functions_without_a_row_are_no_constraints():
    none = jg.Constraint(lambda x: x[:0])
    x = jg.Search(BOX, constraints=none).ask()
    assert np.array_equal(x, jg.Search(BOX).ask())
    both = jg.Search(BOX, constraints=[none, jg.Constraint(lambda x: x[0], lower=0.0)], max_evals=20)
    while (x := both.ask()) is not None:
        both.tell(np.sum(x**2), 2 * x)
    assert both.result().multipliers[0].shape == (0,)


def test_points_of_any_number_compile_nothing(caplog):
    """Their ranks were made by programs, one for each number of points that were told together."""
    told(search(max_levels=1))
    with jax.log_compiles(), caplog.at_level("WARNING"):
        for k in (3, 5, 7):
            told(search(max_levels=2), k)
    assert not [record.message for record in caplog.records if "XLA compilation" in record.message]


def test_no_points_and_none_that_were_asked():
    search = jg.Search(BOX, constraints=BOTH)
    search.ask(1)
    tell(search, search.ask(4))  # of which there are none while one is out
    with pytest.raises(ValueError, match="must be those of points that were asked; got 3"):
        search.tell(0.0, np.zeros(2), 3, constraints=np.zeros(2), jacobian=np.zeros((2, 2)))


def test_answers_to_an_earlier_process_are_dropped(tmp_path):
    def search():
        x0 = np.random.default_rng(0).uniform(-1, 1, (8, 2))
        return jg.Search(BOX, checkpoint=tmp_path / "s.npz", tag="f", max_levels=1, x0=x0)

    first = search()
    first.ask(4)
    first.save()
    late = first.ask(4)  # since the last write
    for ask in (0, 8):
        again = search()
        asked = again.ask(ask).ids if ask else []
        again.tell(np.zeros(4), np.zeros((4, 2)), late.ids)
        assert not set(asked) & set(late.ids) and again.result().nfev == 0
