"""Interval arithmetic with outward rounding, on NumPy arrays of intervals.

The last axis of every array is the batch of boxes. Every end is moved outward by more than the rounding error of its
operation, so that the real result of real numbers in the operands lies inside [1]. Infinite ends are limits: the lower
end of a result is never +inf, the upper never -inf, and no end is NaN.

[1] R. E. Moore, R. B. Kearfott and M. J. Cloud, Introduction to Interval Analysis (SIAM, 2009), chapter 2.
[2] T. J. Dekker, A floating-point technique for extending the available precision, Numerische Mathematik 18 (1971).
"""

import math
from typing import Any, NamedTuple

import numpy as np

EPS = 2.0**-52
TINY = 2.3e-308  # above the smallest normal number: what a processor that flushes subnormal numbers may lose
BLOCK = 128  # terms of a long sum that are added up at a time
LONG = 4096  # numbers of which a further array costs more than a look whether it is needed
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


def down(x: Any, ulps: float = 1.0) -> Any:
    """Below x by at least so many units in its last place; an overflow becomes the largest number."""
    if np.size(x) < LONG or not np.maximum.reduce(x, None) < INF:
        x = np.minimum(x, MAX)
    slack = np.abs(x)
    slack *= ulps * EPS
    slack += TINY
    return np.subtract(x, slack, out=slack) if slack.ndim else x - slack


def up(x: Any, ulps: float = 1.0) -> Any:
    """Above x by at least so many units in its last place."""
    if np.size(x) < LONG or not np.minimum.reduce(x, None) > -INF:
        x = np.maximum(x, -MAX)
    slack = np.abs(x)
    slack *= ulps * EPS
    slack += TINY
    return np.add(x, slack, out=slack) if slack.ndim else x + slack


def whole(like: Any) -> Interval:
    """All real numbers, in the shape of an array."""
    return Interval(np.full_like(like, -INF), np.full_like(like, INF))


def add(a: Interval, b: Interval) -> Interval:
    """A + b."""
    return Interval(down(a.lo + b.lo), up(a.hi + b.hi))


def sub(a: Interval, b: Interval) -> Interval:
    """A - b."""
    return Interval(down(a.lo - b.hi), up(a.hi - b.lo))


def known(a: Interval) -> Interval:
    """The same, and all real numbers where an end is NaN."""
    bad = np.isnan(a.lo) | np.isnan(a.hi)
    return Interval(np.where(bad, -INF, a.lo), np.where(bad, INF, a.hi)) if bad.any() else a


def neg(a: Interval) -> Interval:
    """-a, exactly."""
    return Interval(-a.hi, -a.lo)


def product(x: Any, y: Any) -> Any:
    """The product of two ends, where 0 inf = 0: an infinite end is a limit and no member."""
    p = x * y
    return np.where(p == p, p, 0.0)


def mul(a: Interval, b: Interval, signs: tuple[bool, bool] = (False, False)) -> Interval:
    """A b; signs: which of the two is known never to be negative."""
    # An infinite end is rare, and a test for NaN costs less than one of every product.
    lo, hi = _mul(a, b, signs, np.multiply)
    if has_nan(lo) or has_nan(hi):
        lo, hi = _mul(known(a), known(b), signs, product)
    return Interval(down(lo), up(hi))


def _mul(a: Interval, b: Interval, signs: tuple[bool, bool], product: Any) -> tuple[Any, Any]:
    left, right = signs
    if a.is_point and not b.is_point:
        a, b, left, right = b, a, right, left
    if b.is_point:
        p, q = product(a.lo, b.lo), product(a.hi, b.hi)
        if right or b.lo.min(initial=0.0) >= 0:
            return p, q
        return (q, p) if b.lo.max(initial=0.0) <= 0 else (np.minimum(p, q), np.maximum(p, q))
    left, right = left or a.lo.min(initial=0.0) >= 0, right or b.lo.min(initial=0.0) >= 0
    if left and right:
        return product(a.lo, b.lo), product(a.hi, b.hi)
    if right:
        a, b, left = b, a, True
    if left:
        return (
            np.minimum(product(a.lo, b.lo), product(a.hi, b.lo)),
            np.maximum(product(a.lo, b.hi), product(a.hi, b.hi)),
        )
    p, q, r, s = product(a.lo, b.lo), product(a.lo, b.hi), product(a.hi, b.lo), product(a.hi, b.hi)
    return np.minimum(np.minimum(p, q), np.minimum(r, s)), np.maximum(np.maximum(p, q), np.maximum(r, s))


def side(b: Interval) -> int:
    """On which side of zero all of the intervals lie; 0 if they do not, or have an end that is NaN."""
    if b.lo.min(initial=INF) > 0:
        return 0 if has_nan(b.hi) else 1
    return -1 if b.hi.max(initial=-INF) < 0 and not has_nan(b.lo) else 0


