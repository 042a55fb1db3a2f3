"""JAX's own settings: strict promotion, checks for NaN, and the precision switched between calls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg

T = np.linspace(0, 4, 20)
BOX = [(-1, 1)] * 2
STRICT, NANS = (lambda: jax.numpy_dtype_promotion("strict")), (lambda: jax.debug_nans(True))
INFS = lambda: jax.debug_infs(True)  # noqa: E731
NO_JIT = jax.disable_jit  # under which argmin takes its steps one by one


def calls():
    """Functions of their own, so that they are traced under the setting; NaN in a part of the box."""

    def fun(x, a):
        return jnp.sum((x - a) ** 2) + 0 * jnp.sqrt(x[0] + jnp.ones((), x.dtype) / 2)

    def decay(t, a, k):
        return a * jnp.exp(-k * t) + 0 * jnp.sqrt(a - jnp.ones((), a.dtype))

    y, box = 2 * np.exp(-T), [(0, 5)] * 2
    a = jnp.array([0.1, 0.2])
    return {
        "minimize": lambda: jg.minimize(fun, BOX, a[0], progress=False).x - 0.1,
        "LBFGS": lambda: jg.minimize(fun, BOX, a[0], local=jg.LBFGS(), max_levels=2, progress=False).x - 0.1,
        "many": lambda: jg.minimize_many(fun, BOX, a, max_levels=3, progress=False).x - np.array([[0.1], [0.2]]),
        "argmin": lambda: jg.argmin(fun, BOX, a[0]).x - 0.1,
        "gradient": lambda: jax.grad(lambda a: jg.argmin(fun, BOX, a).x[0])(0.1) - 1,
        "curve_fit": lambda: jg.curve_fit(decay, T, y, box, progress=False).popt - np.array([2, 1]),
        "curve_fit_many": lambda: jg.curve_fit_many(decay, T, y[None], box, progress=False).popt - np.array([2, 1]),
    }


@pytest.mark.parametrize(
    "setting", [STRICT, NANS, INFS, pytest.param(NO_JIT, marks=pytest.mark.long)], ids=["strict", "nans", "infs", "jit"]
)
@pytest.mark.parametrize("call", calls())
def test_settings(setting, call):
    with setting(), np.errstate(invalid="ignore"):
        np.testing.assert_allclose(calls()[call](), 0, atol=5e-3)


@pytest.mark.parametrize("call", calls())
def test_precision_switched_between_calls(call):
    same = calls()[call]
    for precise in (True, False, True):
        with jax.enable_x64(precise):
            found = same()
            assert found.dtype == (np.float64 if precise or call.startswith("curve") else found.dtype)
            np.testing.assert_allclose(found, 0, atol=5e-3)


@pytest.fixture
def guarded():
    """Transfers are forbidden, in all threads."""
    jax.config.update("jax_transfer_guard", "disallow")
    yield
    jax.config.update("jax_transfer_guard", "allow")


@pytest.mark.long
def test_transfers_of_the_library_are_no_errors(guarded):
    def fun(x, a):
        return jnp.sum((x - a) ** 2)

    def decay(t, a, k):
        return a * jnp.exp(-k * t)

    result = jg.minimize(fun, BOX, 0.1, progress=False)
    search = jg.levels(fun, BOX, 0.1, starts=jg.Grid(), max_levels=3, progress=False)
    assert len([*search]) == 3
    for x in (result.x, search.result.x, jg.argmin(fun, BOX, 0.1).x):
        np.testing.assert_allclose(x, 0.1, atol=5e-3)
    many = jg.minimize_many(fun, BOX, np.array([0.1, 0.2]), max_levels=3, progress=False)
    np.testing.assert_allclose(many.x[1], 0.2, atol=5e-3)
    np.testing.assert_allclose(jg.derivative(result, fun, BOX, 0.1).x, 1, atol=1e-3)
    y, box = 2 * np.exp(-T), [(0, 5)] * 2
    fit = jg.curve_fit(decay, T, y, box, progress=False)
    fits = jg.curve_fit_many(decay, T, y[None], box, progress=False)
    np.testing.assert_allclose([fit.popt, fits.popt[0]], [[2, 1]] * 2, atol=5e-3)
