"""Natural interval extensions of functions that are not defined everywhere, with where they are not.

A rule takes the operation and its operands' intervals. It gives the ends; or the ends, where it may be undefined, where
it may jump; or these and where it is defined nowhere.
"""

from typing import Any

import numpy as np

from jaxglobal.proof import functions
from jaxglobal.proof import intervals as iv
from jaxglobal.proof.enclosure import by_box, some
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.node import Node


def _increasing(node: Node, a: Interval) -> Any:
    return functions.increasing(node.op, a)


def _defined_from(least: float, closed: bool):
    """The rule of an increasing function that is defined from a number on."""

    def rule(node: Node, a: Interval) -> Any:
        below, edge = a.lo < least if closed else a.lo <= least, a.lo <= least
        never = some(a.hi < least)  # beside the edge there is no value
        return (*functions.increasing(node.op, a), some(below), by_box(edge), never)

    return rule


def _defined_between(fun: Any, closed: bool = True):
    """The rule of a function that is defined in [-1, 1], or between."""

    def rule(node: Node, a: Interval) -> Any:
        edge, never = by_box((a.lo <= -1) | (a.hi >= 1)), some((a.hi < -1) | (a.lo > 1))
        outside = (a.lo < -1) | (a.hi > 1) if closed else (a.lo <= -1) | (a.hi >= 1)
        return (*fun(node, a), some(outside), edge, never)

    return rule


def _reciprocal(node: Node, a: Interval) -> Any:
    return (*iv.reciprocal(a), some((a.lo <= 0) & (a.hi >= 0)), False)


def _tan(node: Node, a: Interval) -> Any:
    out, pole = functions.tan(a)
    return (*out, some(pole), False)


def _lgamma(node: Node, a: Interval) -> Any:
    return (*functions.lgamma(a), some(a.lo <= 0), False)


def _digamma(node: Node, a: Interval) -> Any:
    out, bad = functions.increasing("digamma", a), a.lo <= 0
    return np.where(bad, -INF, out.lo), np.where(bad, INF, out.hi), some(bad), False


def _powc(node: Node, a: Interval) -> Any:
    """A constant power that is no whole number, of what is not negative in a."""
    y = node.params["y"]
    power = Interval(np.asarray(y), np.asarray(y))
    out = functions.exp(iv.mul(power, functions.log(functions.positive(a))))
    lo, hi = out
    if y > 0:
        lo = np.where(a.lo > 0, lo, 0.0)
        hi = np.where(a.hi > 0, hi, 0.0)
        return lo, hi, some(a.lo < 0), by_box(a.lo <= 0)  # beside zero there is no value
    lo = np.where(a.hi > 0, lo, -INF)
    return lo, np.where(a.lo > 0, hi, INF), some(a.lo <= 0), False


def _atan2(node: Node, y: Interval, x: Interval) -> Any:
    """The angle: by its corners where neither the origin nor the cut along negative x lies in the box.

    With a side of y alone there is no cut: that of y >= 0, or of y < 0, to whose limits the angle -pi belongs.
    """
    side = node.params.get("side", 0)
    if side:
        y = Interval(*(np.maximum(end, 0.0) if side > 0 else np.where(end < 0, end, -0.0) for end in y))
    cut = (x.lo <= 0) & (y.lo <= 0) & (y.hi >= 0) & (True if side == 0 else x.hi >= 0)
    corners = [np.arctan2(q, p) for q in y for p in x]
    lo = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
    hi = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
    lo, hi = np.where(cut, -3.15, iv.down(lo, 9)), np.where(cut, 3.15, iv.up(hi, 9))
    return np.where(side > 0, np.maximum(lo, 0.0), lo), np.where(side < 0, np.minimum(hi, 0.0), hi), False, by_box(cut)


def _xlogx(node: Node, a: Interval) -> Any:
    return (*functions.xlogx(a), some(a.lo <= 0), False)


RULES: dict[str, Any] = {
    "sin": lambda node, a: functions.wave("sin", a),
    "cos": lambda node, a: functions.wave("cos", a),
    "tan": _tan,
    "acos": _defined_between(lambda node, a: functions.acos(a)),
    "asin": _defined_between(_increasing),
    "atanh": _defined_between(_increasing, closed=False),
    "erfc": lambda node, a: functions.erfc(a),
    "cosh": lambda node, a: functions.cosh(a),
    "lgamma": _lgamma,
    "digamma": _digamma,
    "trigamma": lambda node, a: (*functions.trigamma(a), some(a.lo <= 0), False),
    "log": _defined_from(0.0, closed=False),
    "log1p": _defined_from(-1.0, closed=False),
    "sqrt": _defined_from(0.0, closed=True),
    "acosh": _defined_from(1.0, closed=True),
    "reciprocal": _reciprocal,
    "powc": _powc,
    "atan2": _atan2,
    "xlogx": _xlogx,
    **dict.fromkeys(("exp", "expm1", "cbrt", "tanh", "sinh", "atan", "asinh", "logistic", "erf"), _increasing),
}
