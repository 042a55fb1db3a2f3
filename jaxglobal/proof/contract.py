"""The way back: what an operation's result may be narrows what its operands may be (HC4 [1]).

A box in which nothing is left holds no point where the targets hold.

[1] F. Benhamou, F. Goualard, L. Granvilliers and J.-F. Puget, Revising hull and box consistency, ICLP (1999).
"""

from typing import Any

import numpy as np

from jaxglobal.proof import functions, moves
from jaxglobal.proof.enclose import Enclosure
from jaxglobal.proof.intervals import EPS, INF, TINY, Arithmetic, Interval
from jaxglobal.proof.node import Node


def backward(
    A: Arithmetic, nodes: list[Node], plan: list[int], values: dict[int, Enclosure], targets: dict[int, Interval], x: int
) -> tuple[Interval, Any]:
    """The variables, narrowed, and in which boxes nothing is left.

    plan: the operations that were run, in order; values: theirs; targets: what some values have to be in.
    """
    xp = A.xp
    batch = values[x].lo.shape[-1]
    held = {i: Interval(value.lo, value.hi) for i, value in values.items()}
    touched: set[int] = set()
    empty = np.zeros(batch, bool)

    def put(i: int, new: Interval | None) -> None:
        nonlocal empty
        if new is None or nodes[i].value is not None:
            return
        lo, hi = folded(A, new, nodes[i].shape)
        lo, hi = xp.fmax(held[i].lo, lo), xp.fmin(held[i].hi, hi)
        held[i] = Interval(lo, hi)
        dead = lo > hi
        empty = empty | (dead.any(tuple(range(dead.ndim - 1))) if dead.ndim > 1 else dead)
        touched.add(i)

    for i, target in targets.items():
        put(i, target)
    for i in reversed(plan):
        node = nodes[i]
        if i in touched and node.op in BACK:
            news = BACK[node.op](A, node, [held[j] for j in node.ins], held[i], [nodes[j] for j in node.ins])
            for j, new in zip(node.ins, news, strict=False):
                put(j, new)
    return held[x], empty


