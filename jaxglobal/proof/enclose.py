"""The forward rules: what values an operation may take in a box, where it may be undefined, and where it may jump.

"Undefined" is what JAX calls NaN, and a division by zero; "jump" is a discontinuity in the box or on its face, since a
proof about a box reaches its neighbours. The ends are those of the values where there are some.

What is "never" defined is NaN at every point of the box in JAX, however it is compiled. Only operations that make NaN
of any NaN (PASSES) hand it on. XLA makes x log|a| of log(a ** x), which has a value where a is negative; a choice of 0
or a of the product of a with a condition; and its reductions by max and min may leave NaN out. So powers of negative
numbers, products with what may be zero, and max and min count as values.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof import functions, moves
from jaxglobal.proof import intervals as iv
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.node import Node


class Enclosure(NamedTuple):
    """What is known of a value in each box.

    Attributes:
        lo: lower ends, with the batch of boxes as last axis.
        hi: upper ends.
        nan: where it may be undefined somewhere in the box, by entry and box; False nowhere.
        jump: where it may jump, by box; False nowhere.
        edge: of a condition, where the two sides that it compares may be equal, by box; False nowhere.
        never: where it is NaN at every point of the box, by entry and box; False nowhere.
    """

    lo: Any
    hi: Any
    nan: Any = False
    jump: Any = False
    edge: Any = False
    never: Any = False

    @property
    def nans(self) -> Any:
        """Where an entry may be undefined, by box; False nowhere."""
        return by_box(self.nan)

    @property
    def interval(self) -> Interval:
        """The ends alone."""
        return Interval(self.lo, self.hi)


def either(p: Any, q: Any) -> Any:
    """P or q, where False is False everywhere."""
    return q if p is False else p if q is False else p | q


def by_box(mask: Any) -> Any:
    """Whether a mask holds anywhere, by box; False where it holds in none."""
    if mask is False:
        return False
    mask = mask.any(tuple(range(mask.ndim - 1))) if mask.ndim > 1 else mask
    return mask if mask.any() else False


def some(mask: Any) -> Any:
    """A mask; False where it holds nowhere."""
    return mask if mask is not False and mask.any() else False


def perhaps(a: Enclosure) -> Any:
    """Where an entry is undefined at some points of the box and not at others, by box; False nowhere."""
    return a.nans if a.never is False else by_box(a.nan & ~a.never)


def constant(node: Node) -> Enclosure:
    """That of a constant."""
    lo, hi = node.value  # pyright: ignore
    return Enclosure(lo, hi, node.nan, False, False, node.never)


def carried(node: Node, ins: list[Enclosure], masks: list[Any]) -> Any:
    """Masks of the operands' entries, or False, as one of the entries of the result that are made of them."""
    if all(mask is False for mask in masks):
        return False
    if node.op == "move":
        none = (np.zeros(operand.lo[..., :1].shape, bool) for operand in ins)
        return some(moves.forward(node, [n if mask is False else mask for n, mask in zip(none, masks, strict=True)]))
    out: Any = False
    for mask in masks:
        out = either(out, by_box(mask) if node.op == "unknown" else mask)
    if node.op in ("sum", "lse"):
        return some(out.any(node.params["axes"]))
    if node.op == "ranked":
        out = out.any(node.params["axis"] - 1, keepdims=True)
    if node.op in ("sort", "softmax"):
        out = out.any(node.params["axis" if node.op == "sort" else "axes"], keepdims=True)
    return filled(node, out)


def handed_on(node: Node, ins: list[Enclosure]) -> list[Any]:
    """Where the operands are never defined, of a factor only where the other one is no zero."""
    masks = [operand.never for operand in ins]
    if node.op == "mul":
        for k, other in enumerate(ins[::-1]):
            if masks[k] is not False:
                masks[k] = some(masks[k] & ((other.lo > 0) | (other.hi < 0) | other.never))
    return masks


def filled(node: Node, mask: Any) -> Any:
    """A mask with all entries of a value."""
    return mask if mask is False else np.broadcast_to(mask, (*node.shape, mask.shape[-1]))


