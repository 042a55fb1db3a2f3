"""What the user may pass, and the one sentence that says what was wrong, before anything compiles."""

import functools
import math
import re
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import check_minimum
from scipy.optimize import Bounds

import jaxglobal as jg


def paraboloid(x):
    return jnp.sum((x - 0.25) ** 2)


def solve(fun=paraboloid, bounds=((-1, 1), (-1, 1)), *args, **options):
    return jg.minimize(fun, bounds, *args, progress=False, **options)


@pytest.mark.parametrize(
    "bounds",
    [
        [(-1, 1), (-1, 1)],
        np.array([[-1.0, 1.0], [-1.0, 1.0]]),
        jnp.array([[-1.0, 1.0], [-1.0, 1.0]]),
        Bounds([-1, -1], [1, 1]),
        jg.Box(-np.ones(2), np.ones(2)),
    ],
    ids=["pairs", "numpy", "jax", "scipy", "Box"],
)
def test_kinds_of_bounds(bounds):
    result = solve(bounds=bounds)
    check_minimum(result, 0, [0.25, 0.25])
    assert result.x.shape == (2,)


def test_pytree():
    def fun(x, weight):
        return jnp.sum((x["a"] - 0.5) ** 2) + weight * (x["b"][0] - 2) ** 2

    box = jg.Box({"a": -np.ones((2, 2)), "b": (0.0,)}, {"a": np.ones((2, 2)), "b": (3.0,)})
    result = jg.minimize(fun, box, (2.0,), x0={"a": np.zeros((2, 2)), "b": (1.0,)}, progress=False)
    check_minimum(result, 0, {"a": np.full((2, 2), 0.5), "b": (2.0,)})
    assert result.x["a"].shape == (2, 2) and np.shape(result.x["b"][0]) == ()
    assert jax.tree.structure(result.jac) == jax.tree.structure(result.x)
    assert jax.tree.structure(result.minima[0].x) == jax.tree.structure(result.x)


def test_numbers_of_any_kind():
    """An array without axes is a number, and so are what NumPy keeps as an object: a fraction, 10**20."""
    assert solve(target=jnp.array(0.5), max_evals=np.array(100)).status is jg.Status.TARGET
    assert solve(bounds=[(Fraction(-1, 3), 1), (np.float32(0), 1)]).fun < 1e-3
    large = solve(lambda x: jnp.sum((x * 1e-20 - 0.25) ** 2), [(0, 10**20)])
    assert abs(large.x[0] * 1e-20 - 0.25) < 1e-3


def test_scalar_x():
    result = jg.minimize(lambda x: (x - 0.25) ** 2, jg.Box(-1.0, 1.0), progress=False)
    assert np.shape(result.x) == () and abs(result.x - 0.25) < 1e-3


def test_args_need_not_be_a_tuple():
    result = solve(lambda x, a: jnp.sum((x - a) ** 2), [(-1, 1)], 0.5)
    check_minimum(result, 0, [0.5])


def test_has_aux():
    def fun(x):
        return paraboloid(x), {"twice": 2 * x}

    result = solve(fun, has_aux=True)
    check_minimum(result, 0, [0.25, 0.25])
    np.testing.assert_allclose(result.aux["twice"], 2 * result.x)
    assert solve().aux is None


def test_partial_and_callable_objects():
    class Loss:
        def __call__(self, x):
            return paraboloid(x)

    check_minimum(solve(Loss()), 0)
    check_minimum(solve(functools.partial(lambda a, x: jnp.sum((x - a) ** 2), 0.5)), 0, [0.5, 0.5])
    check_minimum(solve(jax.jit(paraboloid)), 0)


def test_jit_inside_and_closure_over_arrays():
    data = jnp.linspace(0, 1, 50)
    check_minimum(solve(lambda x: jnp.mean((x[0] + x[1] * data - 0.5 - 0.25 * data) ** 2)), 0, [0.5, 0.25])


def test_integer_start():
    check_minimum(solve(x0=[0, 1]), 0)
    check_minimum(solve(x0=np.array([0, 1])), 0)


