"""Bessel functions, incomplete gamma and beta functions and the inverse of erf, by the ends at which they are monotone.

What is asked of SciPy is taken to be as near to them as it and JAX's values were measured to be, with room: within a
hundred units in the last place for Bessel functions, and a relative 2e-11 for the others, of shapes up to `LARGEST`,
where they are within 1e-12 (from 3e4 on JAX's are farther off than that, from 1e5 on SciPy's).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof.enclosure import by_box, some
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.node import Node

NEAR, FAR = 100.0, 1e5  # units in the last place
LARGEST = 1e3  # shape of an incomplete gamma or beta function
PEAK, TOP = 1.5451273, 0.219092  # where i1(x) exp(-x) is greatest, within 1e-5, and more than its value there


def named(name: str) -> Callable[..., Any]:
    """The function in SciPy, with its limits at infinity; of the constants that go in, and of x."""
    from scipy import special  # takes a while to import

    def to_infinity(fun: Callable[..., Any], odd: bool = False) -> Callable[..., Any]:
        return lambda x: np.where(np.isinf(x), x if odd else INF, fun(x))

    return {
        "igamma": special.gammainc, "igammac": special.gammaincc, "betainc": special.betainc,
        "erf_inv": special.erfinv,
        "bessel_i0": to_infinity(special.i0),
        "bessel_i0e": special.i0e,
        "bessel_i1": to_infinity(special.i1, True),
        "bessel_i1e": special.i1e,
        "bessel_i1_slope": to_infinity(lambda x: 0.5 * (special.i0(x) + special.iv(2, x))),
        "bessel_i1e_over": lambda x: np.where(x > 0, special.i1e(x) / np.where(x > 0, x, 1.0), 0.5),
    }[name]  # fmt: skip


def monotone(node: Node, a: Interval, ulps: float, decreasing: bool = False) -> Interval:
    """By the ends."""
    fun, by = named(node.op), node.params.get("by", ())
    lo, hi = (fun(*by, end) for end in (a[::-1] if decreasing else a))
    return Interval(np.where(lo == lo, iv.down(lo, ulps), -INF), np.where(hi == hi, iv.up(hi, ulps), INF))


def _between(least: float, most: float, range_of: tuple[float, float], closed: bool, decreasing: bool = False) -> Any:
    """The rule of a monotone function with a domain and a range."""

    def rule(node: Node, a: Interval) -> Any:
        inside = Interval(np.clip(a.lo, least, most), np.clip(a.hi, least, most))
        lo, hi = (np.clip(end, *range_of) for end in monotone(node, inside, FAR, decreasing))
        outside = (a.lo < least) | (a.hi > most) if closed else (a.lo <= least) | (a.hi >= most)
        return lo, hi, some(outside), by_box((a.lo <= least) | (a.hi >= most))

    return rule


def _even(decreasing: bool) -> Any:
    """The rule of a function of |x|, never negative."""

    def rule(node: Node, a: Interval) -> Any:
        lo, hi = monotone(node, iv.size(a), NEAR, decreasing)
        return np.maximum(lo, 0.0), hi

    return rule


def _i1e(node: Node, a: Interval) -> Any:
    """I1(x) exp(-|x|), which is odd: on the right it rises to its peak and falls."""
    fun = named(node.op)

    def right(lo: Any, hi: Any) -> Interval:
        f, g = fun(lo), fun(hi)
        peak = (lo <= PEAK + 1e-4) & (hi >= PEAK - 1e-4)
        return Interval(iv.down(np.minimum(f, g), NEAR), np.where(peak, TOP, iv.up(np.maximum(f, g), NEAR)))

    above, below = (right(np.maximum(lo, 0.0), np.maximum(hi, 0.0)) for lo, hi in (a, iv.neg(a)))
    return np.where(a.lo >= 0, above.lo, -below.hi), np.where(a.hi <= 0, -below.lo, above.hi)


RULES: dict[str, Any] = {
    "igamma": _between(0.0, INF, (0.0, 1.0), True),
    "igammac": _between(0.0, INF, (0.0, 1.0), True, True),
    "betainc": _between(0.0, 1.0, (0.0, 1.0), True),
    "erf_inv": _between(-1.0, 1.0, (-INF, INF), False),
    "bessel_i0": _even(False),
    "bessel_i0e": _even(True),
    "bessel_i1": lambda node, a: monotone(node, a, NEAR),
    "bessel_i1e": _i1e,
    "bessel_i1_slope": _even(False),
    "bessel_i1e_over": _even(True),
}


def slopes(p: Any, op: str, u: int, out: int, by: Any) -> tuple[int, Callable[[], int]] | None:
    """The first derivative, and a maker of the second; see slopes.py."""
    unknown = lambda: p.emit("unknown", (u,), p.shape(u))  # noqa: E731
    log, inverse = (lambda i: p.unary("log", i)), (lambda i: p.unary("reciprocal", i))
    if op in ("igamma", "igammac", "betainc"):
        one, less = p.const(1.0), [p.sub(p.const(part[..., 0]), p.const(1.0)) for part in by]
        sizes = [p.unary("lgamma", p.const(part[..., 0])) for part in by]
        if op == "betainc":
            a, b = less
            rest, total = p.sub(one, u), p.unary("lgamma", p.add(p.add(a, b), p.const(2.0)))
            power = p.add(p.mul(a, log(u)), p.mul(b, p.unary("log1p", p.unary("neg", u))))
            slope = p.unary("exp", p.add(power, p.sub(total, p.add(*sizes))))
            return slope, lambda: p.mul(slope, p.sub(p.mul(a, inverse(u)), p.mul(b, inverse(rest))))
        slope = p.unary("exp", p.sub(p.sub(p.mul(less[0], log(u)), u), sizes[0]))
        slope = p.unary("neg", slope) if op == "igammac" else slope
        return slope, lambda: p.mul(slope, p.sub(p.mul(less[0], inverse(u)), one))
    if op == "erf_inv":
        ends = np.sqrt(np.pi) / 2 * np.array([1 - 2.0**-51, 1 + 2.0**-51])
        slope = p.mul(p.const(Interval(ends[:1], ends[1:])), p.unary("exp", p.unary("square", out)))
        return slope, lambda: p.scaled(p.mul(out, p.unary("square", slope)), 2.0)
    if op == "bessel_i0":
        return p.unary("bessel_i1", u), lambda: p.unary("bessel_i1_slope", u)
    if op == "bessel_i1":
        return p.unary("bessel_i1_slope", u), unknown
    sign = p.unary("sign_hull", u)
    if op == "bessel_i0e":
        odd, over = p.unary("bessel_i1e", u), p.unary("bessel_i1e_over", u)
        second = lambda: p.sub(p.scaled(p.sub(out, p.mul(sign, odd)), 2.0), over)  # noqa: E731
        return p.sub(odd, p.mul(sign, out)), second
    if op == "bessel_i1e":
        return p.sub(p.sub(p.unary("bessel_i0e", u), p.mul(sign, out)), p.unary("bessel_i1e_over", u)), unknown
    return None
