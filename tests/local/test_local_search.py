"""The bounded BFGS state machine: one start as a loop by hand, bounds, kinks, bad values, statuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import check_inside, check_minimum, float64_only, precision
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxglobal as jg
from jaxglobal.local import bfgs
from jaxglobal.problem.region import Region
from jaxglobal.status import LocalStatus


def search(fun, x0, lower, upper, max_nfev=1000, **options):
    """One local search, advanced evaluation by evaluation in Python; returns the last lane and all trial points."""
    x0, lower, upper = (jnp.asarray(v, float) for v in (x0, lower, upper))
    region = Region(lower, upper, upper - lower)
    options = bfgs.BFGS(max_nfev=max_nfev, **options)
    rules = options.rules(x0.dtype, None)._replace(first_step=jnp.asarray(options.step(), x0.dtype))
    value_and_grad, advance = jax.jit(jax.value_and_grad(fun)), jax.jit(options.program.advance)
    lane, trials = options.program.begin(x0), []
    while lane.status[0] == LocalStatus.RUNNING:
        trials.append(np.asarray(lane.trial))
        f, g = value_and_grad(lane.trial)
        lane = advance(lane, f[None], g, region, rules)
    return lane, np.array(trials)


def only_from(fun, x0, bounds, **options):
    """One local search through the public API."""
    return jg.minimize(fun, bounds, x0=x0, max_starts=1, progress=False, **options)


def test_quadratic_converges_in_a_few_evaluations():
    scales = jnp.array([1.0, 10.0, 100.0])
    lane, trials = search(lambda x: jnp.sum(scales * (x - 0.3) ** 2), [0.9, -0.8, 0.1], [-1] * 3, [1] * 3)
    assert lane.status[0] in (LocalStatus.CONVERGED, LocalStatus.CONVERGED_TO_PRECISION)
    np.testing.assert_allclose(lane.best_x, 0.3, atol=precision()[1])
    assert len(trials) == lane.nfev[0] <= 25


@pytest.mark.slow
def test_batch_equals_single_starts(x64):
    """The lanes of the compiled program find what a loop over single starts finds."""
    bounds = [(-4.0, 5.12)] * 2
    low, high = np.array(bounds).T
    starts = np.random.default_rng(0).uniform(low, high, (20, 2))
    result = jg.minimize(jg.problems.rosenbrock, bounds, x0=starts, max_starts=20, lanes=16, progress=False)
    evaluations = 0
    for x0 in starts:
        lane, _ = search(jg.problems.rosenbrock, x0, low, high)
        np.testing.assert_allclose(lane.best_x, 1.0, atol=1e-3)
        evaluations += int(lane.nfev[0])
    assert result.nstarts == 20
    # The valley is so flat that in float32 ends may lie apart in it.
    assert len(result.minima) == 1 if x64 else all(m.fun < 1e-5 for m in result.minima), result.minima
    assert abs(result.nfev - 1 - evaluations) < 0.1 * evaluations


@pytest.mark.parametrize(
    ("target", "expected"),
    [([-2.0, 0.5], [-1.0, 0.5]), ([2.0, 0.5], [1.0, 0.5]), ([3.0, -4.0], [1.0, -1.0]), ([0.2, 0.1], [0.2, 0.1])],
    ids=["face", "other face", "corner", "interior"],
)
def test_optimum_on_the_boundary(target, expected):
    target = jnp.array(target)

    def fun(x):
        return jnp.sum((x - target) ** 2) + 0.5 * (x[0] - target[0]) * (x[1] - target[1])

    lane, trials = search(fun, [0.3, -0.2], [-1, -1], [1, 1])
    check_inside(trials, -1, 1)
    grid = np.linspace(-1, 1, 401)
    values = jax.vmap(lambda a: jax.vmap(lambda b: fun(jnp.array([a, b])))(grid))(grid)
    assert lane.best_f[0] <= jnp.min(values) + 1e-6
    if expected != [0.2, 0.1]:
        assert np.any(np.abs(np.asarray(lane.best_x)) == 1.0)


@pytest.mark.long
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_never_leaves_the_box(n, seed):
    """Every trial lies in the box, and no worse point than the start is returned."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(-5, 5, n)
    high = low + rng.choice([0.0, 1e-3, 1.0, 1e4], n)
    a, c = rng.standard_normal((n, n)), rng.uniform(-6, 6, n)

    def fun(x):
        return jnp.sum(jnp.sin(a @ x)) + 0.1 * jnp.sum((x - c) ** 2)

    x0 = rng.uniform(low, high)
    lane, trials = search(fun, x0, low, high, max_nfev=60)
    low, high = (np.asarray(jnp.asarray(v, float)) for v in (low, high))
    check_inside(trials, low, high)
    assert lane.best_f[0] <= fun(jnp.asarray(x0)) + 1e-6 * (1 + abs(float(lane.best_f[0])))