WRONG = [
    ({"fun": lambda x: float(np.sin(x[0]))}, TypeError, "wrap it in jaxglobal.host(...)"),
    ({"fun": lambda x: float(x[0])}, TypeError, "`fun` must be a JAX function, but makes a Python or NumPy value of x"),
    ({"fun": lambda x, a: a * x[0]}, TypeError, "`fun` must take x and the 0 further arguments in `args`; got: "),
    ({"fun": lambda x, *, a: a * x[0]}, TypeError, "must take x and the 0 further arguments in `args`; got: "),
    (
        dict(fun=lambda x, a: x[0] * float(a), args=(1.0,)),
        TypeError,
        "`fun` must be a JAX function, but makes a Python or NumPy value of what it is given",
    ),
    ({"starts": "grid"}, TypeError, '`starts` must be "auto", a jaxglobal.Adaptive, Grid, Halves or Sobol'),
    (dict(fun=3), TypeError, "`fun` must be a function fun(x, *args); got int."),
    (dict(fun=lambda x: x), TypeError, "`fun` must return a scalar; got shape (2,), float"),
    (dict(fun=lambda x: jnp.sum(x) + 1j), TypeError, "`fun` must return a real floating-point scalar; got complex"),
    (dict(fun=lambda x: jnp.sum(x > 0)), TypeError, "`fun` must return a real floating-point scalar; got int"),
    (dict(fun=lambda x: None), TypeError, "`fun` must return a scalar; got NoneType"),
    (
        dict(fun=lambda x: "a"),
        TypeError,
        "must return a real number, and arrays or numbers beside it; got <class 'str'>",
    ),
    *(
        (dict(fun=fun), TypeError, "`fun` must be a JAX function, but makes a Python or NumPy value of x")
        for fun in (
            lambda x: float(x),
            lambda x: [1.0, 2.0][x[0].astype(int)],
            lambda x: jnp.sum(x[x > 0]),
            lambda x: len(f"{x:.2f}"),
            functools.lru_cache(jnp.sum),
        )
    ),
    *(
        (
            dict(fun=fun),
            TypeError,
            f"must be a function that takes x and the 0 further arguments in `args`; got the {kind} {fun.__name__}.",
        )
        for kind, funs in (("class", (int, dict, object, set)), ("builtin", (isinstance, math.sin)))
        for fun in funs
    ),
    *(
        (dict(constraints=jg.Constraint(fun, upper=0.0)), TypeError, f"`fun` of `constraints` must {says}")
        for fun, says in (
            (lambda x: "a", "return a real floating-point number or array; got <class 'str'>"),
            (lambda x: float(x), "be a JAX function, but makes a Python or NumPy value of x"),
            (int, "be a function that takes x and the 0 further arguments in `args`; got the class int."),
        )
    ),
    (dict(fun=lambda x: (jnp.sum(x), x)), TypeError, "has_aux=True takes a pair"),
    (dict(fun=jnp.sum, has_aux=True), TypeError, "`fun` must return a pair (value, aux) with has_aux=True"),
    (
        dict(bounds=[(1, 0)]),
        ValueError,
        "`upper` must be greater than or equal to `lower`; got lower=1.0, upper=0.0 at",
    ),
    (dict(bounds=[(0, 1), (0, np.nan)]), ValueError, "`upper` must be finite"),
    (dict(bounds=[(-np.inf, 1)]), ValueError, "`lower` must be finite"),
    (dict(bounds=[(None, 1)]), ValueError, "`lower` must be finite"),
    (dict(bounds=[(0, 1, 2)]), ValueError, "`bounds` must be pairs (low, high)"),
    (dict(bounds=[]), ValueError, "`bounds` must be pairs (low, high)"),
    (dict(bounds="box"), TypeError, "`bounds` must be pairs (low, high)"),
    (dict(bounds=7), TypeError, "`bounds` must be pairs (low, high)"),
    (dict(bounds=[(0, 1j)]), TypeError, "`bounds` must be real numbers"),
    (dict(bounds=jg.Box(np.zeros(2), np.ones(3))), ValueError, "`upper` must have the shapes of `lower`, [(2,)]"),
    (dict(bounds=jg.Box({"a": 0.0}, {"b": 1.0})), ValueError, "`upper` must have the structure of `lower`"),
    (dict(bounds=jg.Box(np.zeros(2, int), np.ones(2, int))), TypeError, "`lower` must be real floating-point numbers"),
    (dict(bounds=jg.Box({}, {})), ValueError, "`bounds` must have at least one variable"),
    (dict(x0=[0.0, 2.0]), ValueError, "`x0` must lie inside the bounds; got 2.0 outside [-1.0, 1.0] at index 1."),
    (dict(x0=[0.0, np.nan]), ValueError, "`x0` must lie inside the bounds; got nan"),
    (dict(x0=np.zeros(3)), ValueError, "`x0` must have shapes [(2,)]"),
    (dict(x0={"a": 1.0}), ValueError, "`x0` must have the structure of the bounds"),
    (dict(x0=np.zeros(2, complex)), TypeError, "`x0` must be real numbers; got complex128."),
    (dict(args=(2**70,)), ValueError, "got 1180591620717411303424: write it as a float."),
    (dict(args=("text",)), TypeError, "`args` must be pytrees of arrays and numbers; got str"),
    (dict(open=[True]), ValueError, "`open` must be True, False, booleans"),
    (dict(open=3), ValueError, "`open` must be True, False, booleans"),
    (dict(same=0), ValueError, "`same` must be at least 1; got 0."),
    (dict(max_levels=0), ValueError, "`max_levels` must be at least 1; got 0."),
    (dict(max_levels=2.5), TypeError, "`max_levels` must be a whole number; got 2.5."),
    (dict(max_time=-1), ValueError, "`max_time` must be a number of at least 0; got -1."),
    (dict(max_time="soon"), TypeError, "`max_time` must be a number; got 'soon'."),
    (dict(fatol=float("nan")), ValueError, "`fatol` must be a number; got nan."),
    (dict(lanes=0), ValueError, '`lanes` must be "auto" or a whole number of at least 1; got 0.'),
    (dict(lanes=10**9), ValueError, "numbers each; got 1000000000."),
    (dict(local="bfgs"), TypeError, '`local` must be "auto", a jaxglobal.BFGS, '),
    (dict(starts="grid"), TypeError, '`starts` must be "auto", a jaxglobal.Adaptive, Grid'),
    (dict(starts=jg.Grid), TypeError, '`starts` must be "auto", a jaxglobal.Adaptive, Grid'),
    (dict(target=np.zeros(2)), TypeError, "`target` must be a number; got array([0., 0.])."),
    (dict(target=float("nan")), ValueError, "`target` must be a number; got nan."),
    (dict(seed=-1), ValueError, "`seed` must be a whole number of at least 0; got -1."),
    (dict(x0=jnp.zeros(2, jnp.bfloat16)), TypeError, "`x0` and `bounds` must be float32 or float64; got bfloat16."),
    (dict(callback=3), TypeError, "`callback` must be a function callback(level); got int."),
    (dict(progress="bar"), ValueError, '`progress` must be "auto", True or False'),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG, ids=lambda v: str(v)[:40] if isinstance(v, dict) else "")
