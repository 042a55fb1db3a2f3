"""Verified linear algebra [1]: products, inverses and determinants of interval matrices.

A floating-point Y near the inverse of the middle makes Y A = I - E nearly the unit matrix. Where every row of |E| has a
sum below one, A has an inverse; it and log|det A| follow from series in E. Y is a product of factors, R^-1 Q' of a QR
decomposition, so that its determinant is known as well.

[1] S. M. Rump, Verification methods: rigorous results using floating-point arithmetic, Acta Numerica 19 (2010).
"""

from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof import functions
from jaxglobal.proof import intervals as iv
from jaxglobal.proof.enclosure import by_box, some
from jaxglobal.proof.intervals import EPS, INF, TINY, Interval
from jaxglobal.proof.node import Node

LARGE = 1e150  # entries of a matrix beyond which its products may overflow


def matrices(M: Interval) -> Interval:
    """The batch as first axis."""
    return Interval(np.moveaxis(M.lo, -1, 0), np.moveaxis(M.hi, -1, 0))


def product(Y: np.ndarray, M: Interval) -> Interval:
    """Floating-point matrices, (B, n, n), times finite interval matrices, (B, n, m)."""
    n = Y.shape[-1]
    centre = 0.5 * M.lo + 0.5 * M.hi
    radius = iv.up(np.maximum(M.hi - centre, centre - M.lo)) + (n + 2) * EPS * abs(centre)
    c = Y @ centre
    r = iv.up((abs(Y) @ radius) * (1 + (n + 4) * EPS) + n * TINY)
    return Interval(iv.down(c - r), iv.up(c + r))


class Near(NamedTuple):
    """Matrices that are nearly the unit matrix.

    Attributes:
        Q, R: (B, n, n) the factors: Y = R Q', with R upper triangular.
        M: (B, n, n) enclosures of Y A.
        E: upper bounds of |I - Y A|.
        sums: (B, n) of its rows, rounded up.
        good: (B,) where all of them are below one.
    """

    Q: np.ndarray
    R: np.ndarray
    M: Interval
    E: np.ndarray
    sums: np.ndarray
    good: np.ndarray


def near(A: Interval) -> Near:
    """Of interval matrices, (n, n, B)."""
    n, eye = A.lo.shape[0], np.eye(A.lo.shape[0])
    finite = ((abs(A.lo) < LARGE) & (abs(A.hi) < LARGE)).all((0, 1))
    A = matrices(Interval(np.where(finite, A.lo, eye[..., None]), np.where(finite, A.hi, eye[..., None])))
    Q, R = np.linalg.qr(0.5 * A.lo + 0.5 * A.hi)
    size = abs(np.einsum("bii->bi", R))
    good = finite & (size.min(1) > 1e-14 * size.max(1)) & np.isfinite(R).all((1, 2)) & np.isfinite(Q).all((1, 2))
    Q, R = (np.where(good[:, None, None], part, eye) for part in (Q, R))
    R = np.triu(np.linalg.inv(R))
    M = product(R, product(np.swapaxes(Q, 1, 2), A))
    E = np.maximum(abs(M.lo - eye), abs(M.hi - eye)) * (1 + 4 * EPS) + TINY
    sums = iv.up(E.sum(2) * (1 + n * EPS))
    return Near(Q, R, M, E, sums, good & (sums < 1).all(1))


def _inverse(node: Node, a: Interval) -> Any:
    """A^-1 = (I - E)^-1 Y, where entry ij of |E|^k is at most r^(k - 1) times the greatest of column j of |E|."""
    n = node.shape[0]
    seen = near(a)
    Qt = np.swapaxes(seen.Q, 1, 2)
    Y = product(seen.R, Interval(Qt, Qt))
    r = np.where(seen.good, seen.sums.max(1), 0.0)[:, None, None]
    D = iv.up(seen.E + iv.up(seen.E.max(1, keepdims=True) * r / iv.down(1 - r), 4))
    spread = iv.up((D @ iv.size(Y).hi) * (1 + (n + 4) * EPS) + n * TINY)
    good = seen.good[:, None, None]
    lo, hi = np.where(good, iv.down(Y.lo - spread), -INF), np.where(good, iv.up(Y.hi + spread), INF)
    lost = some(np.broadcast_to(~seen.good, (*node.shape, len(seen.good))))
    return np.moveaxis(lo, 0, -1), np.moveaxis(hi, 0, -1), lost, by_box(~seen.good)


def _logdet(node: Node, a: Interval) -> Any:
    """Log|det A| = log|det(I - E)| - log|det Y|."""
    seen, n = near(a), a.lo.shape[0]
    d = np.arange(n)
    trace = iv.total(Interval((seen.M.lo[:, d, d] - 1).T, (seen.M.hi[:, d, d] - 1).T), (0,))
    trace = Interval(iv.down(trace.lo - n * EPS * 4), iv.up(trace.hi + n * EPS * 4))  # of the differences from one
    F = iv.up(np.sqrt((seen.E**2).sum((1, 2))) * (1 + n * n * EPS), 4)  # |trace E^k| <= |E|^k
    rest = np.where(F < 1, iv.up(0.5 * F * F / iv.down(1 - np.minimum(F, 0.999999)), 6), INF)
    rest = np.where(F < 0.999999, rest, INF)
    sums = np.where(seen.good[:, None], seen.sums, 0.0).T
    rows = functions.increasing("log1p", Interval(-sums, sums))  # of a matrix with a dominant diagonal
    rows = Interval(iv.total(Interval(rows.lo, rows.lo), (0,)).lo, iv.total(Interval(rows.hi, rows.hi), (0,)).hi)
    part = iv.meet(rows, Interval(iv.down(trace.lo - rest), iv.up(trace.hi + rest)))
    size = abs(np.einsum("bii->bi", seen.R)).T
    triangle = iv.total(functions.log(Interval(size, size)), (0,))
    unit = product(np.swapaxes(seen.Q, 1, 2), Interval(seen.Q, seen.Q))  # Q'Q, whose determinant is that of Q squared
    off = iv.up(np.maximum(abs(unit.lo - np.eye(n)), abs(unit.hi - np.eye(n))).sum((1, 2)) * (1 + n * n * EPS), 4)
    out = iv.sub(part, triangle)
    good = seen.good & (off < 0.1)
    lo, hi = np.where(good, iv.down(out.lo - off), -INF), np.where(good, iv.up(out.hi + off), INF)
    return lo, hi, some(~good), by_box(~good)


RULES: dict[str, Any] = {"inverse": _inverse, "logdet": _logdet}


def matmul(p: Any, a: int, b: int) -> int:
    """The product of matrices along the last axes of values of a program; all others as NumPy broadcasts them."""
    (*left, m, k), (*right, _, n) = p.shape(a), p.shape(b)
    out = p.mul(p.reshape(a, (*left, m, k, 1)), p.reshape(b, (*right, 1, k, n)))
    return p.sum(out, [len(p.shape(out)) - 2])
