"""Piecewise functions of one value v, whose piece is found by a search among sorted knots, as in `interp`.

Three operations: `place` counts the knots below v, which is the number of the piece; `within` is v restricted to each
piece in turn; `pick` is the hull over the pieces that v may be in. All that is made of the count, of v and of constants
is evaluated once for each piece, on v in that piece: so the enclosure is as narrow about a knot as elsewhere. The
function is continuous at a knot where the pieces on both sides have the same value there, in exact arithmetic, and has
no kink where their derivatives have.
"""

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof import exactly
from jaxglobal.proof.flat import Program


class Pieces(NamedTuple):
    """A value of which each piece is known.

    Attributes:
        place: the number of the count of knots, (*s).
        stack: a value of the program or an array, (pieces, *s, *rest): entry (j, r) is that of row count[j].
    """

    place: int
    stack: Any


class Knots(NamedTuple):
    """Sorted numbers.

    Attributes:
        lo, hi: their enclosures.
        exact: them, as fractions; NaN where unknown.
    """

    lo: np.ndarray
    hi: np.ndarray
    exact: np.ndarray


def knots_of(p: Program, table: int) -> Knots | None:
    """Those of a constant table; None where it is not known to be sorted."""
    if (interval := p.nodes[table].value) is None:
        return None
    lo, hi = (end[..., 0] for end in interval)
    exact = exactly.evaluate(p, table, {})[..., 0]
    known = all(t == t for t in exact)
    fine = np.all(exact[:-1] <= exact[1:]) if known else np.all(hi[:-1] < lo[1:])
    lo, hi = np.maximum.accumulate(lo), np.minimum.accumulate(hi[::-1])[::-1]  # they are sorted
    return Knots(lo, hi, exact) if fine and np.all(np.isfinite(hi - lo)) else None


def place(p: Program, v: int, knots: Knots, right: bool, closed: bool = False) -> int:
    """How many of some sorted numbers are less than v, or with right not greater.

    closed: open as well where a knot is an end of v.
    """
    key = (knots.lo.tobytes(), knots.hi.tobytes(), tuple(knots.exact.tolist()), right, closed)
    return p.emit("place", (v,), p.shape(v), key=key, knots=knots, right=right, closed=closed)


def within(p: Program, count: int) -> int:
    """The value that was counted, held to each piece, (pieces, *s)."""
    node = p.nodes[count]
    knots = node.params["knots"]
    return p.emit("within", (node.ins[0], count), (len(knots.lo) + 1, *node.shape), knots=knots)


def picked(p: Program, count: int, stack: int, order: int = 0) -> int:
    """The rows of a stack that are chosen; order: of the derivative that they are."""
    node, number = p.nodes[count], p.number(stack)
    shape, own = p.shape(stack)[1:], node.shape
    if number is not None and np.all(number == number[:1]):
        return p.const(number[0, ..., 0])
    wide = lambda i: p.broadcast(p.reshape(i, (*own, *(1,) * (len(shape) - len(own)))), shape)  # noqa: E731
    v, knots, right = node.ins[0], node.params["knots"], node.params["right"]
    near = wide(place(p, v, knots, right, True))
    apart = breaks(p, count, stack) if order < 2 else np.zeros((0, *shape), bool)
    index = near if order else wide(count)
    return p.emit("pick", (index, near, stack), shape, key=order, apart=apart, sides=sides(knots), of=(count, wide(v)))


def sides(knots: Knots) -> tuple[np.ndarray, np.ndarray]:
    """The pieces on the left and on the right of each knot, of equal ones of the last."""
    exact = knots.exact.tolist()
    right = [k for k in range(1, len(exact) + 1) if k == len(exact) or exact[k] != exact[k - 1]]
    return np.array([0, *right[:-1]]), np.array(right)


def breaks(p: Program, count: int, stack: int) -> np.ndarray:
    """(different knots, *shape) At which the rows on both sides are not proven to meet."""
    knots = p.nodes[count].params["knots"]
    left, right = sides(knots)
    if (number := p.number(stack)) is not None:
        return (number[left] != number[right])[..., 0]
    a, b = np.full((2, len(knots.lo) + 1), Fraction(0), object)
    a[left] = b[right] = knots.exact[right - 1]
    a, b = (at(p, count, stack, side) for side in (a, b))
    return ~np.asarray(a[left] == b[right], bool)


def at(p: Program, count: int, stack: int, v: np.ndarray) -> np.ndarray:
    """The rows of a stack where the value that was counted is v[k] in row k, as fractions; NaN where unknown."""
    w = within(p, count)
    wide = np.broadcast_to(v.reshape(-1, *(1,) * len(p.shape(w))), (*p.shape(w), 1))
    return exactly.evaluate(p, stack, {w: wide})[..., 0]


def value(p: Program, node: Any, v: Fraction) -> Fraction | None:
    """Of a choice of rows where the value that was counted is v; None where that is not one known number."""
    count, (_, _, stack) = node.params["of"][0], node.ins
    knots, right = (p.nodes[count].params[k] for k in ("knots", "right"))
    if any(t != t for t in knots.exact):
        return None
    row = sum(t <= v if right else t < v for t in knots.exact)
    out = np.ravel(at(p, count, stack, np.full(len(knots.lo) + 1, v, object))[row])
    return out[0] if all(part == out[0] for part in out) else None
