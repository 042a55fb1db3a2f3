"""Interval arithmetic with outward rounding, on arrays of intervals: NumPy's, or JAX's inside a compiled program.

The last axis of every array is the batch of boxes. Every end is moved outward by more than the rounding error of its
operation, so that the real result of real numbers in the operands lies inside [1]. Infinite ends are limits: the lower
end of a result is never +inf, the upper never -inf, and no end is NaN.

[1] R. E. Moore, R. B. Kearfott and M. J. Cloud, Introduction to Interval Analysis (SIAM, 2009), chapter 2.
"""

from typing import Any, NamedTuple

import numpy as np

EPS = 2.0**-52
TINY = 2.3e-308  # above the smallest normal number: what a processor that flushes subnormal numbers may lose
MAX = float(np.finfo(float).max)
INF = float("inf")


class Interval(NamedTuple):
    """Arrays of ends. A constant that is known exactly has the same array for both."""

    lo: Any
    hi: Any

    @property
    def is_point(self) -> bool:
        """Whether both ends are one array."""
        return self.lo is self.hi


class Arithmetic:
    """The operations on one array library, `xp`: numpy or jax.numpy.

    In NumPy the cheap case is looked for at run time; in JAX the general formula is compiled.
    """

    def __init__(self, xp: Any):
        """xp: numpy or jax.numpy."""
        self.xp, self.eager = xp, xp is np

    def down(self, x: Any, ulps: float = 1.0) -> Any:
        """Below x by at least so many units in its last place; an overflow becomes the largest number."""
        x = self.xp.minimum(x, MAX)
        if not self.eager:
            return x - (abs(x) * (ulps * EPS) + TINY)
        slack = np.abs(x)
        slack *= ulps * EPS
        slack += TINY
        return np.subtract(x, slack, out=slack) if slack.ndim else x - slack

    def up(self, x: Any, ulps: float = 1.0) -> Any:
        """Above x by at least so many units in its last place."""
        x = self.xp.maximum(x, -MAX)
        if not self.eager:
            return x + (abs(x) * (ulps * EPS) + TINY)
        slack = np.abs(x)
        slack *= ulps * EPS
        slack += TINY
        return np.add(x, slack, out=slack) if slack.ndim else x + slack

    def whole(self, like: Any) -> Interval:
        """All real numbers, in the shape of an array."""
        return Interval(self.xp.full_like(like, -INF), self.xp.full_like(like, INF))

    def add(self, a: Interval, b: Interval) -> Interval:
        """a + b."""
        return Interval(self.down(a.lo + b.lo), self.up(a.hi + b.hi))

    def sub(self, a: Interval, b: Interval) -> Interval:
        """a - b."""
        return Interval(self.down(a.lo - b.hi), self.up(a.hi - b.lo))

    def neg(self, a: Interval) -> Interval:
        """-a, exactly."""
        return Interval(-a.hi, -a.lo)

    def product(self, x: Any, y: Any) -> Any:
        """The product of two ends, where 0 inf = 0: an infinite end is a limit and no member."""
        p = x * y
        return self.xp.where(p == p, p, 0.0)

    def mul(self, a: Interval, b: Interval, signs: tuple[bool, bool] = (False, False)) -> Interval:
        """a b; signs: which of the two is known never to be negative."""
        if self.eager:  # an infinite end is rare, and a test for NaN costs less than one of every product
            lo, hi = self._mul(a, b, signs, np.multiply)
            if not (has_nan(lo) or has_nan(hi)):
                return Interval(self.down(lo), self.up(hi))
        lo, hi = self._mul(a, b, signs, self.product)
        return Interval(self.down(lo), self.up(hi))

    def _mul(self, a: Interval, b: Interval, signs: tuple[bool, bool], product: Any) -> tuple[Any, Any]:
        xp = self.xp
        if a.is_point and not b.is_point:
            a, b, signs = b, a, signs[::-1]
        if b.is_point:
            p, q = product(a.lo, b.lo), product(a.hi, b.hi)
            if isinstance(b.lo, np.ndarray):
                if signs[1] or np.all(b.lo >= 0):
                    return p, q
                if np.all(b.lo <= 0):
                    return q, p
            return xp.minimum(p, q), xp.maximum(p, q)
        if signs == (True, True):
            return product(a.lo, b.lo), product(a.hi, b.hi)
        if self.eager and np.min(a.lo, initial=0.0) >= 0:
            signs = (True, signs[1])
        if self.eager and np.min(b.lo, initial=0.0) >= 0:
            signs = (signs[0], True)
        if signs == (True, True):
            return product(a.lo, b.lo), product(a.hi, b.hi)
        if signs[1]:
            a, b, signs = b, a, signs[::-1]
        if signs[0]:
            return (
                xp.minimum(product(a.lo, b.lo), product(a.hi, b.lo)),
                xp.maximum(product(a.lo, b.hi), product(a.hi, b.hi)),
            )
        p, q, r, s = product(a.lo, b.lo), product(a.lo, b.hi), product(a.hi, b.lo), product(a.hi, b.hi)
        return xp.minimum(xp.minimum(p, q), xp.minimum(r, s)), xp.maximum(xp.maximum(p, q), xp.maximum(r, s))

    def reciprocal(self, b: Interval) -> Interval:
        """1 / b: all real numbers where b has zero inside, one side where zero is an end."""
        xp = self.xp
        right, left = (b.lo >= 0) & (b.hi > 0), (b.hi <= 0) & (b.lo < 0)
        over = xp.where((b.hi == 0) | ~(right | left), 1.0, b.hi)
        under = xp.where((b.lo == 0) | ~(right | left), 1.0, b.lo)
        lo = xp.where(right | (left & (b.hi < 0)), self.down(1 / over), -INF)
        hi = xp.where(left | (right & (b.lo > 0)), self.up(1 / under), INF)
        return Interval(xp.where(right, xp.maximum(lo, 0.0), lo), xp.where(left, xp.minimum(hi, 0.0), hi))

    def div(self, a: Interval, b: Interval) -> Interval:
        """a / b."""
        return self.mul(a, self.reciprocal(b))

    def size(self, a: Interval) -> Interval:
        """|a|, exactly."""
        xp = self.xp
        return Interval(xp.maximum(xp.maximum(a.lo, -a.hi), 0.0), xp.maximum(-a.lo, a.hi))

    def power(self, a: Interval, y: int) -> Interval:
        """a to a whole power above zero."""
        base = a if y % 2 else self.size(a)
        lo, hi = self.down(whole_power(base.lo, y), y), self.up(whole_power(base.hi, y), y)
        return Interval(lo if y % 2 else self.xp.maximum(lo, 0.0), hi)

    def square(self, a: Interval) -> Interval:
        """a a, never negative."""
        xp = self.xp
        p, q = a.lo * a.lo, a.hi * a.hi
        inside = (a.lo <= 0) & (a.hi >= 0)
        lo = xp.where(inside, 0.0, xp.maximum(self.down(xp.minimum(p, q)), 0.0))
        return Interval(lo, self.up(xp.maximum(p, q)))

    def total(self, a: Interval, axes: tuple[int, ...]) -> Interval:
        """The sum along axes, added up in any order: its error is at most (count - 1) eps times the sum of |a|."""
        count = int(np.prod([a.lo.shape[i] for i in axes], dtype=int))
        return Interval(*(self._total(end, axes, count, sign) for end, sign in ((a.lo, 1.0), (a.hi, -1.0))))

    def _total(self, x: Any, axes: tuple[int, ...], count: int, sign: float) -> Any:
        xp = self.xp
        slack = abs(x).sum(axes) * ((count + 2) * EPS) + count * TINY
        s = sign * xp.minimum(sign * x.sum(axes), MAX) - sign * slack
        return xp.where(s == s, s, -sign * INF)

    def meet(self, a: Interval, b: Interval) -> Interval:
        """What lies in both; empty where lo > hi."""
        return Interval(self.xp.maximum(a.lo, b.lo), self.xp.minimum(a.hi, b.hi))

    def quotient(self, z: Interval, b: Interval) -> Interval:
        """What a may be where a b = z: all real numbers where both may be zero."""
        xp = self.xp
        q = self.div(z, b)
        free = (b.lo <= 0) & (b.hi >= 0) & (z.lo <= 0) & (z.hi >= 0)
        return Interval(xp.where(free, -INF, q.lo), xp.where(free, INF, q.hi))

    def factor(self, a: Interval, z: Interval, b: Interval) -> Interval:
        """The part of a where a b = z: both branches of z / b where b has zero inside."""
        xp = self.xp
        q = self.quotient(z, b)
        split = (b.lo < 0) & (b.hi > 0) & ((z.lo > 0) | (z.hi < 0))
        near = xp.where(z.lo > 0, z.lo, z.hi)  # |a| is at least |near / b|
        p, r = near / xp.where(split, b.lo, -1.0), near / xp.where(split, b.hi, 1.0)
        below, above = self.up(xp.minimum(p, r), 2), self.down(xp.maximum(p, r), 2)
        lo = xp.where(split & (a.lo > below), xp.maximum(a.lo, above), xp.maximum(a.lo, q.lo))
        hi = xp.where(split & (a.hi < above), xp.minimum(a.hi, below), xp.minimum(a.hi, q.hi))
        return Interval(lo, hi)


def whole_power(x: Any, y: int) -> Any:
    """x to a whole power above zero, by repeated squares: at most y roundings."""
    out = None
    while y:
        if y & 1:
            out = x if out is None else out * x
        y >>= 1
        if y:
            x = x * x
    return out


def has_nan(x: Any) -> bool:
    """Whether an array has a NaN: a minimum passes it on."""
    return bool(np.isnan(np.min(x, initial=0.0)))


def point(value: Any) -> Interval:
    """An interval of one number, known exactly."""
    value = np.asarray(value, float)
    return Interval(value, value)


NUMPY = Arithmetic(np)
