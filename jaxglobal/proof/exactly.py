"""Values at a point in exact arithmetic, where they are rational: an enclosure is a few roundings wide even there.

So a row of whole numbers that meets its bound is seen to keep it. What is not rational, or not known, is NaN.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from jaxglobal.proof import moves
from jaxglobal.proof.flat import Program
from jaxglobal.proof.node import Node

LARGEST = 100_000  # numbers that are made, at most
POWER = 64
NAN = float("nan")


def exactly(p: Program, i: int, x: np.ndarray) -> np.ndarray:
    """A value of a program at x, (n,): an array of fractions, NaN where it is unknown."""
    if not np.all(np.isfinite(x)):
        return np.full(p.shape(i), NAN, object)
    return evaluate(p, i, {p.x: fraction(x[:, None])})[..., 0]


def evaluate(p: Program, i: int, known: dict[int, Any]) -> np.ndarray:
    """A value of a program from others, each with a batch of one; constants are those that were meant, not rounded."""
    known, todo, need = dict(known), [i], set()
    while todo:
        if (j := todo.pop()) not in known and j not in need:
            need.add(j)
            todo += p.folded.get(j, p.nodes[j]).ins
    if sum(math.prod(p.shape(j)) for j in need) > LARGEST:
        return np.full((*p.shape(i), 1), NAN, object)

    def made(node: Node) -> np.ndarray:
        ins = [known[k] for k in node.ins]
        if node.op == "move":
            out = moves.forward(node, ins)
        elif node.op == "map":
            M, own = node.params["matrix"], ins[0].reshape(-1)
            rows = fraction(M.middle) @ own if M.error is None else np.full(len(M.middle), NAN, object)
            out = rows.reshape(*node.shape, 1)
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
        return np.broadcast_to(out, (*node.shape, 1))

    for j in sorted(need):
        number = p.number(j)
        known[j] = made(p.folded.get(j) or p.nodes[j]) if number is None else fraction(number)
    return known[i]


def meant(p: Program, i: int) -> int:
    """A constant that was rounded on the way to a number that is known exactly, as 0.8 * 15, as that number."""
    value = p.nodes[i].value
    if value is None or value.is_point or not np.all(np.isfinite(value)):
        return i
    exact = evaluate(p, i, {})[..., 0]
    rounded = np.asarray(exact, float)
    return p.const(rounded) if np.all(fraction(rounded) == exact) else i


def each(fun: Callable[..., Any], *ins: np.ndarray) -> np.ndarray:
    """A function of fractions, entry by entry; of NaN, and where it is None, NaN."""

    def one(*values: Any) -> Any:
        out = fun(*values) if all(v == v for v in values) else None
        return NAN if out is None else Fraction(out)

    shape = np.broadcast_shapes(*(a.shape for a in ins))
    thin = [a[tuple(slice(0, 1 if step == 0 else None) for step in a.strides)] for a in ins]  # once of equal entries
    return np.broadcast_to(np.asarray(np.frompyfunc(one, len(ins), 1)(*thin), object), shape)


def fraction(x: np.ndarray) -> np.ndarray:
    """Of floats; NaN for what is not finite. What is equal along an axis is kept once, as a view."""
    convert = np.frompyfunc(lambda v: Fraction(float(v)) if math.isfinite(v) else NAN, 1, 1)
    thin = x = np.asarray(x)
    for d in range(x.ndim):
        first = thin[(slice(None),) * d + (slice(0, 1),)]
        thin = first if np.all(thin == first) else thin
    return np.broadcast_to(np.asarray(convert(thin), object), x.shape)


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


def root(c: Fraction) -> Fraction | None:
    """The rational square root, if there is one."""
    if c < 0:
        return None
    a, b = math.isqrt(c.numerator), math.isqrt(c.denominator)
    return Fraction(a, b) if a * a == c.numerator and b * b == c.denominator else None


AT: dict[str, Callable[[Fraction], Fraction | None]] = {  # what is rational of a function
    "abs": abs,
    "sign_hull": lambda c: Fraction(1) if c > 0 else Fraction(-1) if c < 0 else None,
    "sqrt": root,
    "reciprocal": lambda c: 1 / c if c else None,
    **{
        name: (lambda c: Fraction(0) if c == 0 else None)
        for name in ("sin", "tan", "sinh", "tanh", "expm1", "log1p", "atan", "asinh", "erf")
    },
    **{name: (lambda c: Fraction(1) if c == 0 else None) for name in ("exp", "cos", "cosh")},
    "log": lambda c: Fraction(0) if c == 1 else None,
}
