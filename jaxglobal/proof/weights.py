"""Lagrangians: weighted sums of fun and the constraints, which say more in a box than each alone.

For a weight w0 >= 0 of fun and weights w of the rows, each less its bound and of the sign that makes it at most zero
where it is kept, w0 fun + w (c - bound) <= w0 cut holds at every point that keeps them and is no worse than the best
one known. Any such weights are sound. Those of a minimum at which as many rows and sides of the box bind as there are
variables can leave the slope of one variable alone, which bounds it; without that, boxes crowd in the corner. The
first sum is that of the multipliers, the Lagrangian, whose slope is zero in a minimum [1]; then it bounds fun.

[1] J. Nocedal and S. J. Wright, Numerical Optimization (Springer, 2006), chapter 12.
"""

import numpy as np

from jaxglobal.proof.feasible import Place

ACTIVE = 1e-6  # of a row's own scale, how near to a bound it counts as binding
NEAR = 1e-9  # of the box, how near to its side a variable counts as held there
EXACT = 1e-6  # slopes that may be left of other variables
ALONE = 32  # sides of rows, at most, each of which is looked at alone


def weights(place: Place, x: np.ndarray | None) -> np.ndarray:
    """Weights (K, 1 + m) of fun and the rows; x: (n,) the best point known."""
    m = len(place.lower)
    sides = [side for side, ends in ((1.0, place.upper), (-1.0, place.lower)) for _ in ends]
    alone = np.zeros((2 * m, 1 + m))
    alone[np.arange(2 * m), 1 + np.arange(2 * m) % m] = sides
    alone = alone[np.isfinite(np.concatenate([place.upper, place.lower]))]
    alone = alone[: ALONE if len(alone) <= ALONE else 0]
    return alone if x is None else np.concatenate([at_minimum(place, x), alone])


def at_minimum(place: Place, x: np.ndarray) -> np.ndarray:
    """Those of the multipliers at x, and what leaves one variable alone there."""
    c, J, g = place.slopes(x)
    if not (np.isfinite(J).all() and np.isfinite(g).all() and np.isfinite(c).all()):
        return np.zeros((0, 1 + len(c)))
    m, n, width = len(c), len(x), place.high - place.low
    scale = place.scale(c, J)
    top, bottom = place.upper - c <= ACTIVE * scale, c - place.lower <= ACTIVE * scale
    held = place.still | (width == 0)
    low, high = (x <= place.low + NEAR * width) & ~held, (x >= place.high - NEAR * width) & ~held
    lam = multipliers(J * width, g * width, top, bottom, ~(held | low | high))
    left = (g + lam @ J) * width
    sign = np.where(lam != 0, np.sign(lam), np.where(top, 1.0, -1.0))
    rows, at = np.flatnonzero(top | bottom), np.flatnonzero(low | high)
    side = np.where(low, -1.0, 1.0)[at]
    # fun, the rows that bind, and the sides of the box that do: at most zero, and with `null` their sum is flat.
    M = np.concatenate([g[None] * width, sign[rows, None] * J[rows] * width, side[:, None] * np.eye(n)[at]])
    null = np.concatenate([[1.0], abs(lam[rows]), np.maximum(-side * left[at], 0.0)])
    out, lagrange = [], np.zeros(1 + m)
    lagrange[0], lagrange[1:] = 1.0, lam
    out.append(lagrange)
    free = np.concatenate([[False], top[rows] & bottom[rows], np.zeros(len(at), bool)])  # of any sign
    norm = np.abs(M[:, ~held]).max(1, initial=0.0)
    norm = np.where(norm > 0, norm, 1.0)
    for j in np.flatnonzero(~held):
        for way in (1.0, -1.0):
            aim = way * np.eye(n)[j]
            y = np.linalg.lstsq((M / norm[:, None])[:, ~held].T, aim[~held], rcond=1e-10)[0] / norm
            if np.max(abs(y @ M - aim)[~held]) > EXACT:
                continue
            below = (y < 0) & ~free
            t = np.max(-y[below] / np.where(null[below] > 0, null[below], np.nan), initial=0.0)
            y = y + t * null
            if not np.isfinite(t) or not np.any(y[: 1 + len(rows)]):
                continue
            w = np.zeros(1 + m)
            w[0], w[1 + rows] = y[0], y[1 : 1 + len(rows)] * sign[rows]
            out.append(w / np.max(abs(y)))
    return np.array(out)


def multipliers(J: np.ndarray, g: np.ndarray, top: np.ndarray, bottom: np.ndarray, free: np.ndarray) -> np.ndarray:
    """(m,) Numbers of the right signs with which g + lam J is about zero in the free variables.

    top, bottom: which rows are at their upper bounds, and at their lower ones.
    """
    active = top | bottom
    while active.any() and free.any():
        out = np.zeros(len(J))
        out[active] = np.linalg.lstsq(J[np.ix_(active, free)].T, -g[free], rcond=None)[0]
        wrong = active & ((out > 0) & ~top | (out < 0) & ~bottom)
        if not wrong.any():
            return out
        active &= ~wrong
    return np.zeros(len(J))
