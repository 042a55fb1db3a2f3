"""What a call inside jit, a NumPy model, and a fit that is printed say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg

T = np.linspace(0, 4, 30)
BOX = [(0, 5)] * 2


def decay(t, amplitude, rate):
    return amplitude * jnp.exp(-rate * t)


def fun(x):
    return jnp.sum((x - 0.5) ** 2)


CALLS = {
    "argmin": lambda: jg.minimize(fun, [(-3, 3)], progress=False).fun,
    "argmin ": lambda: next(iter(jg.levels(fun, [(-3, 3)], progress=False))).fun,
    "vmap and argmin": lambda: jg.minimize_many(lambda x, a: a * fun(x), [(-3, 3)], np.ones(2), progress=False).fun[0],
    "vmap and curve_fit": lambda: jg.curve_fit_many(decay, T, np.exp(-T)[None], BOX, progress=False).fun[0],
    "a JAX model": lambda: (
        jg.curve_fit(jg.host(lambda t, a, k: a * np.exp(-k * t)), T, np.exp(-T), BOX, max_levels=1, progress=False).fun
    ),
}


@pytest.mark.parametrize("instead", CALLS)
def test_a_search_inside_jit_says_what_to_use(instead):
    call = CALLS[instead]
    for _ in range(2):
        with pytest.raises(TypeError, match=f"must be called outside jit .* use {instead.strip()} inside") as caught:
            jax.jit(lambda a: a + call())(1.0)
        assert "\n" not in str(caught.value)


def test_a_proof_inside_jit_says_what_to_do():
    with pytest.raises(TypeError, match="as its search runs at once: call certify before and close over its result"):
        jax.jit(lambda a: a + jg.certify(fun, [(-3, 3)]).lower)(1.0)


def test_where_nothing_is_traced_a_search_runs_under_vmap_and_grad():
    call = CALLS["argmin"]
    assert jax.grad(lambda a: a * (1 + call()))(1.0) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda a: a + call())(jnp.zeros(2)), 0, atol=1e-6)


@pytest.mark.parametrize("sigma", [None, 0.1, np.diag(np.linspace(0.1, 0.2, 30))], ids=["none", "one", "matrix"])
def test_curve_fit_of_concrete_data_inside_jit(sigma):
    y = 2 * np.exp(-T) + 0.01 * np.sin(40 * T)
    popt = jg.curve_fit(decay, T, y, BOX, sigma, progress=False).popt
    inside = jax.jit(lambda a: a * jg.curve_fit(decay, T, y, BOX, sigma, progress=False).popt)(jnp.ones(2))
    np.testing.assert_allclose(inside, popt, rtol=1e-3)


@pytest.mark.parametrize(
    "model", [lambda t, a: a * np.exp(-t * a), lambda t, a: float(a) * t, lambda t, a: t if a > 1 else 2 * t]
)
def test_a_model_of_numpy(model):
    for call in (
        lambda: jg.curve_fit(model, T, T, [(0, 3)], progress=False),
        lambda: jg.curve_fit_many(model, T, T[None], [(0, 3)], progress=False),
    ):
        with pytest.raises(TypeError, match=r"`model` must be a JAX function.*jaxglobal\.host\(\.\.\.\)") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda t, a: None, "return as many real numbers as there are data; got NoneType"),
        (lambda t, a: "a", "return as many real numbers as there are data; got str"),
        (lambda t, a: {"a": a}, "return as many real numbers as there are data; got dict"),
        (
            lambda t, a: [1.0, 2.0][a.astype(int)] * t,
            "be a JAX function, but makes a Python or NumPy value of what it is",
        ),
        (float, "be a function that takes x and the 1 parameters of the bounds; got the class float."),
        (lambda t: t, "take x and the 1 parameters of the bounds; got: "),
    ],
)
def test_what_is_no_model(model, says):
    for call in (
        lambda: jg.curve_fit(model, T, T, [(0, 3)], progress=False),
        lambda: jg.curve_fit_many(model, T, T[None], [(0, 3)], progress=False),
    ):
        with pytest.raises(TypeError, match=f"`model` must {says}") as caught:
            call()
        assert "\n" not in str(caught.value)


class Instrument:
    def signal(self, t, gain, offset=0.0):
        return gain * t + offset


@pytest.mark.long
def test_names_of_parameters():
    def names(model, bounds=BOX):
        fit = jg.curve_fit(model, T, 1 + 2 * T, bounds, max_levels=1, progress=False)
        for name in fit.names:
            assert f"{name}: " in repr(fit) and name in fit._repr_html_()
        return fit.names

    assert names(lambda t, slope, offset: slope * t + offset) == ["slope", "offset"]
    assert names(jax.jit(lambda t, slope, offset: slope * t + offset)) == ["slope", "offset"]
    assert names(Instrument().signal) == ["gain", "offset"]
    assert names(functools.partial(lambda c, t, slope, offset: c * slope * t + offset, 2.0)) == ["slope", "offset"]
    assert names(lambda t, slope, offset, power=1.0: slope * t**power + offset) == ["slope", "offset"]
    assert names(lambda t, *p: p[0] * t + p[1]) == ["p0", "p1"]
    assert names(lambda t, slope, *rest: slope * t + rest[0]) == ["slope", "p1"]
    box = jg.Box({"line": (np.zeros(1), 0.0)}, {"line": (np.full(1, 5.0), 5.0)})
    assert names(lambda t, p: p["line"][0][0] * t + p["line"][1], box) == ["line.0[0]", "line.1"]
    assert names(lambda t, p: p[0] * t + p[1], jg.Box(np.zeros(2), np.full(2, 5.0))) == ["p[0]", "p[1]"]
    assert names(lambda t, p: p * t, jg.Box(0.0, 5.0)) == ["p"]
    inside = []
    jax.jit(lambda y: inside.append(jg.curve_fit(decay, T, y, BOX).names) or y)(jnp.asarray(T))
    assert inside == [["amplitude", "rate"]]
