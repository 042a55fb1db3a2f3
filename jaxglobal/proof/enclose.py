"""Forward evaluation: the natural interval extension of a program, operation by operation.

What is "never" defined is NaN at every point of the box in JAX, however it is compiled. Only operations that make NaN
of any NaN (PASSES) hand it on. XLA makes x log|a| of log(a ** x), which has a value where a is negative; a choice of 0
or a of the product of a with a condition; and its reductions by max and min may leave NaN out. So powers of negative
numbers, products with what may be zero, and max and min count as values.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxglobal.proof import chosen, elementary, functions, maps, moves, special, steps, verified
from jaxglobal.proof import intervals as iv
from jaxglobal.proof.enclosure import Enclosure, carried, constant, either, filled, handed_on, perhaps
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.node import Node
from jaxglobal.proof.steps import COMPARISONS

NOTHING: Mapping[int, Interval] = {}


def one(node: Node, ins: list[Enclosure]) -> Enclosure:
    """The result of an operation."""
    if node.op == "select":
        return chosen.select(node, ins)
    if node.op == "both":
        return both(*ins)
    if node.op == "place":
        return chosen.place(node, *ins)
    if node.op == "pick":
        return chosen.pick(node, *ins)
    if node.op == "defined":
        (a,), like = ins, np.ones_like(ins[0].lo)
        lo = like if a.nan is False else np.where(a.nan, 0.0, like)
        hi = like if a.never is False else np.where(a.never, 0.0, like)
        return Enclosure(lo, hi, False, either(a.jump, perhaps(a)))
    out = RULES[node.op](node, *(Interval(i.lo, i.hi) for i in ins))
    if len(out) == 2 and all(plain(i) for i in ins):  # most are that
        return Enclosure(np.maximum(out[0], 0.0) if node.never_negative else out[0], out[1])
    jump = edge = False
    for operand in ins:
        jump, edge = either(jump, operand.jump), either(edge, operand.edge)
    nan = carried(node, ins, [operand.nan for operand in ins])
    passes = node.op in PASSES and not node.params.get("hides")
    never = carried(node, ins, handed_on(node, ins)) if passes else False
    if node.op not in ("and", "or", "xor", "not", "move"):  # a condition that is used as a number jumps
        jump, edge = either(jump, edge), False
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


def plain(a: Enclosure) -> bool:
    """Whether it is defined everywhere, and without a jump."""
    return a.nan is False and a.never is False and a.jump is False and a.edge is False


def both(a: Enclosure, b: Enclosure) -> Enclosure:
    """A value that is known to lie in another enclosure as well, wherever that is surely one."""
    lo, hi = (b.lo, b.hi) if b.nan is False else (np.where(b.nan, -INF, b.lo), np.where(b.nan, INF, b.hi))
    return a._replace(lo=np.maximum(a.lo, lo), hi=np.minimum(a.hi, hi))


def run(
    nodes: list[Node], plan: list[int], values: dict[int, Enclosure], forced: Mapping[int, Interval] = NOTHING
) -> dict[int, Enclosure]:
    """Runs operations in order, on top of the values of x and of those before; adds theirs.

    forced: what some of them are known to be, beside what follows from the box; empty where that is impossible.
    """
    for i in plan:
        node = nodes[i]
        ins = []
        for j in node.ins:
            if j not in values:
                values[j] = constant(nodes[j])
            ins.append(values[j])
        out = one(node, ins)
        if i in forced:
            lo, hi = np.maximum(out.lo, forced[i].lo), np.minimum(out.hi, forced[i].hi)
            out = out._replace(lo=lo, hi=np.maximum(lo, hi))
        values[i] = out
    return values


def _unknown(node: Node, *operands: Interval) -> Any:
    """A derivative for which there is no rule."""
    return iv.whole(np.broadcast_to(operands[0].lo, (*node.shape, operands[0].lo.shape[-1])))


def _anything(node: Node, *operands: Interval) -> Any:
    """Any number, or none: what it is a proof does not say."""
    lo, hi = _unknown(node, *operands)
    anywhere = np.ones(lo.shape[-1], bool)
    return lo, hi, anywhere, anywhere


PASSES = frozenset(
    "move sum add sub mul neg abs square ipow powc quadratic reciprocal rem sqrt cbrt exp expm1 log log1p sin cos tan "
    "asin acos atan atan2 sinh cosh tanh asinh acosh atanh logistic erf erfc lgamma digamma sign floor ceil round "
    "trunc".split()
)
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
    "map": maps.forward,
    "quadratic": lambda node, a: functions.quadratic(node.params["a"], node.params["b"], node.params["vertex"], a),
    "reach": lambda node, a: (np.minimum(a.lo, 0.0), np.maximum(a.hi, 0.0)),
    "lse": lambda node, a: functions.log_sum_exp(a, node.params["axes"]),
    "softmax": lambda node, a: functions.shares(a, node.params["axes"]),
    "unknown": _unknown,
    "anything": _anything,
    **elementary.RULES,
    **special.RULES,
    **verified.RULES,
    **steps.RULES,
    **chosen.RULES,
}
