"""Small KKT systems, many at once: elimination without pivoting."""

import jax
import jax.numpy as jnp
from jax import lax

LOOSE, FLAT = 0.6, 0.75  # powers of eps: what is added to a system that lets rows be dependent; the least pivot


def eliminate(K: jax.Array, right: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """The solution of K v = right, (N,), and the least of the first n pivots; by Gauss and Jordan, without pivoting.

    K is positive definite in its first n rows, and negative in the rest of what is then left; a pivot of another sign
    changes it. (LAPACK's factorisations take one small matrix after the other; this takes all of a batch at once.)
    """
    N, eps = len(right), float(jnp.finfo(K.dtype).eps)
    flat = eps**FLAT

    def column(k, carry):
        M, least = carry
        pivot = M[k, k]
        first = k < n
        size = jnp.maximum(jnp.abs(pivot), flat)
        row = (M[k] / jnp.where(first, size, -size)).at[k].set(1)
        M = (M - M[:, k][:, None] * row[None]).at[k].set(row)
        return M, jnp.where(first, jnp.minimum(least, pivot), least)

    begin = jnp.concatenate([K, right[:, None]], axis=1), jnp.asarray(jnp.inf, K.dtype)
    M, least = lax.fori_loop(0, N, column, begin)
    return M[:, N], least
