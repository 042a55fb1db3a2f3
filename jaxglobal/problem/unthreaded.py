"""Cholesky's factorisation and solves with triangular matrices in such parts that OpenBLAS stays on one thread.

From a size on it takes threads of its own, and on a busy machine these wait for each other: each call stands for tens
of milliseconds. So only so many right-hand sides at a time go to it, which gives the same bits where numbers are real,
and a matrix of many rows goes in halves. On a quiet machine that takes about as long (200 rows) or half as much again
(100 rows); beside two other processes a search by `argmin` takes a quarter of the time (200 rows) or less.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive

THREADED = 1024  # numbers on the right-hand side from which OpenBLAS solves with threads; half as many complex ones
COLUMNS = 8  # right-hand sides at a time; fewer cost too much
ROWS = 128  # from which it factorises with threads; more are taken in halves, ...
MOST_ROWS = 1024  # ... unless they are so many that the program would be long, and threads pay


def solved(own: Primitive, a: jax.Array, b: jax.Array, **params: Any) -> jax.Array:
    """The solve with one triangular matrix, (1, ..., n, n): a few right-hand sides after others, or in halves.

    own: the primitive of JAX, and its parameters.
    """
    rows, threaded = a.shape[-1], THREADED // (2 if jnp.iscomplexobj(b) else 1)
    columns = (threaded - 1) // max(rows, 1) // COLUMNS * COLUMNS
    if b.size < threaded or rows > MOST_ROWS:
        return own.bind(a, b, **params)
    if columns == 0:
        return _solved_in_halves(own, a, b, **params)
    axis, matrix = int(params["left_side"]), a.reshape(rows, rows)  # the axis along which the right-hand sides lie
    sides = jnp.moveaxis(b.reshape(b.shape[-2:]), axis, 0)
    blocks = jnp.pad(sides, ((0, -len(sides) % columns), (0, 0))).reshape(-1, columns, rows)
    out = lax.map(lambda some: jnp.moveaxis(own.bind(matrix, jnp.moveaxis(some, 0, axis), **params), axis, 0), blocks)
    return jnp.moveaxis(out.reshape(-1, rows)[: len(sides)], 0, axis).reshape(b.shape)


def _solved_in_halves(own: Primitive, a: jax.Array, b: jax.Array, **params: Any) -> jax.Array:
    """The solve by two of half as many rows: what the first gives is taken off the right-hand sides of the second."""
    rows, left, turned = a.shape[-1], params["left_side"], params["transpose_a"]
    matrix, sides = a.reshape(rows, rows), b.reshape(b.shape[-2:])
    half, axis = rows // 2, 0 if left else 1
    parts = [slice(None, half), slice(half, None)]
    of = lambda part: sides[part] if left else sides[:, part]  # noqa: E731
    first, second = (0, 1) if (params["lower"] != turned) == left else (1, 0)  # the one that needs no other
    row, column = (second, first) if left else (first, second)  # of the block beside the diagonal
    beside = matrix[parts[column], parts[row]].T if turned else matrix[parts[row], parts[column]]
    beside = beside.conj() if params["conjugate_a"] else beside
    out: list[Any] = [None, None]
    out[first] = solved(own, matrix[parts[first], parts[first]], of(parts[first]), **params)
    rest = beside @ out[first] if left else out[first] @ beside
    out[second] = solved(own, matrix[parts[second], parts[second]], of(parts[second]) - rest, **params)
    return jnp.concatenate(out, axis).reshape(b.shape)


def factorised(own: Primitive, a: jax.Array, **params: Any) -> jax.Array:
    """The Cholesky factor of one matrix on one thread: in halves, the second of what the first leaves; NaN if none."""
    rows = a.shape[-1]
    if rows < ROWS or rows > MOST_ROWS:
        return own.bind(a, **params)
    matrix, half = a.reshape(rows, rows), rows // 2
    upper = jnp.tril(factorised(own, matrix[:half, :half], **params))
    how = dict(left_side=False, lower=True, transpose_a=True, conjugate_a=True, unit_diagonal=False)
    below = solved(lax.linalg.triangular_solve_p, upper, matrix[half:, :half], **how)
    lower = jnp.tril(factorised(own, matrix[half:, half:] - below @ below.conj().T, **params))
    out = jnp.block([[upper, jnp.zeros_like(below.T)], [below, lower]])
    return jnp.where(jnp.all(jnp.isfinite(jnp.diagonal(lower))), out, jnp.nan).reshape(a.shape)


UNTHREADED: dict[str, Callable[..., jax.Array]] = {"triangular_solve": solved, "cholesky": factorised}  # by primitive
