"""Values at a point in exact arithmetic, where they are rational: an enclosure is a few roundings wide even there.

So a row of whole numbers that meets its bound is seen to keep it. What is not rational, or not known, is NaN.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from jaxglobal.proof import moves
from jaxglobal.proof.agree import AT
from jaxglobal.proof.flat import Program

LARGEST = 20_000  # numbers that are made, at most
POWER = 64
NAN = float("nan")


def exactly(p: Program, i: int, x: np.ndarray) -> np.ndarray:
    """A value of a program at x, (n,): an array of fractions, NaN where it is unknown."""
    plan = p.needed([i])
    if not np.all(np.isfinite(x)) or sum(math.prod(p.shape(j)) for j in plan) > LARGEST:
        return np.full(p.shape(i), NAN, object)
    known: dict[int, Any] = {p.x: fraction(x[:, None])}

    def value(j: int) -> np.ndarray:
        if j not in known:
            array = p.number(j)
            known[j] = np.full((*p.shape(j), 1), NAN, object) if array is None else fraction(array)
        return known[j]

    for j in plan:
        node = p.nodes[j]
        ins = [value(k) for k in node.ins]
        if node.op == "move":
            out = moves.forward(node, ins)
        elif node.op == "sum":
            out = np.sum(ins[0], axis=node.params["axes"])
        elif node.op == "ipow":
            y = node.params["y"]
            out = each(lambda a, y=y: a**y if 0 <= y <= POWER else None, *ins)
        elif node.op == "quadratic":
            a, b = fraction(node.params["a"]), fraction(node.params["b"])
            out = a * ins[0] * ins[0] + b * ins[0]
        elif node.op in EXACT or node.op in AT and len(ins) == 1:
            out = each(EXACT.get(node.op) or AT[node.op], *ins)
        else:
            out = np.full((1,), NAN, object)
        known[j] = np.broadcast_to(out, (*node.shape, 1))
    return value(i)[..., 0]


def each(fun: Callable[..., Any], *ins: np.ndarray) -> np.ndarray:
    """A function of fractions, entry by entry; of NaN, and where it is None, NaN."""

    def one(*values: Any) -> Any:
        out = fun(*values) if all(v == v for v in values) else None
        return NAN if out is None else Fraction(out)

    return np.asarray(np.frompyfunc(one, len(ins), 1)(*ins), object)


def fraction(x: np.ndarray) -> np.ndarray:
    """Of floats; NaN for what is not finite."""
    convert = np.frompyfunc(lambda v: Fraction(float(v)) if math.isfinite(v) else NAN, 1, 1)
    return np.asarray(convert(np.asarray(x)), object)


def _nearest(a: Fraction) -> Fraction | None:
    """The nearest whole number, but for those in the middle of two."""
    return None if (2 * a).denominator == 1 and a.denominator == 2 else Fraction(round(a))


EXACT: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "abs": lambda a: abs(a),
    "square": lambda a: a * a,
    "reciprocal": lambda a: 1 / a if a else None,
    "max": max,
    "min": min,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
    "not": lambda a: not a,
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
    "round": _nearest,
    "select": lambda which, *cases: cases[int(which)] if which in range(len(cases)) else None,
}