def reciprocal(b: Interval) -> Interval:
    """1 / b: all real numbers where b has zero inside, one side where zero is an end."""
    if side(b) > 0:
        return Interval(np.maximum(down(1 / b.hi), 0.0), up(1 / b.lo))
    if side(b) < 0:
        return Interval(down(1 / b.hi), np.minimum(up(1 / b.lo), 0.0))
    right, left = (b.lo >= 0) & (b.hi > 0), (b.hi <= 0) & (b.lo < 0)
    over = np.where((b.hi == 0) | ~(right | left), 1.0, b.hi)
    under = np.where((b.lo == 0) | ~(right | left), 1.0, b.lo)
    lo = np.where(right | (left & (b.hi < 0)), down(1 / over), -INF)
    hi = np.where(left | (right & (b.lo > 0)), up(1 / under), INF)
    return Interval(np.where(right, np.maximum(lo, 0.0), lo), np.where(left, np.minimum(hi, 0.0), hi))


def div(a: Interval, b: Interval) -> Interval:
    """A / b."""
    return mul(a, reciprocal(b))


def size(a: Interval) -> Interval:
    """|a|, exactly."""
    return Interval(np.maximum(np.maximum(a.lo, -a.hi), 0.0), np.maximum(-a.lo, a.hi))


def power(a: Interval, y: int) -> Interval:
    """A to a whole power above zero."""
    base = a if y % 2 else size(a)
    lo, hi = down(whole_power(base.lo, y), y), up(whole_power(base.hi, y), y)
    return Interval(lo if y % 2 else np.maximum(lo, 0.0), hi)


def square(a: Interval) -> Interval:
    """A a, never negative."""
    p, q = a.lo * a.lo, a.hi * a.hi
    inside = (a.lo <= 0) & (a.hi >= 0)
    lo = np.where(inside, 0.0, np.maximum(down(np.minimum(p, q)), 0.0))
    return Interval(lo, up(np.maximum(p, q)))


def total(a: Interval, axes: tuple[int, ...]) -> Interval:
    """The sum along axes: its error is at most eps times the additions on the longest way, times the sum of |a|."""
    return Interval(_total(a.lo, axes, 1.0), _total(a.hi, axes, -1.0))


def _total(x: Any, axes: tuple[int, ...], sign: float) -> Any:
    """One end; sign: in which direction it is moved, 1 for down."""
    count = math.prod(x.shape[i] for i in axes)
    longest = count
    if len(axes) == 1 and count > 4 * BLOCK:  # by blocks, whose sums are then added
        cut = lambda k: x[(slice(None),) * axes[0] + (slice(k, k + BLOCK),)].sum(axes)  # noqa: E731
        parts = np.stack([cut(k) for k in range(0, count, BLOCK)])
        longest, s = BLOCK + len(parts), parts.sum(0)
    else:
        s = x.sum(axes)
    slack = abs(x).sum(axes) * ((longest + 2) * EPS * (1 + count * EPS)) + count * TINY
    s = sign * np.minimum(sign * s, MAX) - sign * slack
    return np.where(s == s, s, -sign * INF)


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """A + b as it is rounded, and its rounding error [2]; NaN where that is unknown."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """A b as it is rounded, and its rounding error [2]; NaN where that is unknown."""
    p, parts = a * b, []
    for x in (a, b):
        high = x * (2.0**27 + 1)
        high = high - (high - x)
        parts += [high, x - high]
    a1, a2, b1, b2 = parts
    error = ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2
    return p, np.where((abs(p) > 1e-250) | (a == 0) | (b == 0), error, np.nan)


def meet(a: Interval, b: Interval) -> Interval:
    """What lies in both; empty where lo > hi."""
    return Interval(np.maximum(a.lo, b.lo), np.minimum(a.hi, b.hi))


def quotient(z: Interval, b: Interval) -> Interval:
    """What a may be where a b = z: all real numbers where both may be zero."""
    q = div(z, b)
    if side(b):
        return q
    free = (b.lo <= 0) & (b.hi >= 0) & (z.lo <= 0) & (z.hi >= 0)
    return Interval(np.where(free, -INF, q.lo), np.where(free, INF, q.hi))


def factor(a: Interval, z: Interval, b: Interval) -> Interval:
    """The part of a where a b = z: both branches of z / b where b has zero inside."""
    q = quotient(z, b)
    if side(b):
        return meet(a, q)
    split = (b.lo < 0) & (b.hi > 0) & ((z.lo > 0) | (z.hi < 0))
    near = np.where(z.lo > 0, z.lo, z.hi)  # |a| is at least |near / b|
    p, r = near / np.where(split, b.lo, -1.0), near / np.where(split, b.hi, 1.0)
    below, above = up(np.minimum(p, r), 2), down(np.maximum(p, r), 2)
    lo = np.where(split & (a.lo > below), np.maximum(a.lo, above), np.maximum(a.lo, q.lo))
    hi = np.where(split & (a.hi < above), np.minimum(a.hi, below), np.minimum(a.hi, q.hi))
    return Interval(lo, hi)


def whole_power(x: Any, y: int) -> Any:
    """X to a whole power above zero, by repeated squares: at most y roundings."""
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
    least = x.min(initial=0.0)
    return bool(least != least)


def point(value: Any) -> Interval:
    """An interval of one number, known exactly."""
    value = np.asarray(value, float)
    return Interval(value, value)
