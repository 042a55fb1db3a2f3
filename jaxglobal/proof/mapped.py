"""Sums of a constant times a value, found in a program: one linear map of the value's entries, see maps.py."""

import math
from typing import Any

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof import patterns
from jaxglobal.proof.intervals import EPS, TINY, Interval
from jaxglobal.proof.maps import Matrix

MOST = 1_000_000  # entries of a matrix
WASTE = 4  # times as many entries as products, at most: a map of blocks has many zeros


def found(p: Any, product: int, axes: tuple[int, ...]) -> int | None:
    """The sum of a product along axes as a map; None where none of the factors is constant, or it is one sum."""
    for c, u in (p.nodes[product].ins, p.nodes[product].ins[::-1]):
        value = p.nodes[c].value
        if (
            value is None
            or p.is_const(u)
            or p.nodes[product].params.get("hides")
            or p.nodes[c].undefined
            or not np.all(np.isfinite(value))
        ):
            continue
        i, at = patterns.origin(p, u)
        shape, size = p.shape(product), math.prod(p.shape(i))
        kept = tuple(n for d, n in enumerate(shape) if d not in axes)
        rows = math.prod(kept)
        if rows < 2 or rows * size > min(MOST, WASTE * math.prod(shape)):
            continue
        order = (*(d for d in range(len(shape)) if d not in axes), *axes)
        flat = lambda array: np.broadcast_to(array, shape).transpose(order).reshape(rows, -1)  # noqa: B023, E731
        place = np.arange(rows)[:, None] * size + flat(at)
        lo, hi = (flat(end[..., 0]) for end in value)
        if (M := gathered(lo, hi, place, rows, size)).small:
            return mapping(p, i, M, kept)
    return None


def gathered(lo: np.ndarray, hi: np.ndarray, place: np.ndarray, rows: int, size: int) -> Matrix:
    """The matrix of coefficients, those of one entry added up."""
    most = int(np.bincount(place.ravel()).max())
    middle = 0.5 * lo + 0.5 * hi if lo is not hi and np.any(lo != hi) else lo
    summed = lambda x: np.bincount(place.ravel(), x.ravel(), rows * size).reshape(rows, size)  # noqa: E731
    M = summed(middle)
    if middle is lo and most == 1:
        return Matrix(M, None)
    wide = summed(iv.up(np.maximum(hi - middle, middle - lo)) + most * EPS * abs(middle))
    return Matrix(M, iv.up(wide * (1 + most * EPS)) + TINY)


def mapping(p: Any, i: int, M: Matrix, shape: tuple[int, ...]) -> int:
    """A map of a value; of the value of another map, the product of both where that is small and no more work."""
    node = p.nodes[i]
    if node.op == "map":
        inner = node.params["matrix"]
        (m, k), n = M.middle.shape, inner.middle.shape[1]
        if m * n <= m * k + k * n and (both := product(M, inner)).small:
            return mapping(p, node.ins[0], both, shape)
    return p.emit("map", (i,), shape, key=(M.key, shape), matrix=M)


def product(A: Matrix, B: Matrix) -> Matrix:
    """The product of two matrices."""
    k = A.middle.shape[1]
    error = (A.size @ B.size) * ((k + 4) * EPS) + k * TINY
    for left, right in ((A.error, B.size), (A.size, B.error), (A.error, B.error)):
        if left is not None and right is not None:
            error += left @ right
    return Matrix(A.middle @ B.middle, iv.up(error * (1 + (k + 8) * EPS)) + TINY)


def matrix_of(value: Interval) -> Matrix:
    """That of an enclosure with a batch of one, (m, k, 1)."""
    lo, hi = (end[..., 0] for end in value)
    return gathered(lo, lo if np.array_equal(lo, hi) else hi, np.arange(lo.size).reshape(lo.shape), *lo.shape)