def one(node: Node, ins: list[Enclosure]) -> Enclosure:
    """The result of an operation."""
    if node.op == "select":
        return select(node, ins)
    if node.op == "both":
        return both(*ins)
    if node.op == "place":
        return place(node, *ins)
    if node.op == "pick":
        return pick(node, *ins)
    if node.op == "defined":
        (a,), like = ins, np.ones_like(ins[0].lo)
        lo = like if a.nan is False else np.where(a.nan, 0.0, like)
        hi = like if a.never is False else np.where(a.never, 0.0, like)
        return Enclosure(lo, hi, False, either(a.jump, perhaps(a)))
    jump = edge = False
    for operand in ins:
        jump, edge = either(jump, operand.jump), either(edge, operand.edge)
    nan = carried(node, ins, [operand.nan for operand in ins])
    passes = node.op in PASSES and not node.params.get("hides")
    never = carried(node, ins, handed_on(node, ins)) if passes else False
    if node.op not in ("and", "or", "xor", "not", "move"):  # a condition that is used as a number jumps
        jump, edge = either(jump, edge), False
    out = RULES[node.op](node, *(Interval(i.lo, i.hi) for i in ins))
    if len(out) > 2:
        nan, jump = filled(node, either(nan, out[2])), jump if node.op in COMPARISONS else either(jump, out[3])
    if len(out) > 4 and passes:
        never = filled(node, either(never, out[4]))
    lo, hi = out[0], out[1]
    if node.op in COMPARISONS and nan is not False:  # of NaN only != is true
        lo, hi = (lo, np.where(nan, 1.0, hi)) if node.op == "ne" else (np.where(nan, 0.0, lo), hi)
    if node.op in COMPARISONS:
        for operand in ins:
            jump = either(jump, perhaps(operand))
            if operand.never is not False:
                lo, hi = (np.where(operand.never, float(node.op == "ne"), end) for end in (lo, hi))
        return Enclosure(lo, hi, False, jump, out[3])
    if node.never_negative:
        lo = np.maximum(lo, 0.0)
    if node.op == "sort" and nan is not False:  # NaN comes last
        lo, hi = np.where(nan, -INF, lo), np.where(nan, INF, hi)
    return Enclosure(lo, hi, nan, jump, edge, never)


def both(a: Enclosure, b: Enclosure) -> Enclosure:
    """A value that is known to lie in another enclosure as well, wherever that is surely one."""
    lo, hi = (b.lo, b.hi) if b.nan is False else (np.where(b.nan, -INF, b.lo), np.where(b.nan, INF, b.hi))
    return a._replace(lo=np.maximum(a.lo, lo), hi=np.minimum(a.hi, hi))


def run(nodes: list[Node], plan: list[int], values: dict[int, Enclosure]) -> dict[int, Enclosure]:
    """Runs operations in order, on top of the values of x and of those before; adds theirs."""
    for i in plan:
        node = nodes[i]
        ins = []
        for j in node.ins:
            if j not in values:
                values[j] = constant(nodes[j])
            ins.append(values[j])
        values[i] = one(node, ins)
    return values


# ------------------------------------------------------------------ rules: rule(node, *operands)


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


def _step(fun: str):
    """A step function: it jumps where the ends, or what is next to them, differ."""

    def rule(node: Node, a: Interval) -> Any:
        step = {"floor": np.floor, "ceil": np.ceil, "round": np.rint, "trunc": np.trunc, "sign": np.sign}[fun]
        low, high = step(np.nextafter(a.lo, -INF)), step(np.nextafter(a.hi, INF))
        lo, hi = (low, high) if fun == "round" else (step(a.lo), step(a.hi))  # halves go either way
        return lo, hi, False, by_box((low != high) & ~(node.still & (a.lo == a.hi)))

    return rule


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


def _sign_hull(node: Node, a: Interval) -> Any:
    """The derivative of |a|: both signs where a reaches zero."""
    lo, hi = np.where(a.lo > 0, 1.0, -1.0), np.where(a.hi < 0, -1.0, 1.0)
    return lo, hi, False, by_box(lo != hi)


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


