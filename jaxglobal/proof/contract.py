"""Constraint propagation, backwards through a program (HC4-revise [1]): a bound of a result bounds its operands.

It begins with what some values have to be, as fun <= cut, and ends with narrower boxes; one in which nothing is left
holds no such point. After the forward evaluation of enclose.py, in the reverse order.

[1] F. Benhamou, F. Goualard, L. Granvilliers and J.-F. Puget, Revising hull and box consistency, ICLP (1999).
"""

import math
from typing import Any

import numpy as np

from jaxglobal.proof import functions, maps, moves, switched
from jaxglobal.proof import intervals as iv
from jaxglobal.proof.chosen import ranks
from jaxglobal.proof.enclosure import Enclosure
from jaxglobal.proof.intervals import EPS, INF, TINY, Interval
from jaxglobal.proof.node import Node


def backward(
    nodes: list[Node],
    plan: list[int],
    values: dict[int, Enclosure],
    targets: dict[int, Interval],
    x: int,
) -> tuple[Interval, Any, dict[int, Interval]]:
    """The narrowed boxes, which of them hold no point where the targets hold, and what values are where they hold.

    plan: the operations of the forward evaluation, in order; values: what it gave; targets: intervals in which some of
    the values have to be; x: the number of the variables.
    """
    batch = values[x].lo.shape[-1]
    held = {i: Interval(value.lo, value.hi) for i, value in values.items()}
    touched: set[int] = set()
    empty = np.zeros(batch, bool)

    def put(i: int, new: Interval | None) -> None:
        nonlocal empty
        if new is None or nodes[i].value is not None:
            return
        lo, hi = folded(new, nodes[i].shape)
        lo, hi = np.fmax(held[i].lo, lo), np.fmin(held[i].hi, hi)
        held[i] = Interval(lo, hi)
        dead = lo > hi
        empty = empty | (dead.any(tuple(range(dead.ndim - 1))) if dead.ndim > 1 else dead)
        touched.add(i)

    for i, target in targets.items():
        put(i, target)
    for i in reversed(plan):
        node = nodes[i]
        if i in touched and node.op in BACK:
            news = BACK[node.op](node, [held[j] for j in node.ins], held[i], [nodes[j] for j in node.ins])
            for j, new in zip(node.ins, news, strict=False):
                put(j, new)
    return held[x], empty, {i: held[i] for i in touched}


