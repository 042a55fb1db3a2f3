"""Variables with a list of values, in every entry point: the function and the user see values of the list alone."""

import asyncio
import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg

SIZES = jg.Choice([1.0, 0.25, 0.1, 0.1])
BOX = [SIZES, (-2.0, 2.0)]


def fun(x, a):
    return (x[0] - a) ** 2 + (x[1] - a * x[0]) ** 2


def by_hand(a):
    k = min(SIZES.values, key=lambda v: (v - a) ** 2)
    return np.array([k, a * k]), (k - a) ** 2


def check(result, a, x64):
    x, f = by_hand(a)
    assert result.x[0] == np.asarray(x[0], result.x.dtype), result.x  # exactly
    assert abs(result.x[1] - x[1]) < 1e-3 and abs(result.fun - f) < (1e-9 if x64 else 1e-4)


def test_a_list_of_values():
    assert SIZES.values == (0.1, 0.25, 1.0) and str(SIZES) == "Choice([0.1, 0.25, 1.0])"
    assert pickle.loads(pickle.dumps(SIZES)) == copy.deepcopy(SIZES) == SIZES == jg.Choice(np.array(SIZES.values))
    assert str(jg.Choice([2, True], 3)) == "Choice([1.0, 2.0], shape=(3,))"


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, dict(x0=[0.25, 0.3]), dict(integrality=[False, False])])
def test_minimize(options, x64):
    levels = []
    result = jg.minimize(fun, BOX, 0.2, callback=levels.append, progress=False, **options)
    check(result, 0.2, x64)
    dtype = result.x.dtype
    allowed = {float(np.asarray(v, dtype)) for v in SIZES.values}
    assert {float(m.x[0]) for m in result.minima} <= allowed and {float(level.x[0]) for level in levels} <= allowed
    assert "each of the 3 assignments" in result.message and result.jac[0] == 0
    assert pickle.loads(pickle.dumps(result)).x[0] == result.x[0]
    d = jg.derivative(result, fun, BOX, 0.2)
    np.testing.assert_allclose(d.x[0], [0, 0.25], atol=1e-5)
    np.testing.assert_allclose(d.fun[0], 2 * (0.2 - 0.25), atol=1e-4)


def test_lists_alone():
    sevenths = jg.Choice(np.arange(8) / 7)
    result = jg.minimize(lambda x: jnp.sum((x - 0.3) ** 2), [sevenths] * 3, progress=False)
    assert "each of the 512 points" in result.message and np.array_equal(result.x, np.full(3, 2 / 7, result.x.dtype))


def test_a_host_function_and_ask_and_tell():
    seen = set()

    def counted(x):
        seen.add(float(x[0]))
        return float(fun(x, 0.9))

    result = jg.minimize(jg.host(counted), BOX, max_evals=200, progress=False)
    assert seen == set(SIZES.values) and result.x[0] == 1 and abs(result.x[1] - 0.9) < 1e-3
    search = jg.Search(BOX, max_evals=200)
    while not search.done:
        x = search.ask()
        assert x[0] in SIZES.values
        search.tell(fun(x, 0.2), [0.0, 2 * (x[1] - 0.2 * x[0])])
    assert search.result().x[0] == 0.25


@pytest.mark.long
def test_many_problems(x64):
    a = np.array([0.1, 0.2, 0.9])
    options = dict(x0=np.tile([0.1, 0.0], (3, 1)), starts=jg.Grid(), progress=False)
    results = jg.minimize_many(fun, BOX, a, **options)
    for i, value in enumerate(a):
        check(results[i], value, x64)
    moves = jg.derivative(results, fun, BOX, a).x[0]
    np.testing.assert_allclose(moves[:, 1], [by_hand(value)[0][0] for value in a], atol=1e-4)
    assert not np.any(moves[:, 0])


@pytest.mark.long
def test_many_problems_tell_values_everywhere(x64):
    """Their minima, what a callback is told, and x under constraints."""
    told, a, sizes = [], np.array([0.1, 0.2, 0.9]), np.asarray(SIZES.values, np.float64 if x64 else np.float32)
    row = jg.Constraint(lambda x, a: x[0], lower=[0.0, 0.0, 0.5])  # the last problem has a minimum, the others three
    for constraints in (None, row):
        results = jg.minimize_many(fun, BOX, a, constraints=constraints, callback=told.append, progress=False)
        for i, value in enumerate(a):
            check(results[i], value, x64)
        lists = [results.minima.x[..., 0].ravel(), *(news.x[:, 0] for news in told)]
        seen = np.concatenate(lists)
        assert np.all(np.isin(seen, sizes) | np.isnan(seen))
    assert np.sum(np.isnan(results.minima.x[2, :, 0])) == 2