def _atan2(node: Node, y: Interval, x: Interval) -> Any:
    """The angle: by its corners where neither the origin nor the cut along negative x lies in the box."""
    cut = (x.lo <= 0) & (y.lo <= 0) & (y.hi >= 0)
    corners = [np.arctan2(q, p) for q in y for p in x]
    lo = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
    hi = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
    lo, hi = iv.down(lo, 9), iv.up(hi, 9)
    return np.where(cut, -3.15, lo), np.where(cut, 3.15, hi), False, by_box(cut)


def _rem(node: Node, a: Interval, b: Interval) -> Any:
    """The remainder of a division by a constant, with the sign of a: a - b trunc(a / b)."""
    t = iv.div(a, b)
    low, high = np.trunc(iv.down(t.lo)), np.trunc(iv.up(t.hi))
    same, size = low == high, iv.size(b).hi
    exact = iv.sub(a, iv.mul(Interval(low, high), b))
    lo = np.where(same, exact.lo, np.where(a.lo < 0, -size, 0.0))
    hi = np.where(same, exact.hi, np.where(a.hi > 0, size, 0.0))
    return np.maximum(lo, -size), np.minimum(hi, size), some((b.lo <= 0) & (b.hi >= 0)), by_box(~same)


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


def _unknown(node: Node, *operands: Interval) -> Any:
    """A derivative for which there is no rule."""
    return iv.whole(np.broadcast_to(operands[0].lo, (*node.shape, operands[0].lo.shape[-1])))


def _anything(node: Node, *operands: Interval) -> Any:
    """Any number, or none: what it is a proof does not say."""
    lo, hi = _unknown(node, *operands)
    anywhere = np.ones(lo.shape[-1], bool)
    return lo, hi, anywhere, anywhere


def _xlogx(node: Node, a: Interval) -> Any:
    return (*functions.xlogx(a), some(a.lo <= 0), False)


PASSES = frozenset(
    "move sum add sub mul neg abs square ipow powc quadratic reciprocal rem sqrt cbrt exp expm1 log log1p sin cos tan "
    "asin acos atan atan2 sinh cosh tanh asinh acosh atanh logistic erf erfc lgamma digamma sign floor ceil round "
    "trunc".split()
)
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
RULES: dict[str, Any] = {
    "add": lambda node, a, b: iv.add(a, b),
    "sub": lambda node, a, b: iv.sub(a, b),
    "mul": lambda node, a, b: iv.mul(a, b, node.params.get("signs", (False, False))),
    "neg": lambda node, a: iv.neg(a),
    "abs": lambda node, a: iv.size(a),
    "square": lambda node, a: iv.square(a),
    "ipow": lambda node, a: iv.power(a, node.params["y"]),
    "max": lambda node, a, b: (np.maximum(a.lo, b.lo), np.maximum(a.hi, b.hi)),
    "min": lambda node, a, b: (np.minimum(a.lo, b.lo), np.minimum(a.hi, b.hi)),
    "sum": lambda node, a: iv.total(a, node.params["axes"]),
    "move": lambda node, *ins: (
        moves.forward(node, [i.lo for i in ins]),
        moves.forward(node, [i.hi for i in ins]),
    ),
    "quadratic": lambda node, a: functions.quadratic(node.params["a"], node.params["b"], a),
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
    "sign_hull": _sign_hull,
    "and": _logic,
    "or": _logic,
    "xor": _logic,
    "not": _logic,
    "atan2": _atan2,
    "rem": _rem,
    "xlogx": _xlogx,
    "reach": lambda node, a: (np.minimum(a.lo, 0.0), np.maximum(a.hi, 0.0)),
    "lse": lambda node, a: functions.log_sum_exp(a, node.params["axes"]),
    "softmax": lambda node, a: functions.shares(a, node.params["axes"]),
    "wrapped": _wrapped,
    "whole_quotient": _whole_quotient,
    "sort": _sort,
    "ranked": _ranked,
    "within": _within,
    "unknown": _unknown,
    "anything": _anything,
    **dict.fromkeys(("exp", "expm1", "cbrt", "tanh", "sinh", "atan", "asinh", "logistic", "erf"), _increasing),
    **dict.fromkeys(COMPARISONS, _compare),
    **{name: _step(name) for name in ("floor", "ceil", "round", "trunc", "sign")},
}
