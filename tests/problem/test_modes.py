"""Functions that JAX can differentiate in one mode only, or only once: every entry point takes them all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.ode import odeint

import jaxglobal as jg
from jaxglobal.fit import separable
from jaxglobal.problem import modes

T = np.linspace(0, 3, 9)
RATE = 1.3
DATA = np.exp(-RATE * T)


def solved(k):
    """By a solver of differential equations whose derivative is its adjoint."""
    return odeint(lambda y, t, k: -k * y, jnp.ones(()), jnp.asarray(T), k)


@jax.custom_vjp
def reversed_only(k):
    """With a rule for reverse mode alone."""
    return jnp.exp(-k * T)


reversed_only.defvjp(lambda k: (jnp.exp(-k * T), k), lambda k, bar: (jnp.sum(-T * jnp.exp(-k * T) * bar),))


@jax.custom_vjp
def once(k):
    """Likewise, with a rule that has no derivative: as the checkpointed adjoints of diffrax."""
    return jnp.exp(-k * T)


def slope_of_once(k, bar):
    slope = jax.pure_callback(
        lambda k: np.asarray(-T * np.exp(-np.asarray(k)[..., None] * T), k.dtype),
        jax.ShapeDtypeStruct(T.shape, k.dtype), k, vmap_method="expand_dims",
    )  # fmt: skip
    return (jnp.sum(slope * bar),)


once.defvjp(lambda k: (jnp.exp(-k * T), k), slope_of_once)


def looped(k):
    """By a series that is summed until it has converged: no reverse mode."""

    def more(carry):
        i, term, total = carry
        term = -term * k * T / i
        return i + 1, term, total + term

    start = (jnp.ones_like(k), jnp.ones(T.shape, k.dtype), jnp.ones(T.shape, k.dtype))
    return jax.lax.while_loop(lambda carry: jnp.max(jnp.abs(carry[1])) > 1e-9, more, start)[2]


MODELS = {"odeint": solved, "reversed": reversed_only, "once": once, "loop": looped, "plain": lambda k: jnp.exp(-k * T)}
model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
# Without the differential equation, which takes minutes to compile for many.
short = pytest.mark.parametrize("model", list(MODELS.values())[1:], ids=list(MODELS)[1:])
TOL = {True: 1e-5, False: 5e-3}
BOX = [(0.0, 3.0)]


def cost(model):
    """The misfit, for data that decay with another rate; minimal at k = a RATE."""
    return lambda x, a: jnp.sum((model(x[0]) - jnp.exp(-a * RATE * T)) ** 2)


@pytest.mark.long
@model
def test_minimize_and_its_derivative(model, x64):
    result = jg.minimize(cost(model), BOX, 1.0, max_levels=2, progress=False)
    np.testing.assert_allclose(result.x, RATE, rtol=TOL[x64])
    slopes = jg.derivative(result, cost(model), BOX, 1.0)
    np.testing.assert_allclose(slopes.x[0], [RATE], rtol=10 * TOL[x64])
    assert not slopes.singular and not slopes.touching


@pytest.mark.slow
@model
def test_argmin_and_its_derivatives_in_both_modes(model, x64):
    best = lambda a: jg.argmin(cost(model), BOX, a, levels=1).x[0]  # noqa: E731
    np.testing.assert_allclose(best(1.0), RATE, rtol=TOL[x64])
    for slope in (jax.grad(best), jax.jacfwd(best)):
        np.testing.assert_allclose(slope(1.0), RATE, rtol=10 * TOL[x64])
    many = jax.vmap(jax.grad(best))(jnp.array([0.5, 1.0]))
    np.testing.assert_allclose(many, [RATE, RATE], rtol=10 * TOL[x64])


@pytest.mark.slow
@short
def test_minimize_many(model, x64):
    a = np.array([0.5, 1.0, 1.5])
    results = jg.minimize_many(cost(model), BOX, a, max_levels=2, progress=False)
    np.testing.assert_allclose(results.x[:, 0], a * RATE, rtol=TOL[x64])
    slopes = jg.derivative(results, cost(model), BOX, a)
    np.testing.assert_allclose(np.ravel(slopes.x[0]), [RATE] * 3, rtol=10 * TOL[x64])


@pytest.mark.slow
@short
def test_fits(model, x64):
    fitted = lambda t, size, k: size * model(k)  # noqa: E731
    box = [(0, 10), (0, 3)]
    fit = jg.curve_fit(fitted, T, 2 * DATA + 1e-3 * np.sin(9 * T), box, max_levels=2, progress=False)
    plain = jg.curve_fit(lambda t, size, k: size * jnp.exp(-k * t), T, 2 * DATA + 1e-3 * np.sin(9 * T), box,
                         max_levels=2, progress=False)  # fmt: skip
    assert fit.linear == (0,)
    np.testing.assert_allclose(fit.popt, plain.popt, rtol=TOL[x64])
    np.testing.assert_allclose(fit.perr, plain.perr, rtol=100 * TOL[x64])
    np.testing.assert_allclose(fit.derivative().x[1], plain.derivative().x[1], atol=100 * TOL[x64])
    fits = jg.curve_fit_many(fitted, T, np.array([[1.0], [3.0]]) * DATA, box, progress=False)
    np.testing.assert_allclose(fits.popt, [[1, RATE], [3, RATE]], rtol=TOL[x64])


@pytest.mark.slow
@pytest.mark.parametrize("model", [MODELS[name] for name in ("reversed", "loop", "plain")])  # twice differentiable
def test_a_traced_fit(model, x64):
    fit = jax.jit(lambda y: jg.curve_fit(lambda t, k: model(k), T, y, BOX, max_levels=1).popt[0])
    np.testing.assert_allclose(fit(jnp.asarray(DATA)), RATE, rtol=TOL[x64])
    exact = -T * DATA / np.sum((T * DATA) ** 2)  # of the least squares, without residuals
    np.testing.assert_allclose(jax.grad(fit)(jnp.asarray(DATA)), exact, atol=20 * TOL[x64])


def test_gradients_in_either_mode():
    x = jnp.array([1.3])
    for model in MODELS.values():
        f, g = jax.vmap(modes.value_and_grad(cost(model)), in_axes=(0, None))(x[None], 0.9)
        expected = jax.value_and_grad(cost(MODELS["plain"]))(x, 0.9)
        np.testing.assert_allclose(f[0], expected[0], rtol=1e-3)
        np.testing.assert_allclose(g[0], expected[1], rtol=1e-3)


def test_many_variables_by_forward_tangents():
    def fun(x):
        return jax.lax.while_loop(lambda carry: carry[0] < x[0], lambda carry: (carry[0] + 1, x @ x), (0.0, 0.0))[1]

    x = jnp.arange(1.0, modes.AT_ONCE + 10)
    f, g = modes.value_and_grad(fun)(x)
    np.testing.assert_allclose(f, x @ x)
    np.testing.assert_allclose(g, 2 * x)


def test_what_no_mode_can_differentiate_is_one_sentence():
    def both(x):
        return jnp.sum((reversed_only(x[0]) - looped(x[0])) ** 2)

    with pytest.raises(TypeError, match=r"`fun` must be differentiable by JAX.*lax.scan.*jaxglobal.host") as raised:
        jg.minimize(both, BOX, progress=False)
    assert "\n" not in str(raised.value)
    with pytest.raises(TypeError, match=r"`model` must be differentiable by JAX"):
        jg.curve_fit(lambda t, k: reversed_only(k) + looped(k), T, DATA, BOX, progress=False)


def test_linear_parameters_of_what_has_no_second_derivatives():
    low, high = np.zeros(3), np.array([5.0, 3.0, 2.0])
    for model in (once, reversed_only):
        assert separable.linear(lambda p, model=model: p[0] * model(p[1]) + p[2], low, high, kept={}) == (0, 2)


@pytest.mark.slow
def test_diffrax(x64):
    diffrax = pytest.importorskip("diffrax")

    def solve(t, k):
        times = jnp.asarray(T, k.dtype)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, k: -k * y), diffrax.Tsit5(), times[0], times[-1], 0.1, jnp.ones((), k.dtype),
            args=k, saveat=diffrax.SaveAt(ts=times), stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-7),
        )  # fmt: skip
        return solution.ys

    fit = jg.curve_fit(solve, T, DATA, BOX, max_levels=1, progress=False)
    np.testing.assert_allclose(fit.popt, RATE, rtol=1e-3)
    slope = jax.grad(lambda a: jg.argmin(cost(lambda k: solve(T, k)), BOX, a, levels=1).x[0])(1.0)
    np.testing.assert_allclose(slope, RATE, rtol=1e-2)


@pytest.mark.slow
def test_a_fit_of_a_differential_equation(x64):
    fit = jg.curve_fit(lambda t, k: MODELS["odeint"](k), T, DATA, BOX, max_levels=1, progress=False)
    np.testing.assert_allclose(fit.popt, [RATE], rtol=TOL[x64])
