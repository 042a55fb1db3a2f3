"""The fifteen classic functions in their boxes and in shifted ones: each is found with default settings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import check_counts, check_inside, float64_only

import jaxglobal as jg

# Rounding: the value of bukin6 is 100 sqrt(abs(...)), so an error of eps in x is one of 100 sqrt(eps) in f.
TOLERANCE = {"bukin6": (1e-5, 2e-2)}


@pytest.mark.parametrize("shifted", [False, True], ids=["box", "shifted"])
@pytest.mark.parametrize("problem", jg.problems.classic, ids=lambda problem: problem.name)
def test_classic(problem, shifted, x64):
    problem = problem.shifted() if shifted else problem
    result = jg.minimize(problem.fun, problem.bounds, progress=False)
    if problem.name == "cross-in-tray" and not x64:
        # exp(100) overflows in float32: nothing can be found, and the status says so.
        assert result.status is jg.Status.NO_FINITE_VALUE
        assert not result.success and np.isnan(result.fun) and "overflows" in result.message
        return
    tolerance = TOLERANCE.get(problem.name, (1e-6, 1e-4 * (1 + abs(problem.fmin))))[0 if x64 else 1]
    assert result.fun - problem.fmin <= tolerance
    settled = jg.Status.SAME, jg.Status.TOO_LARGE
    rough = problem.name == "bukin6"  # along whose crease no search converges
    assert result.status in settled or (rough and result.status is jg.Status.NOISE and not result.success)
    low, high = np.array(problem.bounds, result.x.dtype).T
    check_inside(result.x, low, high)
    check_counts(result)


@float64_only
@pytest.mark.parametrize("problem", jg.problems.classic, ids=lambda problem: problem.name)
def test_known_minima(problem):
    """The values and places that the problems state are right."""
    assert problem.minimizers
    for x in problem.minimizers:
        x = jnp.array(x, float)
        rounding = 1e-5 if problem.name == "bukin6" else 1e-8
        assert abs(float(problem.fun(x)) - problem.fmin) < rounding
        low, high = np.array(problem.bounds).T
        check_inside(x, low, high)


@pytest.mark.long
@pytest.mark.parametrize("n", [1, 3, 10])
def test_any_number_of_variables(n):
    for fun, at in ((jg.problems.rosenbrock, 1.0), (jg.problems.styblinski_tang, -2.903534)):
        if n == 1 and fun is jg.problems.rosenbrock:
            continue
        result = jg.minimize(fun, [(-4.1, 3.7)] * n, max_starts=2000, progress=False)
        np.testing.assert_allclose(result.x, at, rtol=2e-2 if n == 10 else 1e-2)


@float64_only
def test_float32_in_a_float64_session():
    box = jg.Box(np.array([-4.0, -4.0], np.float32), np.array([5.12, 5.12], np.float32))
    result = jg.minimize(jg.problems.rastrigin, box, progress=False)
    assert result.x.dtype == np.float32
    assert result.fun < 1e-4
    assert jax.config.jax_enable_x64