def folded(A: Arithmetic, new: Interval, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """What an operand that was broadcast may be: it meets all places that it went to."""
    lo, hi = new
    extra = lo.ndim - 1 - len(shape)
    if extra > 0:
        lo, hi = lo.max(tuple(range(extra))), hi.min(tuple(range(extra)))
    axes = tuple(d for d, size in enumerate(shape) if size == 1 and lo.ndim == len(shape) + 1 and lo.shape[d] > 1)
    return (lo.max(axes, keepdims=True), hi.min(axes, keepdims=True)) if axes else (lo, hi)


# ------------------------------------------------------------------ rules: rule(A, node, operands, result, their nodes)


def _sum(A: Arithmetic, node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    """Each term is the sum less the others."""
    xp, (a0,), axes = A.xp, a, node.params["axes"]

    def others(x: Any, sign: float) -> Any:
        bad = ~xp.isfinite(x)
        y = xp.where(bad, 0.0, x)
        count = int(np.prod([x.shape[d] for d in axes], dtype=int))
        s = y.sum(axes, keepdims=True)
        slack = abs(y).sum(axes, keepdims=True) * ((count + 8) * EPS) + count * TINY
        unbounded = bad.sum(axes, keepdims=True) - bad > 0
        return xp.where(unbounded, -sign * INF, s - y - sign * slack)

    rest = Interval(A.down(others(a0.lo, 1.0)), A.up(others(a0.hi, -1.0)))
    return [A.sub(Interval(xp.expand_dims(z.lo, axes), xp.expand_dims(z.hi, axes)), rest)]


def _mul(A: Arithmetic, node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
    out: list[Interval | None] = []
    for k in (0, 1):
        if of[k].value is not None:
            out.append(None)
        elif of[1 - k].value is not None:
            out.append(A.quotient(z, a[1 - k]))
        else:
            out.append(A.factor(a[k], z, a[1 - k]))
    return out


def _select(A: Arithmetic, node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
    """The case that is surely chosen is the result."""
    xp, which, cases = A.xp, a[0], a[1:]
    out: list[Interval | None] = [None]
    for k in range(len(cases)):
        sure = (which.lo == k) & (which.hi == k)
        out.append(Interval(xp.where(sure, z.lo, -INF), xp.where(sure, z.hi, INF)))
    return out


def _moved(A: Arithmetic, node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    shapes = [o.shape for o in of]
    wide = lambda end: A.xp.broadcast_to(end, (*node.shape, end.shape[-1]))  # noqa: E731
    lows = moves.backward(A, node, wide(z.lo), shapes, True)
    highs = moves.backward(A, node, wide(z.hi), shapes, False)
    return [Interval(*ends) for ends in zip(lows, highs, strict=True)]


def _max(A: Arithmetic, node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    xp = A.xp
    return [Interval(xp.where(other.hi < z.lo, z.lo, -INF), z.hi) for other in a[::-1]]


def _min(A: Arithmetic, node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    xp = A.xp
    return [Interval(z.lo, xp.where(other.lo > z.hi, z.hi, INF)) for other in a[::-1]]


def _ipow(A: Arithmetic, node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    y = node.params["y"]
    return [functions.odd_root(A, z, y) if y % 2 else functions.two_sided(A, a[0], functions.root(A, z, y))]


def _square(A: Arithmetic, node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    return [functions.two_sided(A, a[0], functions.sqrt(A, functions.positive(A, z)))]


def _powc(A: Arithmetic, node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    xp, y = A.xp, np.asarray(node.params["y"])
    out = functions.exp(A, A.mul(functions.log(A, functions.positive(A, z)), A.reciprocal(Interval(y, y))))
    if node.params["y"] > 0:
        return [Interval(xp.where(z.lo > 0, out.lo, 0.0), xp.where(z.hi > 0, out.hi, 0.0))]
    return [Interval(xp.where(z.hi > 0, out.lo, -INF), xp.where(z.lo > 0, out.hi, INF))]


def _atanlike(A: Arithmetic, z: Interval, name: str, least: float, greatest: float) -> list[Interval]:
    """Through the inverse of a function with a range: at the ends of the range it says nothing."""
    xp, shrunk = A.xp, 1 - 1e-12
    inside_lo, inside_hi = z.lo > least * shrunk, z.hi < greatest * shrunk
    a = Interval(xp.where(inside_lo, z.lo, 0.0), xp.where(inside_hi, z.hi, 0.0))
    if name == "tanh":
        out = functions.increasing(A, "atanh", a)
    elif name == "logistic":
        half = Interval(xp.where(inside_lo, z.lo, 0.5), xp.where(inside_hi, z.hi, 0.5))
        odds = A.div(half, A.sub(Interval(np.ones(1), np.ones(1)), half))
        out = functions.log(A, functions.positive(A, odds))
    else:
        t, _ = functions.tan(A, a)
        out = t
    return [Interval(xp.where(inside_lo, out.lo, -INF), xp.where(inside_hi, out.hi, INF))]


BACK: dict[str, Any] = {
    "add": lambda A, node, a, z, of: [A.sub(z, a[1]), A.sub(z, a[0])],
    "sub": lambda A, node, a, z, of: [A.add(z, a[1]), A.sub(a[0], z)],
    "mul": _mul,
    "neg": lambda A, node, a, z, of: [A.neg(z)],
    "abs": lambda A, node, a, z, of: [functions.two_sided(A, a[0], functions.positive(A, z))],
    "reciprocal": lambda A, node, a, z, of: [A.quotient(Interval(np.ones(1), np.ones(1)), z)],
    "square": _square,
    "ipow": _ipow,
    "quadratic": lambda A, node, a, z, of: [functions.unquadratic(A, node.params["a"], node.params["b"], a[0], z)],
    "powc": _powc,
    "exp": lambda A, node, a, z, of: [functions.log(A, z)],
    "log": lambda A, node, a, z, of: [functions.exp(A, z)],
    "expm1": lambda A, node, a, z, of: [functions.increasing(A, "log1p", z)],
    "log1p": lambda A, node, a, z, of: [functions.increasing(A, "expm1", z)],
    "sqrt": lambda A, node, a, z, of: [A.square(functions.positive(A, z))],
    "sin": lambda A, node, a, z, of: [functions.unwave(A, "sin", a[0], z)],
    "cos": lambda A, node, a, z, of: [functions.unwave(A, "cos", a[0], z)],
    "tanh": lambda A, node, a, z, of: _atanlike(A, z, "tanh", -1.0, 1.0),
    "logistic": lambda A, node, a, z, of: _atanlike(A, z, "logistic", 0.0, 1.0),
    "atan": lambda A, node, a, z, of: _atanlike(A, z, "tan", -np.pi / 2, np.pi / 2),
    "max": _max,
    "min": _min,
    "sum": _sum,
    "move": _moved,
    "select": _select,
}
