"""Typed PRNG keys among the args, and in what a function closes over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg

BOX = [(-1, 1)] * 2
KEY = jax.random.key(3)


def noisy(x, key, a=0.0):
    return jnp.sum((x - 0.3 * jax.random.normal(key, (2,))) ** 2) + jnp.sum(a)


def centre(key):
    return np.asarray(0.3 * jax.random.normal(key, (2,)))


@pytest.mark.long
@pytest.mark.parametrize("key", [KEY, jax.random.key(3, impl="rbg"), jax.random.PRNGKey(3)], ids=["key", "rbg", "old"])
def test_one_key(key):
    found = jg.minimize(noisy, BOX, (key, jnp.ones(())), progress=False)
    np.testing.assert_allclose(found.x, centre(key), atol=1e-3)
    np.testing.assert_allclose(jg.argmin(noisy, BOX, key).x, centre(key), atol=1e-3)
    moves = jg.derivative(found, noisy, BOX, (key, jnp.ones(())))
    assert moves.x[0] is None and moves.fun[0] is None and float(moves.fun[1]) == pytest.approx(1)


@pytest.mark.long
def test_keys_of_many_problems():
    keys = jax.random.split(KEY, 3)
    expected = [centre(key) for key in keys]
    np.testing.assert_allclose(jg.minimize_many(noisy, BOX, keys, progress=False).x, expected, atol=1e-3)
    np.testing.assert_allclose(jax.vmap(lambda key: jg.argmin(noisy, BOX, key).x)(keys), expected, atol=1e-3)
    host = jg.host(lambda x, key: float(noisy(jnp.asarray(x), key)))
    few = jg.minimize_many(host, BOX, keys[:2], starts=jg.Grid(), max_levels=1, progress=False)
    np.testing.assert_allclose(few.x, expected[:2], atol=1e-2)


def test_a_key_that_the_function_closes_over(tmp_path):
    for key in (KEY, jax.random.key(4)):
        path = tmp_path / f"{jax.random.key_data(key)[1]}.npz"
        found = jg.minimize(lambda x, key=key: noisy(x, key), BOX, checkpoint=path, progress=False)
        np.testing.assert_allclose(found.x, centre(key), atol=1e-3)
    traced = jax.jit(lambda key: jg.argmin(lambda x: noisy(x, key), BOX).x)(KEY)
    np.testing.assert_allclose(traced, centre(KEY), atol=1e-3)


def test_a_checkpoint_knows_the_key(tmp_path):
    path = tmp_path / "search.npz"
    first = jg.minimize(noisy, BOX, KEY, checkpoint=path, progress=False)
    again = jg.minimize(noisy, BOX, jax.random.key(3), checkpoint=path, progress=False)
    np.testing.assert_array_equal(first.x, again.x)
    with pytest.raises(ValueError, match="has another args"):
        jg.minimize(noisy, BOX, jax.random.key(4), checkpoint=path, progress=False)


def test_an_auxiliary_output_that_is_a_key():
    def fun(x, key):
        return noisy(x, key), {"key": key, "x": x}

    options = dict(has_aux=True, max_levels=2, progress=False)
    found = jg.minimize_many(fun, BOX, jax.random.split(KEY, 3), **options)
    assert list(found.aux["key"]) == list(jax.random.split(KEY, 3)) and found.aux["x"].shape == (3, 2)
    assert found[1].aux["key"] == jg.minimize(fun, BOX, jax.random.split(KEY, 3)[1], **options).aux["key"]
