"""A flat program of a proof at single points with fifty digits: what its enclosures have to hold."""

import numpy as np
import pytest

from jaxglobal.proof import moves
from jaxglobal.proof.node import Node

mp = pytest.importorskip("mpmath").mp
mp.dps = 50

UNARY = {
    "neg": lambda a: -a,
    "abs": abs,
    "square": lambda a: a * a,
    "exp": mp.exp,
    "log": mp.log,
    "sqrt": mp.sqrt,
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "tanh": mp.tanh,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "asin": mp.asin,
    "acos": mp.acos,
    "atan": mp.atan,
    "asinh": mp.asinh,
    "acosh": mp.acosh,
    "atanh": mp.atanh,
    "erf": mp.erf,
    "erfc": mp.erfc,
    "log1p": lambda a: mp.log(1 + a),
    "expm1": mp.expm1,
    "logistic": lambda a: 1 / (1 + mp.exp(-a)),
    "floor": mp.floor,
    "ceil": mp.ceil,
    "cbrt": lambda a: mp.sign(a) * mp.cbrt(abs(a)),
    "reciprocal": lambda a: 1 / a,
    "sign": mp.sign,
    "sign_hull": mp.sign,
    "lgamma": lambda a: mp.loggamma(a),
    "digamma": mp.digamma,
    "trigamma": lambda a: mp.psi(1, a),
    "trunc": lambda a: mp.mpf(int(a)),
    "round": mp.nint,
    "not": lambda a: 1 - a,
    "defined": lambda a: mp.mpf(1),
    "xlogx": lambda a: a * mp.log(a),
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "max": max,
    "min": min,
    "lt": lambda a, b: mp.mpf(a < b),
    "le": lambda a, b: mp.mpf(a <= b),
    "gt": lambda a, b: mp.mpf(a > b),
    "ge": lambda a, b: mp.mpf(a >= b),
    "eq": lambda a, b: mp.mpf(a == b),
    "ne": lambda a, b: mp.mpf(a != b),
    "and": min,
    "or": max,
    "xor": lambda a, b: abs(a - b),
    "atan2": mp.atan2,
    "rem": lambda a, b: a - b * int(a / b),
}


class Unknown(Exception):
    """No digits: a rounded constant that is an interval, or an operation that is not looked at."""


def evaluate(nodes: list[Node], x: np.ndarray, wanted: list[int]) -> dict[int, np.ndarray]:
    """The values of operations at a point, (n,), each an object array of its shape."""
    values: dict[int, np.ndarray] = {}

    def value(i: int) -> np.ndarray:
        if i not in values:
            values[i] = made(nodes[i])
        return values[i]

    def made(node: Node) -> np.ndarray:
        if node.op == "x":
            return np.array([mp.mpf(float(v)) for v in x], object)
        if node.op == "const":
            if not node.value.is_point:
                raise Unknown
            return each(lambda v: mp.mpf(float(v)), node.value.lo[..., 0])
        ins = [value(j) for j in node.ins[: 1 if node.op == "both" else None]]
        if node.op == "both":
            return ins[0]
        if node.op == "place":
            knots, right = node.params["knots"].lo, node.params["right"]
            return each(lambda v: mp.mpf(sum(t <= v if right else t < v for t in knots)), ins[0])
        if node.op == "within":
            ends = [-mp.inf, *map(mp.mpf, node.params["knots"].lo), mp.inf]
            rows = [each(lambda v, k=k: min(max(v, ends[k]), ends[k + 1]), ins[0]) for k in range(len(ends) - 1)]
            return np.stack(rows)
        if node.op == "pick":
            out = np.empty(ins[0].shape, object)
            for k in np.ndindex(out.shape):
                out[k] = ins[2][(int(ins[0][k]), *k)]
            return out
        if node.op == "move":
            return moves.forward(node, [np.asarray(a, object)[..., None] for a in ins])[..., 0]
        if node.op == "map":
            M = node.params["matrix"]
            if M.error is not None:
                raise Unknown
            return np.asarray(each(mp.mpf, M.middle) @ ins[0].reshape(-1), object).reshape(node.shape)
        if node.op == "sum":
            return np.asarray(np.sum(ins[0], axis=node.params["axes"]), object)
        if node.op == "select":
            wide = np.broadcast_arrays(*ins)
            out = np.empty(wide[0].shape, object)
            for k in np.ndindex(out.shape):
                out[k] = wide[1 + int(wide[0][k])][k]
            return out
        if node.op in ("lse", "softmax"):
            e = each(mp.exp, ins[0])
            total = np.asarray(np.sum(e, axis=node.params["axes"], keepdims=node.op == "softmax"), object)
            return each(mp.log, total) if node.op == "lse" else np.asarray(e / total, object)
        if node.op == "ranked":  # where two are equal any of them
            order = np.argsort(ins[0], axis=node.params["axis"], kind="stable")
            return np.take_along_axis(np.broadcast_to(ins[1], node.shape), order[None], node.params["axis"])
        if node.op == "sort":
            return np.sort(ins[0], axis=node.params["axis"])
        if node.op == "wrapped":
            least, most = int(node.params["least"]), int(node.params["most"])
            return each(lambda v: mp.mpf((int(v) - least) % (most - least + 1) + least), ins[0])
        if node.op == "whole_quotient":
            return each(lambda v: mp.mpf(int(v / mp.mpf(node.params["by"]))), ins[0])
        if node.op == "ipow":
            return each(lambda v: v ** node.params["y"], ins[0])
        if node.op == "powc":
            return each(lambda v: v ** mp.mpf(node.params["y"]), ins[0])
        if node.op == "quadratic":
            a, b = (each(lambda v: mp.mpf(float(v)), node.params[k][..., 0]) for k in ("a", "b"))
            return np.asarray(a * ins[0] * ins[0] + b * ins[0], object)
        if node.op in UNARY:
            return each(UNARY[node.op], ins[0])
        if node.op in BINARY:
            left, right = np.broadcast_arrays(*ins)
            out = np.empty(left.shape, object)
            for k in np.ndindex(left.shape):
                out[k] = BINARY[node.op](left[k], right[k])
            return out
        raise Unknown

    for i in wanted:
        value(i)
    return values


def each(fun, array) -> np.ndarray:
    """A function of each entry."""
    array = np.asarray(array)
    out = np.empty(array.shape, object)
    for k in np.ndindex(array.shape):
        out[k] = fun(array[k])
    return out