def test_fixed_variable_stays_and_grid_ignores_it():
    box = [(0, 3), (1.25, 1.25), (0, 5)]
    result = jg.minimize(lambda x: jnp.sum((x - 2) ** 2), box, starts=jg.Grid(), same=4, progress=False)
    check_minimum(result, 0.5625, [2, 1.25, 2])
    assert result.x[1] == 1.25 and result.jac[1] == 0
    assert [level.nstarts for level in result.levels] == [1, 4, 16, 64]


def test_all_variables_fixed():
    result = jg.minimize(lambda x: jnp.sum(x), [(1.0, 1.0), (2.0, 2.0)], progress=False)
    assert result.fun == 3.0 and result.success
    sobol = jg.minimize(lambda x: jnp.sum(x), [(1.0, 1.0)] * 2, x0=[1.0, 1.0], starts=jg.Sobol(), progress=False)
    assert sobol.fun == 2.0


def test_open_box_lets_the_search_leave_on_the_open_side_alone():
    def fun(x):
        return jnp.sum((x - jnp.array([3.0, -3.0])) ** 2)

    bounds = [(-1, 1), (-1, 1)]
    check_minimum(jg.minimize(fun, bounds, open=True, progress=False), 0, [3, -3])
    check_minimum(jg.minimize(fun, bounds, open=[True, False], progress=False), 4, [3, -1])
    above = jg.Box(np.zeros(2, bool), np.ones(2, bool))
    check_minimum(jg.minimize(fun, bounds, open=above, progress=False), 4, [3, -1])
    with pytest.raises(ValueError, match="`x0` must lie inside the bounds"):
        jg.minimize(fun, [(-1, 1), (0.5, 0.5)], x0=[0.0, 0.0], open=True, progress=False)


# Cases from peers' issue threads. Each names the thread.


def test_gradient_of_a_million_at_the_start():  # jax #4594
    for scale in (1e6, 1e-6):
        result = only_from(lambda x, s=scale: s * jnp.sum((x - 0.5) ** 2), [-3.0, 9.0], [(-10, 10)] * 2)
        np.testing.assert_allclose(result.x, 0.5, atol=1e-3)


def test_negative_values_with_relative_tolerances():  # TFP #1391
    result = only_from(lambda x: jnp.sum((x - 1.5) ** 2) - 1000.0, [-3.0, 9.0], [(-10, 10)] * 2)
    assert result.fun <= -1000 * (1 - 1e-6)


def test_value_zero_at_the_start():  # optimistix #47
    result = only_from(lambda x: jnp.sum(x**2 - 2 * x), [0.0, 0.0], [(-4, 4)] * 2)
    check_minimum(result, -2, [1, 1])


def test_start_on_a_bound_with_zero_gradient():  # jaxopt #492
    result = only_from(lambda x: jnp.sum(x**2), [0.0, 0.0], [(0, 4)] * 2)
    assert result.fun == 0 and result.nfev <= 3
    flat = only_from(lambda x: jnp.sum(jnp.cos(x)), [0.0, 1.0], [(0, 4)] * 2)
    np.testing.assert_allclose(flat.x, [0.0, np.pi], atol=1e-2)


def test_nan_just_outside_the_box_is_never_evaluated():  # jaxopt #590
    def fun(x):
        return jnp.sum(jnp.sqrt(x)) + jnp.sum(-jnp.log(1 - x)) - 2 * jnp.sum(x)

    result = jg.minimize(fun, [(0, 0.999)] * 2, starts=jg.Grid(), progress=False)
    assert result.fun == 0 and np.all(result.x == 0)
    bad = (LocalStatus.NONFINITE_VALUE, LocalStatus.NONFINITE_GRADIENT)
    assert not any(level.statuses.get(status) for level in result.levels for status in bad)


def test_float32_parameters_while_x64_is_on(x64):  # optimistix #207
    x0 = np.array([3.0, -2.0], np.float32)
    result = only_from(lambda x: jnp.sum((x - 0.5) ** 2), x0, [(-4, 4)] * 2)
    assert result.x.dtype == np.float32
    np.testing.assert_allclose(result.x, 0.5, atol=1e-3)


def test_one_hopeless_lane_in_a_thousand():  # optimistix #66
    def fun(x):
        return jnp.where(x[0] > 0.999, jnp.nan, jnp.sum((x - 0.25) ** 2))

    starts = np.random.default_rng(0).uniform(0, 0.99, (1000, 2))
    starts[500] = [0.9995, 0.5]
    result = jg.minimize(fun, [(0, 1)] * 2, x0=starts, max_starts=1000, progress=False)
    assert result.levels[0].statuses[LocalStatus.NONFINITE_VALUE] == 1
    assert result.minima[0].count == 999
    check_minimum(result, 0, [0.25, 0.25])


