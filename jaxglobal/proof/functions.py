"""Elementary functions of intervals: increasing ones by their ends, waves by their turning points, and their inverses.

How far an end is moved outward rests on the accuracy that JAX publishes for its functions in float64 on CPUs and GPUs
[1], and on four units in the last place for NumPy's: twice the larger of the two, and one more.

[1] JAX documentation, "Accuracy of elementary functions" (docs/accuracy.md).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from jaxglobal.proof.intervals import EPS, INF, Arithmetic, Interval

ULPS = {
    "exp": 9, "log": 9, "log1p": 9, "expm1": 10, "sqrt": 2, "cbrt": 9, "sin": 9, "cos": 9, "tan": 9, "tanh": 15,
    "sinh": 993, "cosh": 993, "asin": 9, "acos": 9, "atan": 9, "asinh": 33, "acosh": 33, "atanh": 33, "logistic": 10,
    "erf": 9, "erfc": 701, "digamma": 200, "lgamma": 200,
}  # fmt: skip
TURN = 2 * np.pi
PI = Interval(np.asarray(np.pi), np.nextafter(np.asarray(np.pi), 4))  # the float is below pi
LEAST_GAMMA = 1.4616321449683623  # where lgamma is least, and
LEAST_LGAMMA = -0.12148629053584962  # its value there
FAR = 1e6  # beyond, the way back through a wave says nothing


def named(A: Arithmetic, name: str) -> Callable[[Any], Any]:
    """The function in NumPy, SciPy or JAX."""
    if name in INVERSES:
        return getattr(A.xp, "arc" + name[1:])
    if name in SPECIAL:
        if A.eager:
            return getattr(special, SPECIAL[name])
        from jax.scipy import special as traced

        return getattr(traced, SPECIAL[name])
    return getattr(A.xp, name)


INVERSES = {"asin", "acos", "atan", "asinh", "acosh", "atanh"}
SPECIAL = {"erf": "erf", "erfc": "erfc", "logistic": "expit", "digamma": "digamma", "lgamma": "gammaln"}
# of increasing functions: the least and the greatest number at which they are asked, and their range
DOMAIN = {
    "log": (0.0, INF), "log1p": (-1.0, INF), "sqrt": (0.0, INF), "asin": (-1.0, 1.0), "acosh": (1.0, INF),
    "atanh": (-1.0, 1.0), "digamma": (0.0, INF),
}  # fmt: skip
RANGE = {
    "exp": (0.0, INF), "sqrt": (0.0, INF), "expm1": (-1.0, INF), "tanh": (-1.0, 1.0), "logistic": (0.0, 1.0),
    "erf": (-1.0, 1.0), "acosh": (0.0, INF),
}  # fmt: skip
INCREASING = (
    "exp", "log", "log1p", "expm1", "sqrt", "cbrt", "tanh", "sinh", "asin", "atan", "asinh", "acosh", "atanh", "logistic",
    "erf", "digamma",
)  # fmt: skip


def increasing(A: Arithmetic, name: str, a: Interval) -> Interval:
    """The rule of an increasing function, for the part of a in its domain; it tends to -inf or inf at open ends."""
    xp, fun, ulps = A.xp, named(A, name), ULPS[name]
    lo, hi = a
    if name in DOMAIN:
        low, high = DOMAIN[name]
        lo, hi = xp.clip(lo, low, high), xp.clip(hi, low, high)
    if name == "digamma":  # SciPy has NaN at the pole
        f, g = fun(xp.where(lo > 0, lo, 1.0)), fun(xp.where(hi > 0, hi, 1.0))
        f, g = xp.where(lo > 0, f, -INF), xp.where(hi > 0, g, -INF)
        return Interval(f - abs(f) * (ulps * EPS) - 1e-12, g + abs(g) * (ulps * EPS) + 1e-12)
    below, above = A.down(fun(lo), ulps), A.up(fun(hi), ulps)
    if name in RANGE:
        least, greatest = RANGE[name]
        below, above = xp.clip(below, least, greatest), xp.clip(above, least, greatest)
    return Interval(below, above)


def exp(A: Arithmetic, a: Interval) -> Interval:
    """The exponential."""
    return increasing(A, "exp", a)


def log(A: Arithmetic, a: Interval) -> Interval:
    """The logarithm of what is positive in a."""
    return increasing(A, "log", a)


def sqrt(A: Arithmetic, a: Interval) -> Interval:
    """The root of what is not negative in a."""
    return increasing(A, "sqrt", a)


def acos(A: Arithmetic, a: Interval) -> Interval:
    """The decreasing arc cosine, of what is in [-1, 1]."""
    xp, u = A.xp, ULPS["acos"]
    lo, hi = xp.clip(a.lo, -1.0, 1.0), xp.clip(a.hi, -1.0, 1.0)
    return Interval(xp.maximum(A.down(xp.arccos(hi), u), 0.0), A.up(xp.arccos(lo), u))


def erfc(A: Arithmetic, a: Interval) -> Interval:
    """The decreasing complement of erf."""
    fun, u = named(A, "erfc"), ULPS["erfc"]
    return Interval(A.xp.clip(A.down(fun(a.hi), u), 0.0, 2.0), A.xp.clip(A.up(fun(a.lo), u), 0.0, 2.0))


def cosh(A: Arithmetic, a: Interval) -> Interval:
    """The hyperbolic cosine, of |a|."""
    xp, u, s = A.xp, ULPS["cosh"], A.size(a)
    return Interval(xp.maximum(A.down(xp.cosh(s.lo), u), 1.0), A.up(xp.cosh(s.hi), u))


def lgamma(A: Arithmetic, a: Interval) -> Interval:
    """The logarithm of the gamma function where a is positive, all real numbers elsewhere; convex on the right."""
    xp, fun = A.xp, named(A, "lgamma")
    right = a.lo > 0
    f, g = fun(xp.where(right, a.lo, 1.0)), fun(xp.where(right, a.hi, 1.0))
    slack = lambda v: abs(v) * (ULPS["lgamma"] * EPS) + 1e-13  # noqa: E731  # near its zeros at 1 and 2
    lo = xp.where(a.hi <= LEAST_GAMMA, g, xp.where(a.lo >= LEAST_GAMMA, f, LEAST_LGAMMA))
    lo, hi = lo - slack(lo), xp.maximum(f, g)
    hi = hi + slack(hi)
    return Interval(xp.where(right & (lo == lo), lo, -INF), xp.where(right & (hi == hi), hi, INF))


def turns(A: Arithmetic, a: Interval, period: float) -> Interval:
    """a in units of a period that is itself rounded."""
    t = A.mul(a, A.reciprocal(Interval(np.asarray(period), np.asarray(period * (1 + EPS)))))
    return Interval(A.down(t.lo, 2), A.up(t.hi, 2))


def holds_integer(A: Arithmetic, t: Interval, at: float) -> Any:
    """Whether t - at may have a whole number in it."""
    lo, hi = A.down(t.lo - at), A.up(t.hi - at)
    return ~(A.xp.floor(hi) < lo)


def wave(A: Arithmetic, name: str, a: Interval) -> Interval:
    """Sine or cosine: the turning points of what a reaches, else the ends."""
    xp, ulps = A.xp, ULPS[name]
    top, bottom = (0.25, 0.75) if name == "sin" else (0.0, 0.5)
    fun, t = getattr(xp, name), turns(A, a, TURN)
    finite = (a.lo > -1e15) & (a.hi < 1e15)  # beyond, one turn is not resolved
    p, q = fun(xp.where(finite, a.lo, 0.0)), fun(xp.where(finite, a.hi, 0.0))
    lo = xp.where(~finite | holds_integer(A, t, bottom), -1.0, xp.maximum(A.down(xp.minimum(p, q), ulps), -1.0))
    hi = xp.where(~finite | holds_integer(A, t, top), 1.0, xp.minimum(A.up(xp.maximum(p, q), ulps), 1.0))
    return Interval(lo, hi)


def tan(A: Arithmetic, a: Interval) -> tuple[Interval, Any]:
    """The tangent, and where a may hold a pole."""
    xp, ulps = A.xp, ULPS["tan"]
    pole = holds_integer(A, turns(A, a, np.pi), 0.5) | ~((a.lo > -1e15) & (a.hi < 1e15))
    lo, hi = xp.tan(xp.where(pole, 0.0, a.lo)), xp.tan(xp.where(pole, 0.0, a.hi))
    return Interval(xp.where(pole, -INF, A.down(lo, ulps)), xp.where(pole, INF, A.up(hi, ulps))), pole


def positive(A: Arithmetic, z: Interval) -> Interval:
    """The part of z that is not negative; zero where there is none."""
    return Interval(A.xp.maximum(z.lo, 0.0), A.xp.maximum(z.hi, 0.0))


def root(A: Arithmetic, z: Interval, y: int) -> Interval:
    """The root of the part of z that is not negative."""
    if y == 2:
        return sqrt(A, z)
    out = exp(A, A.mul(log(A, positive(A, z)), A.reciprocal(Interval(np.asarray(float(y)), np.asarray(float(y))))))
    return Interval(A.xp.where(z.lo > 0, out.lo, 0.0), A.xp.where(z.hi > 0, out.hi, 0.0))


def odd_root(A: Arithmetic, z: Interval, y: int) -> Interval:
    """The real root of an odd power."""
    xp = A.xp
    p, q = root(A, Interval(abs(z.lo), abs(z.lo)), y), root(A, Interval(abs(z.hi), abs(z.hi)), y)
    return Interval(xp.where(z.lo >= 0, p.lo, -p.hi), xp.where(z.hi >= 0, q.hi, -q.lo))


def two_sided(A: Arithmetic, a: Interval, s: Interval) -> Interval:
    """The hull of the x in a with |x| in s."""
    xp = A.xp
    lo, hi = xp.maximum(a.lo, -s.hi), xp.minimum(a.hi, s.hi)
    return Interval(
        xp.where(lo > -s.lo, xp.maximum(lo, s.lo), lo), xp.where(hi < s.lo, xp.minimum(hi, -s.lo), hi)
    )


def unwave(A: Arithmetic, name: str, a: Interval, z: Interval) -> Interval:
    """The hull of the x in a with sin x, or cos x, in z.

    With p = arccos z, the x with cos x in z are the pieces j pi + p for even j and j pi + (pi - p) for odd j.
    """
    xp = A.xp
    quarter = Interval(PI.lo / 2, PI.hi / 2)
    x = A.sub(a, quarter) if name == "sin" else a
    p = acos(A, z)
    p = Interval(xp.maximum(p.lo, 0.0), p.hi)
    q = A.sub(PI, p)

    def piece(j: Any) -> Interval:
        odd = j - 2 * xp.floor(j / 2) == 1
        at = A.mul(Interval(j, j), PI)
        return A.add(at, Interval(xp.where(odd, q.lo, p.lo), xp.where(odd, q.hi, p.hi)))

    first, last = xp.floor(x.lo / np.pi), xp.floor(x.hi / np.pi)
    lo, hi = xp.full_like(first, INF), xp.full_like(last, -INF)
    for step in (1, 0, -1):  # from the far ones to the near ones, which count if they reach the end
        ahead, behind = piece(first + step), piece(last - step)
        lo = xp.where(ahead.hi >= x.lo, xp.maximum(ahead.lo, x.lo), lo)
        hi = xp.where(behind.lo <= x.hi, xp.minimum(behind.hi, x.hi), hi)
    two = piece(first + 2)
    lo = xp.where(lo == INF, two.lo, lo)
    two = piece(last - 2)
    hi = xp.where(hi == -INF, two.hi, hi)
    new = Interval(lo, hi)
    if name == "sin":
        new = A.add(new, quarter)
    far = ~(abs(a.lo) + abs(a.hi) < FAR) | ~((z.lo <= 1) & (z.hi >= -1))
    return Interval(xp.where(far, a.lo, new.lo), xp.where(far, a.hi, new.hi))


def vertex(A: Arithmetic, a: Any, b: Any) -> tuple[Interval, Interval]:
    """h and k of a u^2 + b u = a (u + h)^2 - k, for numbers that are known exactly."""
    square = A.square(Interval(b, b))
    return A.div(Interval(b, b), Interval(2 * a, 2 * a)), A.div(square, Interval(4 * a, 4 * a))


def quadratic(A: Arithmetic, a: Any, b: Any, u: Interval) -> Interval:
    """a u^2 + b u, as a complete square and as it stands: both hold."""
    h, k = vertex(A, a, b)
    whole = A.sub(A.mul(A.square(A.add(u, h)), Interval(a, a)), k)
    parts = A.add(A.mul(A.square(u), Interval(a, a)), A.mul(u, Interval(b, b)))
    return A.meet(whole, parts)


def unquadratic(A: Arithmetic, a: Any, b: Any, u: Interval, z: Interval) -> Interval:
    """The hull of the u with a u^2 + b u in z."""
    h, k = vertex(A, a, b)
    size = sqrt(A, positive(A, A.div(A.add(z, k), Interval(a, a))))
    return A.sub(two_sided(A, A.add(u, h), size), h)
