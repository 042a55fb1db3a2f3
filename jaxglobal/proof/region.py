"""The surroundings of a known minimum: the largest box in which fun is proven convex, with one proven minimiser.

A variable that is held at a bound of the search, since fun rises from there, is no longer free. In the others the
Hessian is positive definite, and a contracting Newton step shows that the gradient has a zero there, and no other.
"""

from typing import NamedTuple

import numpy as np

from jaxglobal.proof import newton
from jaxglobal.proof.intervals import EPS, Interval
from jaxglobal.proof.model import Model

LEVELS = 48  # boxes about the point that are tried, each half as wide as the one before
SIZES = 26  # boxes about the minimiser that are tried, each four times as wide


class Region(NamedTuple):
    """What is proven about a minimum.

    Attributes:
        low, high: (n,) the box in which it is the only minimiser.
        tiny: the ends of the box in which it lies, each (n,).
        least, most: bounds of fun there.
    """

    low: np.ndarray
    high: np.ndarray
    tiny: tuple[np.ndarray, np.ndarray]
    least: float
    most: float


def region(
    model: Model, x: np.ndarray, low: np.ndarray, high: np.ndarray, whole: np.ndarray | None = None
) -> Region | None:
    """The region about x in the box of a search; None where nothing can be proven.

    whole: (n,) variables that are whole numbers: the region has those of x. Under constraints it is one of fun alone,
    whose minimiser is proven to keep them.
    """
    if not model.curves:
        return None
    x = np.asarray(x, float)
    if whole is not None:  # in this slice of the box
        x = np.where(whole, np.clip(np.rint(x), low, high), x)
        low, high = np.where(whole, x, low), np.where(whole, x, high)
    with np.errstate(all="ignore"):
        found = _region(model, x, low, high)
        if found is None or model.rows is None:
            return found
        seen = model.value(Interval(found.tiny[0][:, None], found.tiny[1][:, None]))
        return found if seen.rows is not None and seen.rows.all[0] else None


def _region(model: Model, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> Region | None:
    L, U = low[:, None], high[:, None]
    r = (U - L) * 2.0 ** -np.arange(LEVELS)
    X = Interval(np.maximum(x[:, None] - r, L), np.minimum(x[:, None] + r, U))
    seen = model.value(X)
    G, kinked = model.slope(seen)
    H, usable = model.curvature(seen, kinked)
    at_low, at_high = (X.lo <= L) & (G.lo > 0), (X.hi >= U) & (G.hi < 0)
    fixed = (L == U) | at_low | at_high
    ok = newton.convex(H, ~fixed) & usable
    if not ok.any():
        return None
    k = int(np.argmax(ok))
    lo, hi, free = X.lo[:, k], X.hi[:, k], ~fixed[:, k]
    c = np.where(at_low[:, k], low, np.where(at_high[:, k], high, np.clip(x, lo, hi)))
    c = polished(model, c, free)
    if c is None or not (np.all(c >= lo) and np.all(c <= hi)):
        return None
    if not free.any():
        tiny = (c, c)
    else:
        found = only_one(model, c, free, lo, hi, high - low)
        if found is None:
            return None
        tiny = found
    f = model.value(Interval(tiny[0][:, None], tiny[1][:, None]))
    return Region(lo, hi, tiny, float(f.f.lo[0]), float(f.f.hi[0]))


def polished(model: Model, c: np.ndarray, free: np.ndarray) -> np.ndarray | None:
    """A few Newton steps in the free variables."""
    c = c.copy()
    for _ in range(4 if free.any() else 0):
        seen = model.value(Interval(c[:, None], c[:, None]))
        G, kinked = model.slope(seen)
        H, _ = model.curvature(seen, kinked)
        g, h = (0.5 * (part.lo + part.hi)[..., 0] for part in (G, H))
        if not (np.isfinite(g).all() and np.isfinite(h).all()):
            return None
        c[free] -= np.linalg.lstsq(h[np.ix_(free, free)], g[free], rcond=None)[0]
    return c if np.isfinite(c).all() else None


def only_one(model: Model, c: np.ndarray, free: np.ndarray, lo: np.ndarray, hi: np.ndarray, width: np.ndarray):
    """The ends of the smallest box about c that is proven to hold exactly one zero of the gradient."""
    size = np.where(free, np.maximum(abs(c), 1e-4 * width), 0.0)[:, None] * (EPS * 4.0 ** np.arange(SIZES))
    centre = np.broadcast_to(c[:, None], size.shape)
    X = Interval(np.maximum(centre - size, lo[:, None]), np.minimum(centre + size, hi[:, None]))
    seen = model.value(X)
    _, kinked = model.slope(seen)
    H, usable = model.curvature(seen, kinked)
    at = model.value(Interval(centre, centre))
    g, _ = model.slope(at)
    N, _, inside = newton.step(X, centre, g, H, np.broadcast_to(free[:, None], size.shape), usable)
    good = inside & usable
    if not good.any():
        return None
    j = int(np.argmax(good))
    return N.lo[:, j], N.hi[:, j]
