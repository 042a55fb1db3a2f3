"""Linear algebra of small matrices, written out: Cholesky factors, triangular systems and linear ones.

A linear system is solved by Cramer's rule in blocks of up to three unknowns, and by a verified inverse in larger ones:
where that is not known to exist, the system is not known to have a solution.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxglobal.proof.flat import Program

LARGEST = 24  # rows of a matrix
CRAMER = 3  # unknowns up to which Cramer's rule is taken
MINORS = 6  # rows up to which a determinant is a sum of products, which is defined everywhere


def entry(p: Program, a: int, *at: int) -> int:
    """One entry of a value."""
    return p.reshape(p.cut(a, [slice(k, k + 1) for k in at]), ())


def each(p: Program, rank: int, ids: Sequence[int], rule: Any) -> int:
    """A rule for matrices, of each of those along the first axes."""
    batch = p.shape(ids[0])[:-rank]
    count = int(np.prod(batch, dtype=int))
    flat = [p.reshape(i, (count, *p.shape(i)[-rank:])) for i in ids]
    outs = [rule(*(p.reshape(p.rows(i, [k]), p.shape(i)[1:]) for i in flat)) for k in range(count)]
    stack = p.concatenate([p.reshape(out, (1, *p.shape(out))) for out in outs], 0)
    return p.reshape(stack, (*batch, *p.shape(stack)[1:]))


def less(p: Program, a: int, terms: Sequence[int]) -> int:
    """A value less some others."""
    for term in terms:
        a = p.sub(a, term)
    return a


def cholesky(p: Program, a: int) -> int:
    """The lower factor of a symmetric matrix, (n, n), by its lower triangle; NaN everywhere where there is none."""
    n = p.shape(a)[0]
    L: dict[tuple[int, int], int] = {}
    for j in range(n):
        L[j, j] = p.unary("sqrt", less(p, entry(p, a, j, j), [p.unary("square", L[j, k]) for k in range(j)]))
        inverse = p.unary("reciprocal", L[j, j])
        for i in range(j + 1, n):
            L[i, j] = p.mul(less(p, entry(p, a, i, j), [p.mul(L[i, k], L[j, k]) for k in range(j)]), inverse)
    out = matrix(p, L, n, n)
    defined = p.const(0.0)
    for j in range(n):
        defined = p.add(defined, p.mul(p.const(0.0), p.unary("reciprocal", L[j, j])))
    return p.add(out, defined) if p.nodes[defined].partial else out


def triangular(p: Program, a: int, b: int, lower: bool, unit: bool) -> int:
    """The x, (n, k), with a x = b, by one triangle of a, (n, n)."""
    n = p.shape(a)[0]
    x: dict[int, int] = {}
    for i in range(n) if lower else reversed(range(n)):
        row = p.reshape(p.rows(b, [i]), p.shape(b)[1:])
        row = less(p, row, [p.mul(entry(p, a, i, k), x[k]) for k in x])
        x[i] = row if unit else p.mul(row, p.unary("reciprocal", entry(p, a, i, i)))
    return p.concatenate([p.reshape(x[i], (1, *p.shape(b)[1:])) for i in range(n)], 0)


def solved(p: Program, rows: list[list[int]], b: list[int]) -> list[int]:
    """The x with rows x = b, block by block."""
    n, zero = len(b), lambda i: p.all_equal(i, 0.0)
    linked = np.array([[not zero(i) for i in row] for row in rows]) | np.eye(n, dtype=bool)
    linked = np.linalg.matrix_power((linked | linked.T).astype(float), n) > 0
    x: dict[int, int] = {}
    for block in {tuple(np.flatnonzero(row).tolist()) for row in linked}:
        part, right = [[rows[i][j] for j in block] for i in block], [b[i] for i in block]
        x |= dict(zip(block, (cramer if len(block) <= CRAMER else inverted)(p, part, right), strict=True))
    return [x[i] for i in range(n)]


def cramer(p: Program, rows: list[list[int]], b: list[int]) -> list[int]:
    """By determinants: each unknown is a sum over the equations with the minors that leave out these two."""
    n, over, x = len(b), p.unary("reciprocal", determinant(p, rows)), []
    for j in range(n):
        total = p.const(0.0)
        for i in range(n):
            minor = determinant(p, [row[:j] + row[j + 1 :] for row in rows[:i] + rows[i + 1 :]])
            term = p.mul(b[i], minor)
            total = p.sub(total, term) if (i + j) % 2 else p.add(total, term)
        x.append(p.mul(total, over))
    return x


def determinant(p: Program, rows: list[list[int]]) -> int:
    """By minors of its last rows, each of which is made once; of more rows the product of the pivots of elimination."""
    n = len(rows)
    if n > MINORS:
        A = reduced(p, rows)
        return functools.reduce(p.mul, [A[k][k] for k in range(n)])
    minors: dict[tuple[int, ...], int] = {(): p.const(1.0)}
    for size in range(1, n + 1):
        row = rows[n - size]
        for columns in itertools.combinations(range(n), size):
            total = p.const(0.0)
            for k, c in enumerate(columns):
                term = p.mul(row[c], minors[columns[:k] + columns[k + 1 :]])
                total = p.sub(total, term) if k % 2 else p.add(total, term)
            minors[columns] = total
    return minors[tuple(range(n))]


def reduced(p: Program, rows: list[list[int]]) -> list[list[int]]:
    """A matrix, perhaps with further columns, after Gauss's elimination: what is below its diagonal does not count."""
    A = [list(row) for row in rows]
    for k in range(len(A)):
        inverse = p.unary("reciprocal", A[k][k])
        for i in range(k + 1, len(A)):
            factor = p.mul(A[i][k], inverse)
            if not p.all_equal(A[i][k], 0.0):
                A[i] = [p.sub(left, p.mul(factor, right)) for left, right in zip(A[i], A[k], strict=True)]
    return A


def inverted(p: Program, rows: list[list[int]], b: list[int]) -> list[int]:
    """By the inverse."""
    n = len(b)
    A = matrix(p, {(i, j): rows[i][j] for i in range(n) for j in range(n)}, n, n)
    right = p.reshape(p.concatenate([p.reshape(i, (1,)) for i in b], 0), (1, n))
    x = p.sum(p.mul(p.emit("inverse", (A,), (n, n)), right), (1,))
    return [entry(p, x, i) for i in range(n)]


def matrix(p: Program, entries: dict[tuple[int, int], int], n: int, m: int) -> int:
    """From entries, zero where there is none."""
    flat = [p.reshape(entries.get((i, j), p.const(0.0)), (1,)) for i in range(n) for j in range(m)]
    return p.reshape(p.concatenate(flat, 0), (n, m))
