"""The one minimiser of a box in which constraints bind, by interval Newton on its KKT system [1].

At a minimiser of fun under rows whose gradients are independent, with multipliers lam of the rows that bind,

    g + J' lam = 0 in the variables off the sides of the box, and the rows that bind are at their bounds.

Where the gradients of all rows that may bind are independent in the whole box, the equations bound lam. If no lam of
an inequality and no slope g + J' lam at a side of the box can be zero, these bind at every minimiser. Then Newton's
test of existence and uniqueness is one of minimisers, where the Hessian of the Lagrangian is positive in the directions
that the rows leave.

[1] E. R. Hansen and G. W. Walster, Global Optimization Using Interval Analysis (Dekker, 2004), chapter 13.
"""

from typing import NamedTuple

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof import newton, verified
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.model import Model

WIDER = (1e3, 3e1, 1.0)  # of a box, by which it is made larger: its minimiser has to lie inside
STEPS = 6  # of Newton's test more, while it makes the box smaller
LEAST = 1e-9  # of the search, what it is made larger by at least
PENALTIES = (1e0, 1e2, 1e4, 1e6)  # of the rows that bind, with which the Hessian may be positive


class System(NamedTuple):
    """What goes into the KKT system in a box, (n, 1) or (m, 1) each but for the matrices.

    Attributes:
        g, J: the gradient, (n,), and the Jacobian of the rows, (n, m).
        H, C: the Hessians of fun, (n, n), and of the rows, (n, n, m).
        c: the rows, (m,).
    """

    g: Interval
    J: Interval
    H: Interval
    C: Interval
    c: Interval


class Only(NamedTuple):
    """The only minimiser of a box.

    Attributes:
        low, high: (n,) the box.
        tiny: the ends of the box in which it lies, each (n,).
    """

    low: np.ndarray
    high: np.ndarray
    tiny: tuple[np.ndarray, np.ndarray]


def only_one(
    model: Model, lo: np.ndarray, hi: np.ndarray, low: np.ndarray, high: np.ndarray, whole: np.ndarray | None
) -> Only | None:
    """The only minimiser of a box that is larger than lo..hi; None where there may be none, or several.

    low, high: (n,) the bounds of the search; whole: (n,) which variables are whole numbers.
    """
    still = (low == high) | (False if whole is None else whole)
    if model.rows is None or not model.curves or np.any(still & (lo < hi)):
        return None
    with np.errstate(all="ignore"):
        for wider in WIDER:
            by = np.where(still, 0.0, wider * (hi - lo) + LEAST * (high - low))
            a, b = np.maximum(lo - by, low), np.minimum(hi + by, high)
            tiny = _only_one(model, a, b, (a <= low) & ~still, (b >= high) & ~still, still)
            if tiny is not None:
                return Only(a, b, smaller(model, *tiny, low, high, still))
    return None


def smaller(model: Model, lo: np.ndarray, hi: np.ndarray, low: np.ndarray, high: np.ndarray, still: np.ndarray):
    """The ends of a box in which the only minimiser lies, by the same test of what is about it."""
    for _ in range(STEPS):
        by = np.where(still, 0.0, 0.5 * (hi - lo) + 1e-15 * (high - low))
        a, b = np.maximum(lo - by, low), np.minimum(hi + by, high)
        tiny = _only_one(model, a, b, (a <= low) & ~still, (b >= high) & ~still, still)
        if tiny is None or np.max(tiny[1] - tiny[0]) > 0.5 * np.max(hi - lo):
            break
        lo, hi = tiny
    return lo, hi


def _only_one(model: Model, a, b, at_low: np.ndarray, at_high: np.ndarray, still: np.ndarray):
    """The ends of the box in which the minimiser of a..b lies; at_low, at_high: the sides of the search that it has."""
    rows = model.rows
    if rows is None or np.any(at_low & at_high) or (found := system(model, a, b)) is None:
        return None
    top, bottom = found.c.hi >= rows.upper, found.c.lo <= rows.lower
    equal = rows.lower == rows.upper
    if np.any(top & bottom & ~equal):
        return None
    active, free = np.flatnonzero(top | bottom | equal), np.flatnonzero(~(still | at_low | at_high))
    lam = multipliers(found, active, free)
    if lam is None or np.any(((top & ~equal)[active] & (lam.lo <= 0)) | ((bottom & ~equal)[active] & (lam.hi >= 0))):
        return None
    J = Interval(found.J.lo[:, active], found.J.hi[:, active])
    slope = iv.add(found.g, iv.total(iv.mul(J, Interval(lam.lo[None], lam.hi[None])), (1,)))
    if np.any(at_low & (slope.lo <= 0)) or np.any(at_high & (slope.hi >= 0)):
        return None
    a, b = np.where(at_high, b, a), np.where(at_low, a, b)  # at every minimiser
    bound = np.where(top, rows.upper, rows.lower)[active]
    return proven(model, a, b, active, free, lam, bound)


