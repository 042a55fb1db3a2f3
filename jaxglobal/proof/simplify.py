"""Algebraic simplification as a program is written: an operation as an equal one with less dependency, or none."""

from typing import Any

import numpy as np

from jaxglobal.proof import functions, mapped, patterns


def simpler(p: Any, op: str, ins: tuple[int, ...], params: dict[str, Any]) -> int | None:
    """The same value by less, exactly; None where there is none."""
    if op in ("add", "sub", "mul"):
        a, b = ins
        shape = np.broadcast_shapes(p.shape(a), p.shape(b))
        for i, j in ((a, b), (b, a)):
            if p.shape(j) != shape:
                continue
            if op == "mul" and p.all_equal(i, 1.0) or op in ("add", "sub") and p.all_equal(i, 0.0):
                if op != "sub":
                    return j
                return p.emit("neg", (b,)) if i == a else a
            if op == "mul" and p.all_equal(i, -1.0):
                return p.emit("neg", (j,))
        gone = p.deriving or not any(p.nodes[i].partial for i in ins)
        if op == "mul" and gone and (p.all_equal(a, 0.0) or p.all_equal(b, 0.0)):
            return p.const(np.zeros(shape))
        if op == "sub" and a == b and gone:
            return p.const(np.zeros(shape))
        if op == "mul" and a == b:
            return p.emit("square", (a,))
        if op == "mul" and not params.get("plain") and not params.get("hides"):
            for i, j in ((a, b), (b, a)):
                if (known := _monomial(p, i, j) or patterns.product(p, i, j)) is not None:
                    return known
        if op == "add":
            for i, j in ((a, b), (b, a)):
                if (known := patterns.total(p, i, j)) is not None:
                    return known
        if op == "sub" and (known := patterns.difference(p, a, b)) is not None:
            return known
        if op in ("add", "sub") and (known := _expm1(p, a, b, op == "sub")) is not None:
            return known
        if op in ("add", "sub") and (square := _quadratic(p, a, b, op == "sub")) is not None:
            return square
        if op == "add":
            for i, j in ((a, b), (b, a)):
                if p.nodes[j].op == "neg" and not p.is_const(i):
                    return p.emit("sub", (i, p.nodes[j].ins[0]))
    if op == "sum" and p.nodes[ins[0]].op == "mul" and (known := mapped.found(p, ins[0], params["axes"])) is not None:
        return known
    if op == "log" and (known := patterns.logarithm(p, ins[0])) is not None:
        return known
    if op in ("eq", "ne") and ins[0] == ins[1]:  # the test for NaN
        defined = p.emit("defined", ins[:1]) if p.nodes[ins[0]].partial else p.const(np.ones(p.shape(ins[0])))
        return defined if op == "eq" else p.emit("not", (defined,))
    if op == "neg" and p.nodes[ins[0]].op in ("neg", "sub"):
        inner = p.nodes[ins[0]].ins
        return inner[0] if len(inner) == 1 else p.emit("sub", inner[::-1])
    if op == "square" and p.nodes[ins[0]].op in ("neg", "abs"):
        return p.emit("square", p.nodes[ins[0]].ins)
    if op == "abs" and p.nodes[ins[0]].never_negative:
        return ins[0]
    if op == "square" and p.nodes[ins[0]].op == "sqrt" and p.nodes[p.nodes[ins[0]].ins[0]].never_negative:
        return p.nodes[ins[0]].ins[0]
    if op == "ipow":
        if params["y"] == 1:
            return ins[0]
        if params["y"] == 2:
            return p.emit("square", ins)
        if params["y"] == 4:
            return p.emit("square", (p.emit("square", ins),))
    if op == "select" and all(i == ins[1] for i in ins[2:]) and not p.nodes[ins[0]].partial:
        return ins[1]
    if op == "select" and (which := p.number(ins[0])) is not None and np.all(which == which.flat[0]):
        chosen = ins[1 + int(which.flat[0])]
        return chosen if p.shape(chosen) == np.broadcast_shapes(*(p.shape(i) for i in ins)) else None
    return None


def _monomial(p: Any, product: int, u: int) -> int | None:
    """(c u) u as c u^2, with a constant c."""
    node = p.nodes[product]
    if node.op == "mul" and u in node.ins:
        c = node.ins[0] if node.ins[1] == u else node.ins[1]
        if p.is_const(c) and p.shape(u) == p.shape(product):
            return p.emit("mul", (c, p.emit("square", (u,))))
    return None


def _expm1(p: Any, a: int, b: int, minus: bool) -> int | None:
    """exp(u) - 1, or 1 - exp(u)."""
    for i, j in ((a, b), (b, a)):
        if p.nodes[i].op != "exp" or p.is_const(i) or p.shape(i) != np.broadcast_shapes(*map(p.shape, (i, j))):
            continue
        if p.all_equal(j, 1.0 if minus else -1.0):
            out = p.unary("expm1", p.nodes[i].ins[0])
            return p.unary("neg", out) if minus and i == b else out
    return None


def _scaled(p: Any, i: int) -> tuple[np.ndarray, int]:
    """A value as a constant, known exactly, times another."""
    node = p.nodes[i]
    for c, u in (node.ins, node.ins[::-1]) if node.op == "mul" else ():
        if (array := p.number(c)) is not None and p.shape(u) == p.shape(i):
            return array, u
    return (np.full(1, -1.0), node.ins[0]) if node.op == "neg" else (np.ones(1), i)


def _quadratic(p: Any, i: int, j: int, minus: bool) -> int | None:
    """A u^2 + b u as one operation, which knows its vertex; None where i and j are not that."""
    (a, u), (b, v) = _scaled(p, i), _scaled(p, j)
    b = -b if minus else b
    if p.nodes[v].op == "square" and p.nodes[v].ins[0] == u:
        (a, u), (b, v) = (b, v), (a, u)
    if p.nodes[u].op != "square" or p.nodes[u].ins[0] != v or p.is_const(v) or not np.all(a):
        return None
    with np.errstate(all="ignore"):
        vertex = functions.vertex(a, b)
    key = (a.tobytes(), a.shape, b.tobytes(), b.shape)
    return p.emit("quadratic", (v,), p.shape(i), key=key, a=a, b=b, vertex=vertex)