def test_wrong_arguments(wrong, error, message, monkeypatch):
    def compiles(*_):
        raise AssertionError("compiled")

    monkeypatch.setattr("jaxglobal.engine.fused.compile_chunk", compiles)
    monkeypatch.setattr("jaxglobal.engine.stepped.engine", compiles)
    arguments = {"fun": lambda x: jnp.sum(x**2), "bounds": [(-1, 1), (-1, 1)], "progress": False} | wrong
    with pytest.raises(error, match=re.escape(message)) as caught:
        jg.minimize(**arguments)
    assert "\n" not in str(caught.value)


def test_a_type_error_of_the_user_is_left_as_it_is():
    def takes_two(x, a):
        return a * jnp.sum(x)

    def refuses(x):
        raise TypeError("a Tracer is no bullet")

    for fun, says in ((lambda x: takes_two(x), "takes_two() missing 1"), (refuses, "a Tracer is no bullet")):
        with pytest.raises(TypeError, match=re.escape(says)) as caught:
            solve(fun)
        assert "`fun`" not in str(caught.value)
    with pytest.raises(TypeError, match="got the class int") as caught:
        solve(int)
    assert isinstance(caught.value.__cause__, TypeError)


def test_unknown_option():
    with pytest.raises(TypeError, match="max_level"):
        solve(max_level=3)


def test_options_of_the_local_search():
    for options, message in (
        ({"first_step": 0.0}, "`first_step` must be in"),
        ({"max_nfev": 0}, "`max_nfev` must be at least 1"),
        ({"ftol": -1.0}, "`ftol` must be a finite number"),
    ):
        with pytest.raises(ValueError, match=message):
            jg.BFGS(**options)
    with pytest.raises(TypeError, match="`cover` must be a jaxglobal.Grid, Halves or Sobol, .*; got 3"):
        jg.Adaptive(3)
    ends = {"starts": jg.Adaptive(jg.Sobol(), stop=True)}
    for call in (lambda: solve(jg.host(lambda x: 0.0), **ends), lambda: jg.Search([(-1, 1)], **ends)):
        with pytest.raises(TypeError, match="`starts` must be a jaxglobal.Adaptive with stop=False where fun is not"):
            call()
    with pytest.raises(TypeError, match="`ftol` must be a number; got True"):
        jg.BFGS(ftol=True)
    for first in (3, 4.5):
        with pytest.raises(ValueError, match="`first` must be a power of two"):
            jg.Sobol(first=first)
    with pytest.raises(ValueError, match="`seed` must be a whole number of at least 0; got -1"):
        jg.Sobol(seed=-1)


