"""The hull of what may be chosen: cases of a condition, rows of a table, entries in the order of their size."""

from typing import Any

import numpy as np

from jaxglobal.proof.enclosure import Enclosure, by_box, either, filled, perhaps, some
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.node import Node


def select(node: Node, ins: list[Enclosure]) -> Enclosure:
    """The union of the cases that a condition, or an index, may choose; undefined and jumping as these are."""
    which, cases = ins[0], ins[1:]
    lo: Any = None
    hi: Any = None
    nan, jump, never = which.nan, which.jump, True
    if not node.params.get("continuous"):  # else its cases have been proven to agree where it switches
        jump = either(jump, which.edge)
    top = len(cases) - 1
    for k, case in enumerate(cases):
        low, high = (which.lo <= k, which.hi >= k)
        if k == 0:
            low = which.lo <= 0
        if k == top:
            high = which.hi >= k
        may = low & high if k not in (0, top) else low if k == 0 else high
        value = may if case.never is False else may & ~case.never
        lo = np.where(value, case.lo, INF) if lo is None else np.minimum(lo, np.where(value, case.lo, INF))
        hi = np.where(value, case.hi, -INF) if hi is None else np.maximum(hi, np.where(value, case.hi, -INF))
        nan, never = either(nan, False if case.nan is False else case.nan & may), never & ~value
        if case.jump is not False:
            jump = either(jump, case.jump & may.any(tuple(range(may.ndim - 1))))
        jump = either(jump, case.edge)
    never = some(never)
    if never is not False:  # no value is anything
        lo, hi = np.where(never, -INF, lo), np.where(never, INF, hi)
    if node.never_negative:
        lo = np.maximum(lo, 0.0)
    return Enclosure(lo, hi, filled(node, some(nan)), jump, False, filled(node, never))


def place(node: Node, v: Enclosure) -> Enclosure:
    """How many knots lie below a value, NaN after all; where that may change is asked of what is picked by it."""
    knots, right, jump = node.params["knots"], node.params["right"], perhaps(v)
    below, above = (lambda t, v: np.searchsorted(t, v, "left")), (lambda t, v: np.searchsorted(t, v, "right"))
    own = above if right else below
    lo, hi = own(knots.hi, v.lo), own(knots.lo, v.hi)
    if node.params["closed"]:
        moves = ~(node.still & (v.lo == v.hi))
        lo, hi = np.where(moves, below(knots.hi, v.lo), lo), np.where(moves, above(knots.lo, v.hi), hi)
    if v.nan is not False:
        hi = np.where(v.nan, len(knots.lo), hi)
    if v.never is not False:
        lo = np.where(v.never, len(knots.lo), lo)
    return Enclosure(1.0 * lo, 1.0 * hi, False, either(v.jump, jump))


def pick(node: Node, index: Enclosure, near: Enclosure, stack: Enclosure) -> Enclosure:
    """The union of the rows that may be chosen; it jumps at knots at which they do not meet."""
    k = np.arange(len(stack.lo)).reshape(-1, *(1,) * index.lo.ndim)
    may = (k >= index.lo) & (k <= index.hi)
    lo, hi = np.where(may, stack.lo, INF).min(0), np.where(may, stack.hi, -INF).max(0)
    nan = False if stack.nan is False else some((stack.nan & may).any(0))
    never = False if stack.never is False else some((stack.never | ~may).all(0))
    jump, apart = either(index.jump, stack.jump), node.params["apart"]
    if apart.any():
        left, right = (side.reshape(-1, *(1,) * index.lo.ndim) for side in node.params["sides"])
        jump = either(jump, by_box(((near.lo <= left) & (near.hi >= right) & apart[..., None]).any(0)))
    return Enclosure(lo, hi, filled(node, nan), jump, False, filled(node, never))


def _within(node: Node, v: Interval, place: Interval) -> Any:
    """A value in each of the pieces between knots, and at the nearest end of those in which it is not."""
    knots, shape = node.params["knots"], (-1, *(1,) * v.lo.ndim)
    least, most = np.append(-INF, knots.lo).reshape(shape), np.append(knots.hi, INF).reshape(shape)
    return np.clip(v.lo, least, most), np.clip(v.hi, least, most)


def _sort(node: Node, a: Interval) -> Any:
    return np.sort(a.lo, node.params["axis"]), np.sort(a.hi, node.params["axis"])


def ranks(a: Interval, axis: int) -> tuple[Any, Any]:
    """The least and the greatest place that each entry along an axis may have when sorted, with this axis first."""
    lo, hi = (np.moveaxis(end, axis, 0) for end in a)
    least = np.array([(hi < own).sum(0) for own in lo])
    return least, len(lo) - 1 - np.array([(lo > own).sum(0) for own in hi])


def _ranked(node: Node, a: Interval, rows: Interval) -> Any:
    """Rows of derivatives of what is sorted: the hull of those of the entries that may be in each place."""
    axis = node.params["axis"] - 1
    least, most = ranks(a, axis)
    lo, hi = (np.moveaxis(np.broadcast_to(end, (*node.shape, least.shape[-1])), axis, 0) for end in rows)
    may = [(least <= k) & (k <= most) for k in range(len(least))]
    new = [np.stack([np.where(m[:, None], lo, INF).min(0) for m in may]),
           np.stack([np.where(m[:, None], hi, -INF).max(0) for m in may])]  # fmt: skip
    return *(np.moveaxis(end, 0, axis) for end in new), False, by_box(least < most)


RULES: dict[str, Any] = {"sort": _sort, "ranked": _ranked, "within": _within}
