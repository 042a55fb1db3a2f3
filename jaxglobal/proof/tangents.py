"""Automatic differentiation, forward and to second order: derivatives as further operations of a program.

A derivative is a stack of rows, see stacks.py. It is that of the function's own operations, whatever custom rules the
function has in JAX. At a kink it is the hull of both sides, which holds Clarke's generalised gradient, so that the mean
value theorem holds across kinks [1].

[1] F. H. Clarke, Optimization and Nonsmooth Analysis (Wiley, 1983), theorems 2.3.7 and 2.3.10.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxglobal.proof import patterns, pieces, verified
from jaxglobal.proof.agree import Agreement
from jaxglobal.proof.flat import Program
from jaxglobal.proof.node import MIXES
from jaxglobal.proof.slopes import slopes
from jaxglobal.proof.stacks import Stack, Stacks
from jaxglobal.proof.terms import Terms

STEPS = {"floor", "ceil", "round", "trunc", "sign", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "xor", "not",
         "defined", "sign_hull", "const", "wrapped", "whole_quotient", "place", "within"}  # fmt: skip


class Tangents(Stacks):
    """Derivatives of the values of a program, made when they are asked for."""

    def __init__(self, program: Program, seed: Stack | None = None):
        """Of a program that will grow; seed: the derivative of x, by default in all variables."""
        super().__init__(program)
        self._first, self._second = {}, {}
        self._seed = seed
        self._along: dict[int, Tangents] = {}
        self._agree = Agreement(program)
        self._terms = Terms(program, self.first, self._in)

    def first(self, i: int) -> Stack | None:
        """The gradient of a value; None where it is zero."""
        return self._of(i, self._first, 1)

    def second(self, i: int) -> Stack | None:
        """The Hessian of a value; None where it is zero."""
        return self._of(i, self._second, 2)

    def _in(self, values: Sequence[int]) -> "Tangents":
        """Derivatives in the directions of values, entry by entry."""
        along = Tangents(self.p)
        for k, i in enumerate(values):
            along._first[i], along._second[i] = Stack((k,), self.p.const(np.ones((1, *self.p.shape(i))))), None
        return along

    def _of(self, i: int, known: dict[int, Stack | None], order: int) -> Stack | None:
        was, self.p.deriving = self.p.deriving, True
        for k in [*self._inside(i, known), i]:  # in order, so that nothing recurses deeply
            if k not in known:
                known[k] = self._pruned(self._rule(k, order))
        self.p.deriving = was
        return known[i]

    def _inside(self, i: int, known: dict[int, Stack | None]) -> list[int]:
        need, todo = set(), [i]
        while todo:
            for j in self.p.nodes[todo.pop()].ins:
                if j not in need and j not in known:
                    need.add(j)
                    todo.append(j)
        return sorted(need)

    def _rule(self, i: int, order: int) -> Stack | None:
        p, node = self.p, self.p.nodes[i]
        op, ins = node.op, node.ins
        if op == "x":
            n = node.shape[0]
            if order == 2:
                return None
            return self._seed or Stack(tuple(range(n)), p.const(np.eye(n)))
        if op in STEPS or p.is_const(i):
            return None
        if op == "pick":
            return self._picked(i, order)
        if op == "sum" and self._terms.holds(i):
            return self._terms.derivative(i, order)
        parts = [self.first(j) if order == 1 else self.second(j) for j in ins]
        firsts = parts if order == 1 else [self.first(j) for j in ins]
        if all(part is None for part in firsts):
            return None
        if op in ("add", "sub"):
            return self._sum(parts[0], parts[1], p.shape(i), op == "sub")
        if op == "neg":
            return None if parts[0] is None else Stack(parts[0].keys, p.unary("neg", parts[0].id))
        if op == "mul":
            a, b, shape = ins[0], ins[-1], p.shape(i)
            out = self._sum(self._times(parts[1], a, shape), self._times(parts[0], b, shape), shape)
            return out if order == 1 else self._sum(out, self._cross(firsts[0], firsts[1], shape), shape)
        if op == "both" and "of" not in node.params:
            return parts[0]
        if op == "both":
            return self._ratio(i, order)
        if op == "lse":
            return self._log_sum(i, order)
        if op == "map":
            sums = parts[0]
            return None if sums is None else self._mapped(sums, node)
        if op in MIXES:
            return self._of_matrix(i, order)
        if op == "sum":
            part = parts[0]
            return None if part is None else Stack(part.keys, p.sum(part.id, [d + 1 for d in node.params["axes"]]))
        if op == "move":
            return self._moved(i, parts)
        if op == "sort":
            return None if parts[0] is None else self._sorted(ins[0], self._wide(parts[0], node.shape), node)
        if op in ("max", "min"):
            a, b = ins[0], ins[-1]
            which = p.emit("ge" if op == "max" else "le", (a, b), key="closed", closed=True)
            return self._chosen(which, ins, (b, a), (parts[1], parts[0]), p.shape(i))
        if op == "select":
            return self._chosen(self._closed(ins[0]), None, ins[1:], parts[1:], p.shape(i))
        if len(ins) == 1 and (slope := slopes(p, op, ins[0], i, node.params)) is not None:
            out = self._times(parts[0], slope[0], p.shape(i))
            if order == 2 and firsts[0] is not None and op != "abs":
                out = self._sum(
                    out, self._times(self._squares(firsts[0], p.shape(i)), slope[1](), p.shape(i)), p.shape(i)
                )
            return out
        if op == "atan2" and order == 1:
            y, x = ins[0], ins[-1]
            r = p.unary("reciprocal", p.add(p.unary("square", x), p.unary("square", y)))
            minus = p.unary("neg", p.mul(y, r))
            return self._sum(
                self._times(parts[0], p.mul(x, r), p.shape(i)), self._times(parts[1], minus, p.shape(i)), p.shape(i)
            )
        if op == "rem":
            return parts[0]
        return self._unknown(i, firsts, order)

    def _ratio(self, i: int, order: int) -> Stack | None:
        """Of g(u) / u."""
        slope, second = patterns.ratio_slopes(self.p, i)
        return self._chained(self.p.nodes[i].params["of"][1], slope, second, order, self.p.shape(i))

    def _chained(self, u: int, slope: int, second: Callable[[], int], order: int, shape: Any) -> Stack | None:
        """Of a function of u with these derivatives."""
        first = self.first(u)
        if order == 1 or first is None:
            return self._times(first, slope, shape)
        return self._sum(
            self._times(self.second(u), slope, shape), self._times(self._squares(first, shape), second(), shape), shape
        )

    def _picked(self, i: int, order: int) -> Stack | None:
        """Of a function in pieces: that of each piece by the value that was counted."""
        p, stack, (place, u) = self.p, self.p.nodes[i].ins[2], self.p.nodes[i].params["of"]
        if place not in self._along:
            w, along = pieces.within(p, place), Tangents(p)
            along._first[w], along._second[w] = Stack((0,), p.const(np.ones((1, *p.shape(w))))), None
            self._along[place] = along

        def rows(order: int) -> int:
            along = self._along[place]
            part = along.first(stack) if order == 1 else along.second(stack)
            flat = p.const(np.zeros(p.shape(stack))) if part is None else p.reshape(part.id, p.shape(stack))
            return pieces.picked(p, place, flat, order)

        return self._chained(u, rows(1), lambda: rows(2), order, p.shape(i))

    def _log_sum(self, i: int, order: int) -> Stack | None:
        """Of log sum exp(x): the mean of the slopes by the shares; of second order with their variance."""
        p, axes = self.p, self.p.nodes[i].params["axes"]
        x, own = p.nodes[i].ins[0], p.shape(i)
        shape, first = p.shape(x), self.first(x)
        thin = [1 if d in axes else n for d, n in enumerate(shape)]
        plain = p.unary("exp", p.sub(x, p.broadcast(p.reshape(i, thin), shape)))
        shares = patterns.softened(p, plain, x, axes)

        def mean(stack: Stack | None) -> Stack | None:
            stack = self._times(stack, shares, shape)
            return None if stack is None else Stack(stack.keys, p.sum(stack.id, [d + 1 for d in axes]))

        if order == 1 or first is None:
            return mean(first)
        out, slope = self._sum(mean(self.second(x)), mean(self._squares(first, shape)), own), self.first(i)
        return self._sum(out, None if slope is None else self._squares(slope, own), own, True)

    def _of_matrix(self, i: int, order: int) -> Stack | None:
        """Of X = A^-1: -X dA X; of log|det A|: the trace of X dA."""
        p, node = self.p, self.p.nodes[i]
        a, first = node.ins[0], self.first(node.ins[0])
        shape = p.shape(a)
        X = i if node.op == "inverse" else p.emit("inverse", (a,), shape)

        def outer(stack: Stack) -> Stack:
            """What a change of A adds."""
            rows = verified.matmul(p, X, self._wide(stack, shape).id)
            if node.op == "inverse":
                return Stack(stack.keys, p.unary("neg", verified.matmul(p, rows, X)))
            return Stack(stack.keys, self._trace(rows, p.const(np.eye(shape[0]))))

        if order == 1 or first is None:
            return None if first is None else outer(first)
        pairs = [(u, v) for u in range(len(first.keys)) for v in range(u, len(first.keys))]
        P = verified.matmul(p, X, self._wide(first, shape).id)
        left, right = (p.rows(P, [pair[k] for pair in pairs]) for k in (0, 1))
        if node.op == "inverse":
            both = p.add(verified.matmul(p, left, right), verified.matmul(p, right, left))
            twice = verified.matmul(p, both, X)
        else:
            flip = [0, 2, 1]
            twice = p.unary("neg", self._trace(left, p.transpose(right, flip)))
        keys = tuple((first.keys[u], first.keys[v]) for u, v in pairs)
        second = self.second(a)
        return self._sum(Stack(keys, twice), None if second is None else outer(second), node.shape)

    def _mapped(self, part: Stack, node: Any) -> Stack:
        """Each row through the same matrix."""
        p, k, M = self.p, len(part.keys), node.params["matrix"]
        rows = p.reshape(self._wide(part, p.shape(node.ins[0])).id, (k, 1, M.middle.shape[1]))
        products = p.mul(p.const(M.interval), rows)
        return Stack(part.keys, p.reshape(p.sum(products, (2,)), (k, *node.shape)))

    def _trace(self, rows: int, other: int) -> int:
        """Sums of products of the entries of matrices, (k, n, n)."""
        return self.p.sum(self.p.mul(rows, other), (1, 2))

    def _sorted(self, a: int, part: Stack, node: Any) -> Stack:
        """Each place has the derivative of an entry that may be in it."""
        shape, axis = (len(part.keys), *node.shape), node.params["axis"] - len(node.shape)
        return Stack(part.keys, self.p.emit("ranked", (a, part.id), shape, key=axis, axis=axis))

    def _unknown(self, i: int, firsts: list[Stack | None], order: int) -> Stack:
        """Anything, in the variables that go in."""
        variables = sorted({key for stack in firsts if stack is not None for key in stack.keys})
        keys: Any = variables if order == 1 else [(a, b) for a in variables for b in variables if a <= b]
        return Stack(tuple(keys), self.p.emit("unknown", (i,), (len(keys), *self.p.shape(i)), key=len(keys)))

    def _closed(self, which: int) -> int:
        """The condition, open as well where a comparison only touches."""
        p, node = self.p, self.p.nodes[which]
        if node.op in ("lt", "le", "gt", "ge", "eq", "ne") and not node.params.get("closed"):
            return p.emit(node.op, node.ins, key="closed", closed=True)
        if node.op in ("and", "or", "xor", "not") or node.op == "move":
            ins = [self._closed(j) for j in node.ins]
            if node.op == "move":
                key = (node.params["how"], which)
                return p.emit("move", ins, node.shape, key=key, **node.params)
            return p.emit(node.op, ins)
        return which

    def _chosen(
        self, which: int, pair: Any, cases: Sequence[int], parts: Sequence[Stack | None], shape: Any
    ) -> Stack | None:
        """The derivative of a choice: that of the case, or the hull of all that may be."""
        p, keys = self.p, sorted({key for part in parts if part is not None for key in part.keys})
        if not keys:
            return None
        rows = [self._padded(part, keys, p.shape(case)) for part, case in zip(parts, cases, strict=True)]
        wide = np.broadcast_shapes(p.shape(which), *(p.shape(case) for case in cases))
        rows = [self._wide(Stack(tuple(keys), row), wide).id for row in rows]
        agree = len(rows) == 2 and self._agree.holds(which, *rows)
        return Stack(
            tuple(keys), p.emit("select", (which, *rows), (len(keys), *wide), key=("stack", agree), continuous=agree)
        )