def folded(new: Interval, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """What an operand that was broadcast may be: it meets all places that it went to."""
    lo, hi = new
    extra = lo.ndim - 1 - len(shape)
    if extra > 0:
        lo, hi = lo.max(tuple(range(extra))), hi.min(tuple(range(extra)))
    axes = tuple(d for d, size in enumerate(shape) if size == 1 and lo.ndim == len(shape) + 1 and lo.shape[d] > 1)
    return (lo.max(axes, keepdims=True), hi.min(axes, keepdims=True)) if axes else (lo, hi)


# ------------------------------------------------------------------ rules: rule(node, operands, result, their nodes)


def _sum(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    """Each term is the sum less the others."""
    (a0,), axes = a, node.params["axes"]

    def others(x: Any, sign: float) -> Any:
        bad = ~np.isfinite(x)
        y = np.where(bad, 0.0, x)
        count = math.prod(x.shape[d] for d in axes)
        s = y.sum(axes, keepdims=True)
        slack = abs(y).sum(axes, keepdims=True) * ((count + 8) * EPS) + count * TINY
        unbounded = bad.sum(axes, keepdims=True) - bad > 0
        return np.where(unbounded, -sign * INF, s - y - sign * slack)

    rest = Interval(iv.down(others(a0.lo, 1.0)), iv.up(others(a0.hi, -1.0)))
    return [iv.sub(Interval(np.expand_dims(z.lo, axes), np.expand_dims(z.hi, axes)), rest)]


def _mul(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
    out: list[Interval | None] = []
    for k in (0, 1):
        if of[k].value is not None:
            out.append(None)
        elif of[1 - k].value is not None:
            out.append(iv.quotient(z, a[1 - k]))
        else:
            out.append(iv.factor(a[k], z, a[1 - k]))
    return out


def _select(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
    """The cases that may be the result narrow the index, and the one that is surely chosen is the result."""
    which, cases = a[0], a[1:]
    least, most, top = INF, -INF, len(cases) - 1
    for k, case in enumerate(cases):  # NaN may be hidden by what comes after
        may = True if of[k + 1].partial else (case.lo <= z.hi) & (case.hi >= z.lo)
        may = may & (
            (which.lo <= 0) if k == 0 else (which.hi >= top) if k == top else (which.lo <= k) & (which.hi >= k)
        )
        least = np.minimum(least, np.where(may, -INF if k == 0 else k, INF))
        most = np.maximum(most, np.where(may, INF if k == top else k, -INF))
    out: list[Interval | None] = [Interval(least, most)]
    for k in range(len(cases)):
        sure = (which.lo == k) & (which.hi == k)
        out.append(Interval(np.where(sure, z.lo, -INF), np.where(sure, z.hi, INF)))
    return out


def _sort(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
    """Each entry is the result in one of the places that it may have."""
    if of[0].partial:  # NaN comes last, and may be hidden by what comes after
        return [None]
    axis = node.params["axis"]
    least, most = ranks(a[0], axis)
    low, high = (np.moveaxis(np.broadcast_to(end, (*node.shape, least.shape[-1])), axis, 0) for end in z)
    lo, hi = np.full(least.shape, INF), np.full(least.shape, -INF)
    for k in range(len(least)):
        may = (least <= k) & (k <= most)
        lo, hi = np.where(may, np.minimum(lo, low[k]), lo), np.where(may, np.maximum(hi, high[k]), hi)
    return [Interval(np.moveaxis(lo, 0, axis), np.moveaxis(hi, 0, axis))]


def _pick(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
    """The rows that may be the result narrow the index, and the row that is surely chosen is it."""
    index, _, stack = a
    if of[2].partial:  # NaN may be hidden by what comes after
        return [None, None, None]
    k = np.arange(len(stack.lo)).reshape(-1, *(1,) * index.lo.ndim)
    may = (k >= index.lo) & (k <= index.hi) & (stack.lo <= z.hi) & (stack.hi >= z.lo)
    lo, hi = np.where(may, k, INF).min(0), np.where(may, k, -INF).max(0)
    sure = (k == lo) & (k == hi)
    return [Interval(lo, hi), None, Interval(np.where(sure, z.lo, -INF), np.where(sure, z.hi, INF))]


def _place(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
    """Between the knots of the first piece that may be and those of the last."""
    if of[0].partial:  # NaN is counted as well
        return [None]
    knots = node.params["knots"]
    lo, hi = (np.clip(end, 0, len(knots.lo)).astype(int) for end in z)
    return [Interval(np.append(-INF, knots.lo)[lo], np.append(knots.hi, INF)[hi])]


def _within(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
    """The value itself in the piece in which it surely is."""
    place = a[1]
    row = np.where(place.lo == place.hi, place.lo, 0).astype(int)[None]
    ends = (np.take_along_axis(np.broadcast_to(end, (*node.shape, row.shape[-1])), row, 0)[0] for end in z)
    lo, hi = ends
    sure = place.lo == place.hi
    return [Interval(np.where(sure, lo, -INF), np.where(sure, hi, INF)), None]


def _moved(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    shapes = [o.shape for o in of]
    wide = lambda end: np.broadcast_to(end, (*node.shape, end.shape[-1]))  # noqa: E731
    lows = moves.backward(node, wide(z.lo), shapes, True)
    highs = moves.backward(node, wide(z.hi), shapes, False)
    return [Interval(*ends) for ends in zip(lows, highs, strict=True)]


def _max(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    return [Interval(np.where(other.hi < z.lo, z.lo, -INF), z.hi) for other in a[::-1]]


def _min(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    return [Interval(z.lo, np.where(other.lo > z.hi, z.hi, INF)) for other in a[::-1]]


def _ipow(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    y = node.params["y"]
    return [functions.odd_root(z, y) if y % 2 else functions.two_sided(a[0], functions.root(z, y))]


def _square(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    return [functions.two_sided(a[0], functions.sqrt(functions.positive(z)))]


def _undefined_below(new: Interval, a: Interval, least: float) -> list[Interval]:
    """What an operand may be, where it is defined or below: NaN may be hidden by what comes after."""
    return [Interval(np.where(a.lo <= least, -INF, new.lo), new.hi)]


def _powc(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    y = np.asarray(node.params["y"])
    out = functions.exp(iv.mul(functions.log(functions.positive(z)), iv.reciprocal(Interval(y, y))))
    if node.params["y"] > 0:
        new = Interval(np.where(z.lo > 0, out.lo, 0.0), np.where(z.hi > 0, out.hi, 0.0))
    else:
        new = Interval(np.where(z.hi > 0, out.lo, -INF), np.where(z.lo > 0, out.hi, INF))
    return _undefined_below(new, a[0], 0.0)


def _atanlike(z: Interval, name: str, least: float, greatest: float) -> list[Interval]:
    """Through the inverse of a function with a range: at the ends of the range it says nothing."""
    shrunk = 1 - 1e-12
    inside_lo, inside_hi = z.lo > least * shrunk, z.hi < greatest * shrunk
    a = Interval(np.where(inside_lo, z.lo, 0.0), np.where(inside_hi, z.hi, 0.0))
    if name == "tanh":
        out = functions.increasing("atanh", a)
    elif name == "logistic":
        half = Interval(np.where(inside_lo, z.lo, 0.5), np.where(inside_hi, z.hi, 0.5))
        odds = iv.div(half, iv.sub(Interval(np.ones(1), np.ones(1)), half))
        out = functions.log(functions.positive(odds))
    else:
        t, _ = functions.tan(a)
        out = t
    return [Interval(np.where(inside_lo, out.lo, -INF), np.where(inside_hi, out.hi, INF))]


def _log_sum_exp(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval]:
    """No entry is greater than the whole."""
    top = np.expand_dims(iv.up(z.hi, 2), node.params["axes"])
    return [Interval(np.full_like(top, -INF), top)]


BACK: dict[str, Any] = {
    "both": lambda node, a, z, of: [z, None],
    "lse": _log_sum_exp,
    "add": lambda node, a, z, of: [iv.sub(z, a[1]), iv.sub(z, a[0])],
    "sub": lambda node, a, z, of: [iv.add(z, a[1]), iv.sub(a[0], z)],
    "mul": _mul,
    "neg": lambda node, a, z, of: [iv.neg(z)],
    "abs": lambda node, a, z, of: [functions.two_sided(a[0], functions.positive(z))],
    "reciprocal": lambda node, a, z, of: [iv.quotient(Interval(np.ones(1), np.ones(1)), z)],
    "square": _square,
    "ipow": _ipow,
    "quadratic": lambda node, a, z, of: [functions.unquadratic(node.params["a"], node.params["vertex"], a[0], z)],
    "powc": _powc,
    "exp": lambda node, a, z, of: [functions.log(z)],
    "log": lambda node, a, z, of: _undefined_below(functions.exp(z), a[0], 0.0),
    "expm1": lambda node, a, z, of: [functions.increasing("log1p", z)],
    "log1p": lambda node, a, z, of: _undefined_below(functions.increasing("expm1", z), a[0], -1.0),
    "sqrt": lambda node, a, z, of: _undefined_below(iv.square(functions.positive(z)), a[0], 0.0),
    "sin": lambda node, a, z, of: [functions.unwave("sin", a[0], z)],
    "cos": lambda node, a, z, of: [functions.unwave("cos", a[0], z)],
    "tanh": lambda node, a, z, of: _atanlike(z, "tanh", -1.0, 1.0),
    "logistic": lambda node, a, z, of: _atanlike(z, "logistic", 0.0, 1.0),
    "atan": lambda node, a, z, of: _atanlike(z, "tan", -np.pi / 2, np.pi / 2),
    "max": _max,
    "min": _min,
    "sum": _sum,
    "map": maps.backward,
    "sort": _sort,
    "pick": _pick,
    "place": _place,
    "within": _within,
    "move": _moved,
    "select": _select,
    **switched.BACK,
}
