"""Constant indices outside x are found, and nothing else is refused."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxglobal as jg
from jaxglobal.problem import out_of_range

KEY, LARGE = jax.random.key(0), jnp.arange(2**17)
WEIGHTS = jnp.arange(5.0)
PADDED = np.array([[0, 1, 2], [1, 2, 2]])
OUTSIDE = {
    "first too many": lambda x: x[2],
    "from the end": lambda x: x[-3],
    "numpy integer": lambda x: x[np.int64(5)],
    "jax integer": lambda x: x[jnp.int32(5)],
    "array": lambda x: jnp.sum(x[jnp.array([0, 5])]),
    "numpy array": lambda x: jnp.sum(x[np.array([1, -3])]),
    "range": lambda x: jnp.sum(x[jnp.arange(4)]),
    "range shifted": lambda x: jnp.sum(x[jnp.arange(2) + 1]),
    "get": lambda x: x.at[5].get(),
    "set": lambda x: jnp.sum(x.at[5].set(1.0)),
    "add": lambda x: jnp.sum(x.at[np.array([2, 3])].add(1.0)),
    "scaled": lambda x: (3 * x + 1)[2],
    "jitted": lambda x: jax.jit(lambda y: y[2])(x),
    "jitted with the index": lambda x: jax.jit(lambda y, i: y[i])(x, 2),
    "remat": lambda x: jax.checkpoint(lambda y: jnp.sin(y[2]))(x),
    "in a scan": lambda x: lax.fori_loop(0, 3, lambda i, s: s + x[2], 0.0),
    "vmapped": lambda x: jnp.sum(jax.vmap(lambda i: x[i])(jnp.arange(4))),
    "dynamic": lambda x: lax.dynamic_index_in_dim(x, 5)[0],
}
INSIDE = {
    "both": lambda x: x[0] + x[1] + x[-1] + x[-2],
    "array": lambda x: jnp.sum(x[jnp.array([0, 1, -2, 1, 0])]),
    "range": lambda x: jnp.sum(x[jnp.arange(2)]),
    "unpacked": lambda x: (lambda a, b: a + b)(*x),
    "slices": lambda x: jnp.sum(x[1:]) + jnp.sum(x[0:5]) + jnp.sum(x[::-1]),
    "padded list": lambda x: jnp.sum(jnp.where(PADDED < 2, x[PADDED], 0)),
    "clip": lambda x: jnp.take(x, 5, mode="clip"),
    "fill": lambda x: x.at[5].get(mode="fill", fill_value=0.0),
    "some dropped": lambda x: jnp.sum(x.at[np.array([1, 2])].set(1.0, mode="drop")),
    "others' data": lambda x: x[0] * WEIGHTS[4] + jnp.sum(jnp.outer(x, WEIGHTS)[1, 4]),
    "data out of range": lambda x: x[0] * WEIGHTS[7],
    "data of the same length": lambda x: x[0] * jnp.arange(2.0)[1] + jnp.concatenate([x, x])[3],
    "loop": lambda x: lax.fori_loop(0, 2, lambda i, s: s + x[i], 0.0),
    "loop that ends inside": lambda x: lax.while_loop(
        lambda s: s[0] < 2, lambda s: (s[0] + 1, s[1] + x[s[0]]), (0, 0.0)
    )[1],
    "branch not taken": lambda x: lax.cond(x[0] > 9, lambda x: x[2], lambda x: x[1], x),
    "index of x": lambda x: x[jnp.argmax(x) + 1],
    "window": lambda x: jnp.sum(lax.dynamic_slice(x, (1,), (2,))),
    "vmapped": lambda x: jnp.sum(jax.vmap(lambda i: x[i] * x[1 - i])(jnp.arange(2))),
    "mask": lambda x: jnp.sum(jnp.where(jnp.arange(2) > 0, x, 0)),
    "matrix": lambda x: jnp.sum(jnp.outer(x, x)[1]) + jnp.outer(x, x)[1, 0],
    "transform": lambda x: jnp.fft.fft(x).real[1] + jnp.sort(x)[1] + jnp.cumsum(x)[-1],
}


def look(fun, shape=(2,)):
    jaxpr = jax.make_jaxpr(fun)(jax.ShapeDtypeStruct(shape, jnp.float32))
    out_of_range.check(jaxpr.jaxpr, jaxpr.consts, jaxpr.jaxpr.invars[:1])


@pytest.mark.parametrize("what", OUTSIDE)
def test_outside(what):
    with pytest.raises(ValueError, match="`bounds` must have as many variables as `fun` reads; got an index") as caught:
        look(OUTSIDE[what])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", INSIDE)
def test_inside(what):
    look(INSIDE[what])


def test_a_matrix_of_variables():
    look(lambda x: x[1, 2] + x[-2, 0], (2, 3))
    with pytest.raises(ValueError, match="got an index 3 of an x of 3 along axis 1"):
        look(lambda x: x[1, 3], (2, 3))


def test_an_index_from_the_end_is_named_as_it_was_written():
    for fun in (lambda x: x[-3], lambda x: jnp.sum(x[np.array([1, -3])])):
        with pytest.raises(ValueError, match="got an index -3 of an x of 2"):
            look(fun)


def test_other_constants_are_no_matter():
    """Overflowing hashes, keys, large arrays."""
    look(
        lambda x: (
            x[0] + jax.random.normal(KEY) + jax.random.normal(jax.random.PRNGKey(0), (3,))[1] + LARGE[x[1].astype(int)]
        )
    )


def test_wherever_a_function_is_given():
    def fun(x, a=1.0):
        return a * ((x[0] - 1) ** 2 + (x[2] - 3) ** 2)

    bounds, said = [(-3, 4)] * 2, re.escape("got an index 2 of an x of 2 in fun, which JAX clamps to another variable")
    for call in (
        lambda: jg.minimize(fun, bounds),
        lambda: jg.argmin(fun, bounds),
        lambda: jg.minimize_many(fun, bounds, jnp.ones(3)),
        lambda: jax.jit(lambda a: jg.argmin(fun, bounds, a).x)(1.0),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    tree = jg.Box({"a": np.zeros(2), "b": np.zeros(3)}, {"a": np.ones(2), "b": np.ones(3)})
    with pytest.raises(ValueError, match="got an index 2 of an x of 2"):
        jg.minimize(lambda x: x["a"][2] + x["b"][2], tree)
