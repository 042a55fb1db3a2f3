"""Interval extensions of operations that jump: rounding, comparisons, logic, remainders and whole numbers.

A comparison is three-valued: false, true, or [0, 1] where it is undecided in the box. The rules are those of
elementary.py.
"""

from typing import Any

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof.enclosure import by_box, some
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.node import Node

COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


def _step(fun: str):
    """A step function: it jumps where the ends, or what is next to them, differ."""

    def rule(node: Node, a: Interval) -> Any:
        step = {"floor": np.floor, "ceil": np.ceil, "round": np.rint, "trunc": np.trunc, "sign": np.sign}[fun]
        low, high = step(np.nextafter(a.lo, -INF)), step(np.nextafter(a.hi, INF))
        lo, hi = (low, high) if fun == "round" else (step(a.lo), step(a.hi))  # halves go either way
        return lo, hi, False, by_box((low != high) & ~(node.still & (a.lo == a.hi)))

    return rule


def _sign_hull(node: Node, a: Interval) -> Any:
    """The derivative of |a|: both signs where a reaches zero."""
    lo, hi = np.where(a.lo > 0, 1.0, -1.0), np.where(a.hi < 0, -1.0, 1.0)
    return lo, hi, False, by_box(lo != hi)


def _wrapped(node: Node, a: Interval) -> Any:
    """A whole number as its kind keeps it: any of that kind where it may be out of range."""
    least, most = node.params["least"], node.params["most"]
    lo, hi = np.ceil(a.lo), np.floor(a.hi)
    inside = (lo >= least) & (hi <= most)
    return np.where(inside, lo, least), np.where(inside, hi, most), False, by_box(~inside)


def _whole_quotient(node: Node, a: Interval) -> Any:
    """A whole number by a constant one, towards zero."""
    lo, hi = (np.sign(end) * np.floor_divide(abs(end), node.params["by"]) for end in (np.ceil(a.lo), np.floor(a.hi)))
    lo, hi = (np.where(np.isfinite(end), q, end) for end, q in zip(a, (lo, hi), strict=True))
    return lo, hi, False, by_box((lo != hi) & ~(node.still & (a.lo == a.hi)))


def _compare(node: Node, a: Interval, b: Interval) -> Any:
    """Zero or one, both where it is open; a `closed` one is open as well where the intervals touch."""
    op = node.op
    if op in ("gt", "ge"):
        a, b = b, a
    touch = (a.lo <= b.hi) & (b.lo <= a.hi)
    same = (a.lo == a.hi) & (b.lo == b.hi) & (a.lo == b.lo)
    if node.still is not False:  # what does not move is never beside the switch
        touch = touch & ~(node.still & (a.lo == a.hi) & (b.lo == b.hi))
    if op in ("eq", "ne"):
        lo, hi = np.where(same, 1.0, 0.0), np.where(touch | same, 1.0, 0.0)
    elif op in ("lt", "gt"):
        lo, hi = np.where(a.hi < b.lo, 1.0, 0.0), np.where(a.lo < b.hi, 1.0, 0.0)
    else:
        lo, hi = np.where(a.hi <= b.lo, 1.0, 0.0), np.where(a.lo <= b.hi, 1.0, 0.0)
    if node.params.get("closed"):
        lo, hi = np.where(touch, 0.0, lo), np.where(touch, 1.0, hi)
    if op == "ne":
        lo, hi = 1.0 - hi, 1.0 - lo
    return lo, hi, False, by_box(touch)


def _logic(node: Node, *operands: Interval) -> Any:
    a = operands[0]
    if node.op == "not":
        return 1.0 - a.hi, 1.0 - a.lo
    b = operands[1]
    if node.op == "and":
        return np.minimum(a.lo, b.lo), np.minimum(a.hi, b.hi)
    if node.op == "or":
        return np.maximum(a.lo, b.lo), np.maximum(a.hi, b.hi)
    known = (a.lo == a.hi) & (b.lo == b.hi)
    return np.where(known, abs(a.lo - b.lo), 0.0), np.where(known, abs(a.lo - b.lo), 1.0)


def _rem(node: Node, a: Interval, b: Interval) -> Any:
    """The remainder of a division by a constant, with the sign of a: a - b trunc(a / b)."""
    t = iv.div(a, b)
    low, high = np.trunc(iv.down(t.lo)), np.trunc(iv.up(t.hi))
    same, size = low == high, iv.size(b).hi
    exact = iv.sub(a, iv.mul(Interval(low, high), b))
    lo = np.where(same, exact.lo, np.where(a.lo < 0, -size, 0.0))
    hi = np.where(same, exact.hi, np.where(a.hi > 0, size, 0.0))
    return np.maximum(lo, -size), np.minimum(hi, size), some((b.lo <= 0) & (b.hi >= 0)), by_box(~same)


RULES: dict[str, Any] = {
    "sign_hull": _sign_hull,
    "and": _logic,
    "or": _logic,
    "xor": _logic,
    "not": _logic,
    "rem": _rem,
    "wrapped": _wrapped,
    "whole_quotient": _whole_quotient,
    **dict.fromkeys(COMPARISONS, _compare),
    **{name: _step(name) for name in ("floor", "ceil", "round", "trunc", "sign")},
}