def test_float32_log_likelihood_of_many_observations():  # blackjax PR194
    data = np.random.default_rng(0).normal(1.5, 2.0, 100_000).astype(np.float32)

    def negative_log_likelihood(x, data):
        return jnp.sum(0.5 * ((data - x[0]) / x[1]) ** 2 + jnp.log(x[1]))

    box = jg.Box(np.array([-10, 0.1], np.float32), np.array([10, 20], np.float32))
    result = jg.minimize(negative_log_likelihood, box, (data,), progress=False)
    np.testing.assert_allclose(result.x, [np.mean(data), np.std(data)], rtol=2e-2)
    good = (LocalStatus.CONVERGED, LocalStatus.CONVERGED_TO_PRECISION)
    assert all(set(level.statuses) <= set(good) for level in result.levels)


@float64_only
def test_rosenbrock_from_far_away():  # jax #5284
    x0 = np.array([76.0, 97.0, 20.0, 120.0, 0.01, 1e4])
    result = only_from(jg.problems.rosenbrock, x0, [(-2e4, 2e4)] * 6)
    assert result.fun < 5 and np.isfinite(result.fun)


def test_finite_value_with_a_nan_gradient_is_no_convergence():  # PyAutoFit PR1473
    @jax.custom_jvp
    def broken(x):
        return jnp.sum(x**2)

    @broken.defjvp
    def _(primals, tangents):
        return broken(*primals), jnp.sum(jnp.where(jnp.abs(primals[0]) < 0.5, jnp.nan, 2 * primals[0]) * tangents[0])

    result = only_from(broken, [0.2, 0.3], [(-1, 1)] * 2)
    assert result.minima[0].status is LocalStatus.NONFINITE_GRADIENT
    # The value counts all the same: the best point ever evaluated is what a search returns.
    np.testing.assert_allclose(result.fun, 0.13, rtol=1e-5)
    later = only_from(broken, [0.9, 0.9], [(-1, 1)] * 2)
    assert later.minima[0].status is not LocalStatus.CONVERGED
    assert later.fun < 1.0


def test_value_with_an_infinite_gradient_at_the_bound():
    result = jg.minimize(lambda x: jnp.sqrt(1 - x[0]), [(0, 1)], progress=False)
    assert result.fun == 0 and result.x[0] == 1 and np.isnan(result.jac[0])


def test_the_best_among_nans_is_found():  # PyAutoFit PR1410
    def fun(x):
        return jnp.where(jnp.sum(x) < 1.2, jnp.nan, jnp.sum((x - 0.7) ** 2))

    result = jg.minimize(fun, [(0, 1)] * 2, progress=False)
    check_minimum(result, 0, [0.7, 0.7])
    assert any(level.statuses.get(LocalStatus.NONFINITE_VALUE) for level in result.levels)


def test_nothing_is_compiled_anew_for_more_starts():  # PyAutoFit #1431
    traces = []

    def fun(x):
        traces.append(1)
        return jnp.sum((x - 0.1) ** 2)

    few = jg.minimize(fun, [(-1, 1)] * 2, starts=jg.Grid(), max_levels=4, same=9, progress=False)
    each = len(traces)
    many = jg.minimize(fun, [(-1, 1)] * 2, starts=jg.Grid(), max_levels=8, same=9, progress=False)
    assert len(traces) == 2 * each and each <= 2 and few.nstarts == 85 and many.nstarts == 21845


def test_nonsmooth_function_converges():
    """Lewis & Overton's kind of function: BFGS with a weak-Wolfe search goes on past the kinks."""
    result = jg.minimize(lambda x: jnp.abs(x[0] - 0.3) + 10 * jnp.abs(x[1] + 0.2), [(-1, 1)] * 2, progress=False)
    assert result.fun < (1e-6 if result.x.dtype == np.float64 else 1e-3)


def test_evaluation_limit_of_a_local_search():
    options = dict(local=jg.BFGS(max_nfev=5), starts=jg.Grid(), max_levels=2, progress=False)
    result = jg.minimize(jg.problems.rosenbrock, [(-4, 5)] * 2, **options)
    assert result.levels[1].statuses == {LocalStatus.EVALUATION_LIMIT: 4}
    assert result.nfev <= 5 * 5 + 1


def test_gradient_of_the_result():
    """jac is the gradient at x, bounds active or not."""

    def fun(x):
        return jnp.sum((x - jnp.array([0.5, 3.0])) ** 2)

    result = jg.minimize(fun, [(-1, 1)] * 2, progress=False)
    np.testing.assert_allclose(result.jac, jax.grad(fun)(jnp.asarray(result.x)), atol=1e-5)
    np.testing.assert_allclose(result.jac, [0, -4], atol=1e-3)
