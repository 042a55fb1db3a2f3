"""Elementary functions of intervals: increasing ones by their ends, waves by their turning points, and their inverses.

How far an end is moved outward rests on the accuracy that JAX publishes for its functions in float64 on CPUs and GPUs
[1], and on four units in the last place for NumPy's: twice the larger of the two, and one more.

[1] JAX documentation, "Accuracy of elementary functions" (docs/accuracy.md).
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof.intervals import EPS, INF, Interval

ULPS = {
    "exp": 9, "log": 9, "log1p": 9, "expm1": 10, "sqrt": 2, "cbrt": 9, "sin": 9, "cos": 9, "tan": 9, "tanh": 15,
    "sinh": 993, "cosh": 993, "asin": 9, "acos": 9, "atan": 9, "asinh": 33, "acosh": 33, "atanh": 33, "logistic": 10,
    "erf": 9, "erfc": 701, "digamma": 200, "lgamma": 200,
}  # fmt: skip
TURN = 2 * np.pi
PI = Interval(np.asarray(np.pi), np.nextafter(np.asarray(np.pi), 4))  # the float is below pi
LEAST_GAMMA = 1.4616321449683623  # where lgamma is least, and
LEAST_LGAMMA = -0.12148629053584962  # its value there
SMALL = -700.0  # exponents below which the exponential counts as zero, or as more than it is
PIECES = (1, 0, -1, 2)  # of a wave's inverse: the far ones, the near ones, which count if they reach the end, one more
FAR = 1e6  # beyond, the way back through a wave says nothing


@functools.cache
def named(name: str) -> Callable[..., Any]:
    """The function in NumPy or SciPy."""
    if name in INVERSES:
        return getattr(np, "arc" + name[1:])
    if name in SPECIAL:
        from scipy import special  # takes a while to import

        return getattr(special, SPECIAL[name])
    return getattr(np, name)


INVERSES = {"asin", "acos", "atan", "asinh", "acosh", "atanh"}
SPECIAL = {"erf": "erf", "erfc": "erfc", "logistic": "expit", "digamma": "digamma", "lgamma": "gammaln",
           "trigamma": "zeta"}  # fmt: skip
# of increasing functions: the least and the greatest number at which they are asked, and their range
DOMAIN = {
    "log": (0.0, INF), "log1p": (-1.0, INF), "sqrt": (0.0, INF), "asin": (-1.0, 1.0), "acosh": (1.0, INF),
    "atanh": (-1.0, 1.0), "digamma": (0.0, INF),
}  # fmt: skip
RANGE = {
    "exp": (0.0, INF), "sqrt": (0.0, INF), "expm1": (-1.0, INF), "tanh": (-1.0, 1.0), "logistic": (0.0, 1.0),
    "erf": (-1.0, 1.0), "acosh": (0.0, INF),
}  # fmt: skip


def increasing(name: str, a: Interval) -> Interval:
    """The rule of an increasing function, for the part of a in its domain; it tends to -inf or inf at open ends."""
    fun, ulps = named(name), ULPS[name]
    lo, hi = a
    if name in DOMAIN:
        low, high = DOMAIN[name]
        lo, hi = (np.minimum(np.maximum(end, low), high) for end in a)
    if name == "digamma":  # SciPy has NaN at the pole
        f, g = fun(np.where(lo > 0, lo, 1.0)), fun(np.where(hi > 0, hi, 1.0))
        f, g = np.where(lo > 0, f, -INF), np.where(hi > 0, g, -INF)
        return Interval(f - abs(f) * (ulps * EPS) - 1e-12, g + abs(g) * (ulps * EPS) + 1e-12)
    below, above = iv.down(fun(lo), ulps), iv.up(fun(hi), ulps)
    if name in RANGE:
        least, greatest = RANGE[name]
        below, above = (np.minimum(np.maximum(end, least), greatest) for end in (below, above))
    return Interval(below, above)


def exp(a: Interval) -> Interval:
    """The exponential."""
    return increasing("exp", a)


def log(a: Interval) -> Interval:
    """The logarithm of what is positive in a."""
    return increasing("log", a)


def sqrt(a: Interval) -> Interval:
    """The root of what is not negative in a."""
    return increasing("sqrt", a)


def acos(a: Interval) -> Interval:
    """The decreasing arc cosine, of what is in [-1, 1]."""
    u = ULPS["acos"]
    lo, hi = np.clip(a.lo, -1.0, 1.0), np.clip(a.hi, -1.0, 1.0)
    return Interval(np.maximum(iv.down(np.arccos(hi), u), 0.0), iv.up(np.arccos(lo), u))


def erfc(a: Interval) -> Interval:
    """The decreasing complement of erf."""
    fun, u = named("erfc"), ULPS["erfc"]
    return Interval(np.clip(iv.down(fun(a.hi), u), 0.0, 2.0), np.clip(iv.up(fun(a.lo), u), 0.0, 2.0))


def cosh(a: Interval) -> Interval:
    """The hyperbolic cosine, of |a|."""
    u, s = ULPS["cosh"], iv.size(a)
    return Interval(np.maximum(iv.down(np.cosh(s.lo), u), 1.0), iv.up(np.cosh(s.hi), u))


def lgamma(a: Interval) -> Interval:
    """The logarithm of the gamma function where a is positive, all real numbers elsewhere; convex on the right."""
    fun = named("lgamma")
    right = a.lo > 0
    f, g = fun(np.where(right, a.lo, 1.0)), fun(np.where(right, a.hi, 1.0))
    slack = lambda v: abs(v) * (ULPS["lgamma"] * EPS) + 1e-13  # noqa: E731  # near its zeros at 1 and 2
    lo = np.where(a.hi <= LEAST_GAMMA, g, np.where(a.lo >= LEAST_GAMMA, f, LEAST_LGAMMA))
    lo, hi = lo - slack(lo), np.maximum(f, g)
    hi = hi + slack(hi)
    return Interval(np.where(right & (lo == lo), lo, -INF), np.where(right & (hi == hi), hi, INF))


def trigamma(a: Interval) -> Interval:
    """The derivative of digamma where a is positive, all positive numbers elsewhere; decreasing on the right."""
    right, u = a.lo > 0, ULPS["digamma"]
    fun = named("trigamma")  # zeta(2, x)
    f, g = (fun(2.0, np.where(right, end, 1.0)) for end in (a.hi, a.lo))
    lo, hi = np.maximum(iv.down(f, u), 0.0), iv.up(g, u)
    return Interval(np.where(right & (lo == lo), lo, 0.0), np.where(right & (hi == hi), hi, INF))


def xlogx(a: Interval) -> Interval:
    """U log u of what is positive in a: convex, zero at zero, least at 1/e."""
    lo, hi = positive(a)
    f, g = (np.where(u > 0, u * np.log(np.where(u > 0, u, 1.0)), 0.0) for u in (lo, hi))
    least = np.where((lo <= 0.3679) & (hi >= 0.3678), -0.36787944117144240, np.minimum(f, g))
    top = np.maximum(f, g)
    return Interval(iv.down(least, ULPS["log"] + 2), iv.up(top, ULPS["log"] + 2))


def log_sum_exp(a: Interval, axes: tuple[int, ...]) -> Interval:
    """Log sum exp along axes, which rises with every entry."""
    ends, count = [], int(np.prod([a.lo.shape[d] for d in axes], dtype=int))
    for end, sign in ((a.lo, -1.0), (a.hi, 1.0)):
        top = end.max(axes, keepdims=True)
        known = np.isfinite(top)
        total = np.exp(np.where(known, end - np.where(known, top, 0.0), -INF)).sum(axes)
        m, known = top.reshape(total.shape), known.reshape(total.shape)
        out = np.where(known, np.log(np.where(known, total, 1.0)) + np.where(known, m, 0.0), m)
        slack = EPS * (2 * count + 2 * ULPS["exp"] + 8 + 8 * abs(m) + 8 * abs(out))
        ends.append(np.where(known, out + sign * slack, m))
    return Interval(np.minimum(ends[0], iv.MAX), np.maximum(ends[1], -iv.MAX))


def shares(a: Interval, axes: tuple[int, ...]) -> Interval:
    """Exp(x) / sum exp(x) along axes: each rises with its own entry and falls with all others."""
    top = a.hi.max(axes, keepdims=True)
    known, top = np.isfinite(top), np.where(np.isfinite(top), top, 0.0)
    low, high = (np.where(known, end - top, -INF) for end in a)
    low, high = np.where(low < SMALL, 0.0, np.exp(low)), np.exp(high) + 2 * np.exp(SMALL)  # without subnormal numbers
    count = int(np.prod([a.lo.shape[d] for d in axes], dtype=int))
    slack = EPS * (count + 2 * ULPS["exp"] + 8 - SMALL)  # exponents are rounded differences

    def part(own: Any, others: Any, way: float) -> Any:
        rest = np.maximum(others.sum(axes, keepdims=True) * (1 + way * slack) - others * (1 - way * slack), 0.0)
        return own / np.where(own + rest > 0, own + rest, 1.0)

    lo, hi = part(low, high, 1.0) * (1 - 4 * slack), part(high, low, -1.0) * (1 + 4 * slack) + iv.TINY
    return Interval(np.where(known, np.maximum(lo - iv.TINY, 0.0), 0.0), np.where(known, np.minimum(hi, 1.0), 1.0))


@functools.cache
def per(period: float) -> Interval:
    """1 / period, for a period that is rounded."""
    return iv.reciprocal(Interval(np.asarray(period), np.asarray(period * (1 + EPS))))


def turns(a: Interval, period: float) -> Interval:
    """A in units of a period that is itself rounded."""
    t = iv.mul(a, per(period))
    return Interval(iv.down(t.lo, 2), iv.up(t.hi, 2))


def holds_integer(t: Interval, at: float) -> Any:
    """Whether t - at may have a whole number in it."""
    lo, hi = iv.down(t.lo - at), iv.up(t.hi - at)
    return ~(np.floor(hi) < lo)


def wave(name: str, a: Interval) -> Interval:
    """Sine or cosine: the turning points of what a reaches, else the ends."""
    ulps = ULPS[name]
    top, bottom = (0.25, 0.75) if name == "sin" else (0.0, 0.5)
    fun, t = getattr(np, name), turns(a, TURN)
    finite = (a.lo > -1e15) & (a.hi < 1e15)  # beyond, one turn is not resolved
    p, q = fun(np.where(finite, a.lo, 0.0)), fun(np.where(finite, a.hi, 0.0))
    lo = np.where(~finite | holds_integer(t, bottom), -1.0, np.maximum(iv.down(np.minimum(p, q), ulps), -1.0))
    hi = np.where(~finite | holds_integer(t, top), 1.0, np.minimum(iv.up(np.maximum(p, q), ulps), 1.0))
    return Interval(lo, hi)


def tan(a: Interval) -> tuple[Interval, Any]:
    """The tangent, and where a may hold a pole."""
    ulps = ULPS["tan"]
    pole = holds_integer(turns(a, np.pi), 0.5) | ~((a.lo > -1e15) & (a.hi < 1e15))
    lo, hi = np.tan(np.where(pole, 0.0, a.lo)), np.tan(np.where(pole, 0.0, a.hi))
    return Interval(np.where(pole, -INF, iv.down(lo, ulps)), np.where(pole, INF, iv.up(hi, ulps))), pole


def positive(z: Interval) -> Interval:
    """The part of z that is not negative; zero where there is none."""
    return Interval(np.maximum(z.lo, 0.0), np.maximum(z.hi, 0.0))


def root(z: Interval, y: int) -> Interval:
    """The root of the part of z that is not negative."""
    if y == 2:
        return sqrt(z)
    out = exp(iv.mul(log(positive(z)), iv.reciprocal(Interval(np.asarray(float(y)), np.asarray(float(y))))))
    return Interval(np.where(z.lo > 0, out.lo, 0.0), np.where(z.hi > 0, out.hi, 0.0))


def odd_root(z: Interval, y: int) -> Interval:
    """The real root of an odd power."""
    p, q = root(Interval(abs(z.lo), abs(z.lo)), y), root(Interval(abs(z.hi), abs(z.hi)), y)
    return Interval(np.where(z.lo >= 0, p.lo, -p.hi), np.where(z.hi >= 0, q.hi, -q.lo))


def two_sided(a: Interval, s: Interval) -> Interval:
    """The hull of the x in a with |x| in s."""
    lo, hi = np.maximum(a.lo, -s.hi), np.minimum(a.hi, s.hi)
    return Interval(np.where(lo > -s.lo, np.maximum(lo, s.lo), lo), np.where(hi < s.lo, np.minimum(hi, -s.lo), hi))


def unwave(name: str, a: Interval, z: Interval) -> Interval:
    """The hull of the x in a with sin x, or cos x, in z.

    With p = arccos z, the x with cos x in z are the pieces j pi + p for even j and j pi + (pi - p) for odd j.
    """
    quarter = Interval(PI.lo / 2, PI.hi / 2)
    x = iv.sub(a, quarter) if name == "sin" else a
    p = acos(z)
    p = Interval(np.maximum(p.lo, 0.0), p.hi)
    q = iv.sub(PI, p)

    first, last = np.floor(x.lo / np.pi), np.floor(x.hi / np.pi)
    j = np.stack([*(first + step for step in PIECES), *(last - step for step in PIECES)])
    odd = j - 2 * np.floor(j / 2) == 1
    piece = iv.add(iv.mul(Interval(j, j), PI), Interval(np.where(odd, q.lo, p.lo), np.where(odd, q.hi, p.hi)))
    lo, hi = np.full_like(first, INF), np.full_like(last, -INF)
    for k in range(3):
        lo = np.where(piece.hi[k] >= x.lo, np.maximum(piece.lo[k], x.lo), lo)
        hi = np.where(piece.lo[4 + k] <= x.hi, np.minimum(piece.hi[4 + k], x.hi), hi)
    lo, hi = np.where(lo == INF, piece.lo[3], lo), np.where(hi == -INF, piece.hi[7], hi)
    new = Interval(lo, hi)
    if name == "sin":
        new = iv.add(new, quarter)
    far = ~(abs(a.lo) + abs(a.hi) < FAR) | ~((z.lo <= 1) & (z.hi >= -1))
    return Interval(np.where(far, a.lo, new.lo), np.where(far, a.hi, new.hi))


def vertex(a: Any, b: Any) -> tuple[Interval, Interval]:
    """H and k of a u^2 + b u = a (u + h)^2 - k, for numbers that are known exactly."""
    square = iv.square(Interval(b, b))
    return iv.div(Interval(b, b), Interval(2 * a, 2 * a)), iv.div(square, Interval(4 * a, 4 * a))


def quadratic(a: Any, b: Any, hk: tuple[Interval, Interval], u: Interval) -> Interval:
    """A u^2 + b u, as a complete square and as it stands: both hold; hk: its vertex."""
    h, k = hk
    whole = iv.sub(iv.mul(iv.square(iv.add(u, h)), Interval(a, a)), k)
    parts = iv.add(iv.mul(iv.square(u), Interval(a, a)), iv.mul(u, Interval(b, b)))
    return iv.meet(whole, parts)


def unquadratic(a: Any, hk: tuple[Interval, Interval], u: Interval, z: Interval) -> Interval:
    """The hull of the u with a u^2 + b u in z; hk: its vertex."""
    h, k = hk
    size = sqrt(positive(iv.div(iv.add(z, k), Interval(a, a))))
    return iv.sub(two_sided(iv.add(u, h), size), h)