def system(model: Model, a: np.ndarray, b: np.ndarray) -> System | None:
    """What is known in a box; None where fun or a row has a kink, or is not known to be finite."""
    n, rows = model.n, model.rows
    seen = model.value(Interval(a[:, None], b[:, None]))
    if rows is None or seen.rows is None or not (seen.smooth[0] and seen.rows.smooth[0]):
        return None
    G, kinked = model.slope(seen)
    J, usable = model.row_slopes(seen)
    H, curved = model.curvature(seen, kinked)
    C, smooth = model.row_curvature(seen)
    if not (usable[0] and curved[0] and smooth):
        return None
    parts = [Interval(end.lo[..., 0], end.hi[..., 0]) for end in (G, J, H, C, seen.rows.c)]
    finite = all(np.isfinite(part.lo).all() and np.isfinite(part.hi).all() for part in parts)
    return System(*parts) if finite and parts[0].lo.shape == (n,) else None


def multipliers(s: System, active: np.ndarray, free: np.ndarray) -> Interval | None:
    """Bounds of lam at every KKT point, (k,); None where the gradients may depend on each other."""
    k = len(active)
    if k > len(free):
        return None
    if not k:
        return Interval(np.zeros(0), np.zeros(0))
    J, g = (Interval(end.lo[free], end.hi[free]) for end in (s.J, s.g))
    J = Interval(J.lo[:, active], J.hi[:, active])
    W = np.linalg.pinv(0.5 * (J.lo + J.hi))  # (k, free)
    if not np.isfinite(W).all():
        return None
    product = lambda M: verified.product(W[None], Interval(M.lo[None], M.hi[None]))  # noqa: E731
    WJ, Wg = product(J), product(Interval(g.lo[:, None], g.hi[:, None]))
    off = np.maximum(abs(WJ.lo[0] - np.eye(k)), abs(WJ.hi[0] - np.eye(k))) * (1 + 4 * iv.EPS) + 4 * iv.EPS
    spread = iv.up(off.sum(1), k + 4)
    if not np.all(spread < 1):
        return None
    b = iv.neg(Interval(Wg.lo[0, :, 0], Wg.hi[0, :, 0]))  # (I + E) lam = b with |E| <= off
    most = float(iv.up(np.max(iv.size(b).hi) / (1 - np.max(spread)), 4))
    slack = iv.up(spread * most, 2)
    return Interval(iv.down(b.lo - slack), iv.up(b.hi + slack))


def proven(model: Model, a: np.ndarray, b: np.ndarray, active: np.ndarray, free: np.ndarray, lam: Interval, bound):
    """Newton's test in the free variables and the multipliers, and whether its zero is a minimum."""
    c = np.clip(0.5 * (a + b), a, b)
    s, at = system(model, a, b), system(model, c, c)
    if s is None or at is None:
        return None
    n, k = len(free), len(active)
    if n + k == 0:  # a corner of the search, which no row can reach
        return a, b
    weights = Interval(lam.lo[None, None], lam.hi[None, None])
    rows = lambda part: Interval(part.lo[..., active], part.hi[..., active])  # noqa: E731
    square = lambda part: Interval(part.lo[np.ix_(free, free)], part.hi[np.ix_(free, free)])  # noqa: E731
    L = square(iv.add(s.H, iv.total(iv.mul(rows(s.C), weights), (2,))))
    J = Interval(rows(s.J).lo[free], rows(s.J).hi[free])
    if not positive(L, J):
        return None
    middle = np.clip(0.5 * (lam.lo + lam.hi), lam.lo, lam.hi)
    own = Interval(middle[None], middle[None])
    slope = iv.add(at.g, iv.total(iv.mul(rows(at.J), own), (1,)))
    lack = iv.sub(rows(at.c), Interval(bound, bound))
    M = [np.block([[h, j], [j.T, np.zeros((k, k))]])[..., None] for h, j in zip(L, J, strict=True)]
    F = [np.concatenate([f[free], r])[:, None] for f, r in zip(slope, lack, strict=True)]
    Z = [np.concatenate([x[free], y])[:, None] for x, y in ((a, lam.lo), (b, lam.hi))]
    point = np.concatenate([c[free], middle])[:, None]
    good, every = np.ones(1, bool), np.ones((n + k, 1), bool)
    N, _, inside = newton.step(Interval(*Z), point, Interval(*F), Interval(*M), every, good)
    if not inside[0]:
        return None
    a, b = a.copy(), b.copy()
    a[free], b[free] = N.lo[:n, 0], N.hi[:n, 0]
    return a, b


def positive(L: Interval, J: Interval) -> bool:
    """Whether L is positive in all directions in which J' d = 0: then it is with a penalty of the rows, somewhere."""
    n, k = J.lo.shape
    if n == 0 or k == n:  # no direction is left, as the gradients of the rows are independent
        return True
    square = iv.total(iv.mul(Interval(J.lo[:, None], J.hi[:, None]), Interval(J.lo[None], J.hi[None])), (2,))
    size = np.max(iv.size(L).hi, initial=0.0) / max(float(np.max(iv.size(square).hi, initial=0.0)), 1e-300)
    for penalty in PENALTIES if k else (0.0,):
        weight = np.asarray(penalty * size)
        whole = iv.add(L, iv.mul(square, Interval(weight, weight)))
        if newton.convex(Interval(whole.lo[..., None], whole.hi[..., None]), np.ones((n, 1), bool))[0]:
            return True
    return False
