"""Tests by the second derivative: interval Newton, convexity, and a bound by the second-order Taylor form.

H is an interval matrix for each box, (n, n, B). Products with floating-point matrices go by middle and radius.
"""

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof.intervals import EPS, Interval
from jaxglobal.proof.verified import LARGE, matrices, product


def middle(X: Interval) -> np.ndarray:
    """A point of each box."""
    return np.clip(0.5 * X.lo + 0.5 * X.hi, X.lo, X.hi)


def step(X: Interval, c: np.ndarray, g: Interval, H: Interval, free: np.ndarray, good: np.ndarray):
    """Hansen and Sengupta's step for g = 0 in the variables that are `free`, where H is `good`, (B,).

    c: (n, B) a point of each box; g: the gradient there.

    Returns:
        The box that holds all zeros of X, where there is none, and where X has exactly one, strictly inside the free
        sides.
    """
    n, batch = X.lo.shape
    good = good & np.isfinite(g.lo).all(0) & np.isfinite(g.hi).all(0)
    H = Interval(np.where(good, H.lo, 0.0), np.where(good, H.hi, 0.0))
    g = Interval(np.where(good, g.lo, 0.0), np.where(good, g.hi, 0.0))
    both = free[:, None] & free[None, :]
    eye = np.eye(n)[..., None]
    centre = np.moveaxis(np.where(both, 0.5 * (H.lo + H.hi), eye), -1, 0)
    size = np.abs(centre).max((1, 2))
    solvable = np.abs(np.linalg.det(centre / np.where(size > 0, size, 1.0)[:, None, None])) > 1e-200
    solvable &= (size > 0) & np.isfinite(size)
    Y = np.linalg.inv(np.where(solvable[:, None, None], centre, np.eye(n)))
    good = good & solvable & np.isfinite(Y).all((1, 2))
    Y = np.where(good[:, None, None] & np.moveaxis(both, -1, 0), Y, 0.0)
    M, b = product(Y, matrices(H)), product(Y, matrices(Interval(g.lo[:, None], g.hi[:, None])))
    M, b = (Interval(np.moveaxis(end.lo, 0, -1), np.moveaxis(end.hi, 0, -1)) for end in (M, b))
    lo, hi = X.lo.copy(), X.hi.copy()
    D = iv.sub(X, Interval(c, c))
    dl, dh = D.lo.copy(), D.hi.copy()
    empty, inside = np.zeros(batch, bool), np.ones(batch, bool)
    for i in range(n):
        others = iv.mul(Interval(M.lo[i], M.hi[i]), Interval(dl, dh))
        others.lo[i] = others.hi[i] = 0.0
        rest = iv.add(Interval(b.lo[i, 0], b.hi[i, 0]), iv.total(others, (0,)))
        at = iv.sub(Interval(c[i], c[i]), iv.quotient(rest, Interval(M.lo[i, i], M.hi[i, i])))
        use = free[i] & good
        inside &= ~free[i] | (use & (at.lo > X.lo[i]) & (at.hi < X.hi[i]))
        lo[i] = np.where(use, np.fmax(lo[i], at.lo), lo[i])
        hi[i] = np.where(use, np.fmin(hi[i], at.hi), hi[i])
        empty |= lo[i] > hi[i]
        d = iv.sub(Interval(np.minimum(lo[i], hi[i]), np.maximum(lo[i], hi[i])), Interval(c[i], c[i]))
        dl[i], dh[i] = d
    return Interval(lo, hi), empty, inside & ~empty


def convex(H: Interval, free: np.ndarray) -> np.ndarray:
    """Where every matrix of H is positive definite in the free variables.

    By V' H V with V near the eigenvectors of the middle: a matrix with a dominant positive diagonal is positive
    definite, and then so is H, since V is not singular where V' H V is not.
    """
    n = H.lo.shape[0]
    both, eye = free[:, None] & free[None, :], np.eye(n)[..., None]
    finite = ((abs(H.lo) < LARGE) & (abs(H.hi) < LARGE) | ~both).all((0, 1))
    use = both & finite
    S = matrices(Interval(np.where(use, H.lo, eye), np.where(use, H.hi, eye)))
    w, V = np.linalg.eigh(0.5 * S.lo + 0.5 * S.hi)
    V = V / np.sqrt(np.maximum(abs(w), 1e-300))[:, None, :]
    Vt = np.swapaxes(np.where(np.isfinite(V), V, np.eye(n)), 1, 2)
    half = product(Vt, S)
    T = product(Vt, Interval(np.swapaxes(half.lo, 1, 2), np.swapaxes(half.hi, 1, 2)))
    off, d = np.maximum(abs(T.lo), abs(T.hi)), np.arange(n)
    diagonal = T.lo[:, d, d]
    off[:, d, d] = 0.0
    return finite & (diagonal > iv.up(off.sum(-1) * (1 + n * EPS))).all(-1)


def taylor(X: Interval, c: np.ndarray, f: Interval, g: Interval, H: Interval) -> np.ndarray:
    """A lower bound of f + g d + d' H d / 2 over the box: exact along each axis, the rest by absolute values."""
    n, D = len(c), iv.sub(X, Interval(c, c))
    r, d = iv.size(D).hi, np.arange(n)
    off = iv.size(H).hi.copy()
    off[d, d] = 0.0
    cross = iv.total(Interval(*2 * (iv.up(iv.up(iv.product(off, r)) * r[:, None]),)), (0, 1)).hi
    h, line = H.lo[d, d], iv.mul(g, D).lo
    up = iv.up(iv.size(g).hi ** 2)
    vertex = iv.down(-0.5 * iv.up(up / np.where(h > 0, h, 1.0), 2))
    chord = iv.down(line + iv.down(iv.product(0.5 * h, iv.up(r * r)), 2))
    each = np.where(h > 0, np.maximum(line, vertex), chord)
    return iv.down(iv.add(f, iv.total(Interval(each, each), (0,))).lo - 0.5 * cross)
