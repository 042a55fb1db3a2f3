"""Constraint propagation through steps and conditions: what a value that jumps says of its operands.

A rule takes the operation, the intervals of its operands and of its result, and the operations of its operands.
"""

from typing import Any

import numpy as np

from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.node import Node

EXACT = 2.0**52  # whole numbers below are floats, and so are those with a half


def _step(least: Any, most: Any) -> Any:
    """The rule of a step function: least and most of what a result may be made of."""

    def rule(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
        if of[0].partial:  # NaN may be hidden by what comes after
            return [None]
        lo, hi = least(z.lo), most(z.hi)
        return [Interval(np.where(abs(lo) < EXACT, lo, -INF), np.where(abs(hi) < EXACT, hi, INF))]

    return rule


def _compare(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
    """What a comparison that is decided says of its sides, unless one of them may be NaN."""
    if any(operand.partial for operand in of) or node.op == "ne":
        return [None, None]
    turned = node.op in ("gt", "ge")
    left, right = a[::-1] if turned else a
    yes, no = z.lo >= 1, (z.hi <= 0) & (node.op != "eq")
    low = Interval(np.where(no, right.lo, -INF), np.where(yes, right.hi, INF))  # left <= right, or left >= right
    high = Interval(np.where(yes, left.lo, -INF), np.where(no, left.hi, INF))
    if node.op == "eq":
        low, high = (Interval(np.where(yes, b.lo, -INF), np.where(yes, b.hi, INF)) for b in (right, left))
    return [high, low] if turned else [low, high]


def _not(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    return [Interval(1.0 - z.hi, 1.0 - z.lo)]


def _and(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    """Both hold where the whole does, and one does not where the other does and the whole does not."""
    true, false = z.lo >= 1, z.hi <= 0
    return [Interval(np.where(true, 1.0, -INF), np.where(false & (b.lo >= 1), 0.0, INF)) for b in a[::-1]]


def _or(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    true, false = z.lo >= 1, z.hi <= 0
    return [Interval(np.where(true & (b.hi <= 0), 1.0, -INF), np.where(false, 0.0, INF)) for b in a[::-1]]


BACK: dict[str, Any] = {
    "floor": _step(lambda z: z, lambda z: z + 1),
    "ceil": _step(lambda z: z - 1, lambda z: z),
    "round": _step(lambda z: z - 0.5, lambda z: z + 0.5),
    "trunc": _step(lambda z: np.where(z > 0, z, z - 1), lambda z: np.where(z < 0, z, z + 1)),
    "sign": _step(lambda z: np.where(z < 0, -INF, 0.0), lambda z: np.where(z > 0, INF, 0.0)),
    **dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), _compare),
    "not": _not,
    "and": _and,
    "or": _or,
}