def test_inside_a_transformation():
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda a: solve(lambda x, a: jnp.sum((x - a) ** 2), [(-1, 1)], (a,)).fun)(0.5)


def test_an_error_of_the_function_is_the_users_own():
    def fun(x):
        raise KeyError("theirs")

    with pytest.raises(KeyError, match="theirs"):
        solve(fun)


@pytest.mark.parametrize("outside", [np.nan, np.inf])
def test_a_small_feasible_region_is_found(outside):
    """Of 0.07 % of the box: the search looks on for it."""
    at, low = np.array([3.3, -2.1]), (np.hypot(0.3, 5.1) - 0.3) ** 2  # the point of the disc that is nearest to (3, 3)

    def fun(x):
        return jnp.where(jnp.sum((x - at) ** 2) < 0.3**2, jnp.sum((x - 3) ** 2), outside)

    result = jg.minimize(fun, [(-10, 10)] * 2, progress=False)
    assert abs(result.fun - low) < 1e-3 and result.success
    assert np.isfinite(result.levels[1].fun) and result.levels[1].nfev < 4000  # from values alone


def test_searches_that_begin_at_the_best_point_are_no_evidence_for_it():
    """The first end on the wall of this disc is the only point to hop from at first, and not the best of the disc."""
    at = np.random.default_rng(3).uniform(-8, 8, 2)

    def fun(x):
        return jnp.where(jnp.sum((x - at) ** 2) < 0.3**2, jnp.sum((x - at - 0.3) ** 2), jnp.inf)

    result = jg.minimize(fun, [(-10, 10)] * 2, progress=False)
    assert abs(result.fun - (0.3 * np.sqrt(2) - 0.3) ** 2) < 1e-5 or not result.success


def test_limits_hold_while_nothing_is_finite():
    result = jg.minimize(lambda x: jnp.sum(x) * jnp.nan, [(-1, 1)] * 2, max_evals=100, progress=False)
    assert 100 <= result.nfev <= 110


@pytest.mark.long
def test_nan_everywhere():
    result = solve(lambda x: jnp.sum(x) * jnp.nan)
    assert result.status is jg.Status.NO_FINITE_VALUE and np.isnan(result.fun) and not result.success
    assert result.minima == [] and "check fun" in result.message
    assert 2**13 <= result.nfev < 2**16  # it looks on for a small part of the box where there is a value
    for options in ({"max_levels": 2}, {"max_starts": 3}, {"max_evals": 5}, {"same": 9}):
        result = solve(lambda x: jnp.sum(x) * jnp.nan, **options)
        assert result.status is jg.Status.NO_FINITE_VALUE and result.message == result.status.value


def test_gradient_nan_everywhere_is_no_success():
    result = solve(lambda x: 1 + jnp.sum(jnp.sqrt(0 * x)))
    assert result.status is jg.Status.NO_FINITE_GRADIENT and not result.success and result.fun == 1


def test_a_limit_before_the_first_search_is_no_fault_of_the_gradient():
    """Half of the box has no value, its centre neither; values were looked at, and the evaluations were used up."""

    def fun(x, a):
        return jnp.where(x[0] > a, jnp.sum((x - 0.3) ** 2), jnp.nan)

    result = jg.minimize(fun, [(-2, 2)] * 2, 0.0, max_evals=100, progress=False)
    assert result.status is jg.Status.MAX_EVALS and np.isfinite(result.fun) and not result.success
    results = jg.minimize_many(fun, [(-2, 2)] * 2, jnp.zeros(2), max_evals=100, progress=False)
    assert results.status.tolist() == [jg.Status.MAX_EVALS] * 2 and np.all(np.isfinite(results.fun))


@pytest.mark.long
def test_a_finite_value_whose_gradient_is_nan_everywhere_is_searched_by_values():
    def fun(x):  # of the branch that is left out, the derivative is NaN
        return jnp.sum((x - 1.3) ** 2) + jnp.where(x[0] > 100, jnp.sqrt(x[0] - 100), 0.0)

    result = jg.minimize(fun, [(-10, 10)] * 2, progress=False)
    assert result.status is jg.Status.NO_FINITE_GRADIENT and not result.success and "where" in result.message
    np.testing.assert_allclose(result.x, 1.3, atol=1e-3)
    results = jg.minimize_many(lambda x, a: fun(x) + a, [(-10, 10)] * 2, jnp.arange(2.0), progress=False)
    assert results.status.tolist() == [jg.Status.NO_FINITE_GRADIENT] * 2 and not np.any(results.success)
