"""Sums of squares: fun = offset + sum of w r^2, bounded through its residuals, nearly linear in small boxes.

In a box, the residuals times the roots of their weights are s = s0 + A d + e, |d| <= 1 by variable and |e| at most a
known slack. For any multipliers m, |m's| <= |m| |s| (Cauchy and Schwarz), so that

    fun >= offset + max(0, m's0 - |A'm| 1 - |m|' e)^2 / |m|^2,

and where fun <= cut, |m's| <= |m| sqrt(cut - offset) bounds every variable whose coefficient is left in A'm.
"""

from typing import NamedTuple

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof.enclosure import Enclosure
from jaxglobal.proof.flat import Program
from jaxglobal.proof.intervals import EPS, INF, TINY, Interval
from jaxglobal.proof.stacks import Stack

LARGE = 1e75  # numbers beyond which the products of two may overflow
ROUNDS = 10  # of coordinate descent for the multipliers: any would be sound


class Squares(NamedTuple):
    """fun as an offset and squares.

    Attributes:
        offset: a lower bound of the constant part.
        terms: the numbers of the residuals, and the least root of the weight of each.
    """

    offset: float
    terms: list[tuple[int, np.ndarray]]


def find(p: Program, f: int) -> Squares | None:
    """The squares of which value f is a sum; None where it is not one."""
    terms: list[tuple[int, np.ndarray]] = []
    offset = 0.0

    def walk(i: int, weight: float) -> bool:
        """weight: a lower bound of the factor, above zero."""
        nonlocal offset
        node = p.nodes[i]
        if node.value is not None:
            total = iv.total(
                iv.mul(Interval(*node.value), Interval(*2 * (np.asarray([weight]),))), tuple(range(len(node.shape)))
            )
            offset = float(iv.down(np.asarray(offset + float(iv.down(total.lo[0], 4)))))
            return weight == 1.0 and not node.undefined or float(node.value.lo.min()) >= 0
        if node.op == "square":
            terms.append((node.ins[0], np.full(node.shape, np.sqrt(weight) * (1 - 4 * EPS))))
            return True
        if node.op == "add":
            return len({p.shape(j) for j in node.ins}) == 1 and all(walk(j, weight) for j in node.ins)
        if node.op == "sub" and p.is_const(node.ins[1]) and p.shape(node.ins[1]) in ((), node.shape):
            value = iv.neg(p.nodes[node.ins[1]].value)  # pyright: ignore
            spread = int(np.prod(node.shape) // max(np.prod(p.shape(node.ins[1])), 1))
            if weight != 1.0:
                return False
            total = iv.total(value, tuple(range(value.lo.ndim)))
            offset = float(iv.down(np.asarray(offset + float(iv.down(total.lo * spread, 4)))))
            return walk(node.ins[0], weight)
        if node.op == "mul":
            for j, k in (node.ins, node.ins[::-1]):
                c = p.nodes[j].value
                if c is not None and c.lo.size == 1 and float(c.lo.min()) > 0 and p.shape(k) == node.shape:
                    return walk(k, weight * float(c.lo.min()) * (1 - 2 * EPS))
            return False
        if node.op == "sum" or node.op == "move" and node.params["how"] == "reshape":
            return walk(node.ins[0], weight)
        return False

    return Squares(offset, terms) if walk(f, 1.0) and terms else None


def rows(p: Program, squares: Squares, stacks: list[Stack | None], values: dict[int, Enclosure], n: int, batch: int):
    """Residuals, (m, B), and their Jacobian, (n, m, B), from the values of a program."""
    r, J = ([], []), ([], [])
    for (i, _), stack in zip(squares.terms, stacks, strict=True):
        shape, out = p.shape(i), values[i] if i in values else Enclosure(*p.nodes[i].value)  # pyright: ignore
        size = int(np.prod(shape, dtype=int))
        for side, end in zip(r, out.interval, strict=True):
            side.append(np.broadcast_to(end, (*shape, batch)).reshape(size, batch))
        for side, end in zip(J, (0, 1), strict=True):
            block = np.zeros((n, size, batch))
            if stack is not None:
                node = p.nodes[stack.id]
                ends = node.value if node.value is not None else values[stack.id].interval
                block[list(stack.keys)] = np.broadcast_to(ends[end], (*node.shape, batch)).reshape(
                    len(stack.keys), size, batch
                )
            side.append(block)
    joined = lambda parts, axis: Interval(*(np.concatenate(side, axis) for side in parts))  # noqa: E731
    return joined(r, 0), joined(J, 1)


def relax(X: Interval, c: np.ndarray, R: Interval, J: Interval, weights: np.ndarray, room: float, usable: np.ndarray):
    """The bound and the narrowing.

    X: boxes (n, B); c: points of them; R: residuals at c, (m, B); J: their Jacobian in X, (n, m, B); weights: (m,);
    room: cut - offset; usable: (B,) where J may be used.

    Returns:
        Narrower boxes, a lower bound of the sum of squares, and what the width of each variable costs in slack, (n, B).
    """
    n, batch = X.lo.shape
    rho = iv.size(iv.sub(X, Interval(c, c))).hi
    w = weights[:, None]
    small = (abs(J.lo) < LARGE) & (abs(J.hi) < LARGE)
    fine = usable & small.all((0, 1)) & ((abs(R.lo) < LARGE) & (abs(R.hi) < LARGE)).all(0)
    J = Interval(np.where(fine, J.lo, 0.0), np.where(fine, J.hi, 0.0))
    R = Interval(np.where(fine, R.lo, 0.0), np.where(fine, R.hi, 0.0))
    centre, r0 = 0.5 * (J.lo + J.hi), 0.5 * (R.lo + R.hi)
    part = iv.up(np.maximum(J.hi - centre, centre - J.lo)) * rho[:, None] * w
    e = (part.sum(0) * (1 + (n + 6) * EPS)) + iv.up(np.maximum(R.hi - r0, r0 - R.lo)) * w
    slopes, r = centre * rho[:, None] * w, r0 * w
    e = iv.up(e, 4) + 8 * EPS * (abs(r) + abs(slopes).sum(0)) + TINY  # the products above are rounded
    B, r, e = np.moveaxis(slopes, -1, 0), r.T, e.T  # (batch, n, m), (batch, m)
    gamma = (len(weights) + 8) * EPS
    G, b, d = B @ np.swapaxes(B, 1, 2), (B @ r[..., None])[..., 0], np.zeros((batch, n))
    diagonal = np.maximum(np.einsum("bii->bi", G), 1e-300)
    for i in [*range(n)] * ROUNDS:
        d[:, i] = np.clip(d[:, i] - (b[:, i] + (G[:, i] * d).sum(1)) / diagonal[:, i], -1, 1)
    u = r + (d[:, None] @ B)[:, 0]
    low = np.zeros(batch)
    for m in (u, np.sign(u) * np.maximum(abs(u) - e, 0.0)):
        left = abs((B @ m[..., None])[..., 0]) + gamma * (abs(B) @ abs(m)[..., None])[..., 0]
        beta = (m * r).sum(1) - gamma * (abs(m) * abs(r)).sum(1) - ((abs(m) * e).sum(1) + left.sum(1)) * (1 + gamma)
        size = (m * m).sum(1) * (1 + gamma) + TINY
        low = np.maximum(low, np.where(beta > 0, beta * beta / size * (1 - 16 * EPS), 0.0))
    ridge = (1e-13 * diagonal.mean(1) + 1e-300)[:, None, None] * np.eye(n)
    L = np.linalg.inv(G + ridge) @ B  # a row for each variable
    S = L @ np.swapaxes(B, 1, 2)
    slack = gamma * (abs(L) @ np.swapaxes(abs(B), 1, 2))
    bounded = np.isfinite(room)  # where nothing is known yet, any sum of squares is low enough
    most = np.sqrt((L * L).sum(2) * (1 + gamma)) * np.sqrt(max(room, 0.0) if bounded else 0.0) * (1 + 4 * EPS)
    most = most + (abs(L) @ (e + gamma * abs(r))[..., None])[..., 0] * (1 + gamma) + (abs(S) + slack).sum(2)
    own, fuzz = np.einsum("bii->bi", S), np.einsum("bii->bi", slack)
    most = iv.up((most - abs(own)) * (1 + 2 * gamma) + 8 * EPS * abs(own), 4)
    mid = (L @ r[..., None])[..., 0]
    t = iv.div(
        Interval(iv.down(-mid - most, 2).T, iv.up(-mid + most, 2).T),
        Interval(iv.down(own - fuzz).T, iv.up(own + fuzz).T),
    )
    x = iv.add(Interval(c, c), iv.mul(t, Interval(rho, rho)))
    known = fine & bounded & np.isfinite(L).all((1, 2)) & np.isfinite(most).all(1) & (x.lo == x.lo) & (x.hi == x.hi)
    new = Interval(np.where(known, x.lo, -INF), np.where(known, x.hi, INF))
    share = (part * abs(u).T).sum(1)
    return new, np.where(fine, low, 0.0), np.where(fine, share, 0.0)


def weights_of(squares: Squares) -> np.ndarray:
    """The roots of the weights, (m,)."""
    return np.concatenate([w.ravel() for _, w in squares.terms])