@pytest.mark.long
def test_argmin_and_its_derivative():
    def best(a, x0):
        return jg.argmin(fun, BOX, a, levels=2, x0=x0).x

    a, x0 = jnp.array([0.2, 0.9]), jnp.array([[0.1, 0.0], [0.24, 0.0]])  # the nearest value, where x0 is traced
    x, moves = jax.vmap(best)(a, x0), jax.vmap(jax.jacfwd(best))(a, x0)
    np.testing.assert_allclose(x, [[0.25, 0.05], [1.0, 0.9]], atol=1e-4)
    np.testing.assert_allclose(moves, [[0, 0.25], [0, 1.0]], atol=1e-4)


def test_a_tree_with_arrays_of_choices():
    kinds, one = jg.Choice([1, 2, 5], shape=(2,)), jg.Choice([7])
    box = jg.Box({"k": kinds, "one": one, "w": -jnp.ones(2)}, {"k": kinds, "one": one, "w": jnp.ones(2)})

    def cost(x):
        return jnp.sum((x["k"] - jnp.array([2.2, 9.0])) ** 2) + jnp.sum((x["w"] - 0.5) ** 2) + x["one"]

    x0 = {"k": np.array([5.0, 1.0]), "one": 7.0, "w": np.zeros(2)}
    result = asyncio.run(jg.aminimize(cost, box, x0=x0, progress=False))
    assert np.array_equal(result.x["k"], [2, 5]) and result.x["one"] == 7
    np.testing.assert_allclose(result.x["w"], 0.5, atol=1e-3)


def test_a_checkpoint(tmp_path):
    def stops(level):
        if level.index == 2:
            raise StopIteration

    options = dict(max_evals=1500, progress=False)
    kept = tmp_path / "search.npz"
    jg.minimize(fun, BOX, 0.2, checkpoint=kept, callback=stops, **options)
    again, whole = jg.minimize(fun, BOX, 0.2, checkpoint=kept, **options), jg.minimize(fun, BOX, 0.2, **options)
    assert np.array_equal(again.x, whole.x) and again.nfev == whole.nfev
    assert [float(level.x[0]) for level in again.levels] == [float(level.x[0]) for level in whole.levels]


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ([], ValueError, "at least one number"),
        ([1, np.nan], ValueError, "all of them finite"),
        ([1, np.inf], ValueError, "all of them finite"),
        (["a", "b"], TypeError, "must be real numbers"),
        (None, TypeError, "must be real numbers"),
        ([[1, 2], [3]], TypeError, "must be real numbers"),
        ([1j], TypeError, "must be real numbers"),
    ],
)
def test_wrong_values(values, kind, words):
    with pytest.raises(kind, match="`values` of a Choice.*" + words):
        jg.Choice(values)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: jg.Choice([1, 2], shape=(-1,)), TypeError, "`shape` of a Choice must be a tuple"),
        (lambda: jg.minimize(fun, BOX, 0.2, open=True), ValueError, "`open` must be False .* have a Choice"),
        (lambda: jg.minimize(fun, BOX, 0.2, x0=[0.3, 0]), ValueError, "`x0` must be one of the values"),
        (lambda: jg.minimize(fun, [jg.Choice([1], 2), (0, 1)], 0.2), ValueError, r"`shape` of a Choice must be \(\)"),
        (lambda: jg.minimize(fun, SIZES, 0.2), TypeError, "`bounds` must be numbers here"),
        (lambda: jg.minimize(fun, ([SIZES, 0], [SIZES, 1]), 0.2), TypeError, "`bounds` must be numbers here"),
        (lambda: jg.minimize(fun, jg.Box(SIZES, jg.Choice([1])), 0.2), ValueError, "the same Choice in `lower`"),
        (lambda: jg.minimize_many(fun, BOX, np.ones(3), bounds_axis=0), ValueError, "`bounds_axis` must be None"),
        (lambda: jg.curve_fit(lambda t, a: a * t, [1.0, 2, 3], [1.0, 2, 3], SIZES), TypeError, "must be numbers"),
    ],
)
def test_wrong_arguments(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_values_that_float32_does_not_tell_apart():
    bounds = [jg.Choice([1.0, 1.0 + 1e-12]), (0.0, 1.0)]
    with jax.enable_x64(False), pytest.raises(ValueError, match="finite and distinct in float32"):
        jg.minimize(lambda x: x[0] + x[1], bounds, progress=False)
