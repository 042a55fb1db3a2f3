"""First and second derivatives of a flat program, written into it as further operations.

A derivative is a stack: one row for each variable, or pair of variables, in which it is not zero everywhere. What is
enclosed is the derivative of the function's own operations, and where these have a kink the hull of both sides, which
holds every generalised gradient [1]; so the mean value theorem holds across kinks as well.

[1] F. H. Clarke, Optimization and Nonsmooth Analysis (Wiley, 1983), theorems 2.3.7 and 2.3.10.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof import patterns, pieces
from jaxglobal.proof.agree import Agreement
from jaxglobal.proof.flat import Program
from jaxglobal.proof.slopes import slopes


class Stack(NamedTuple):
    """Rows of derivatives.

    Attributes:
        keys: variables, or pairs (i, j) with i <= j, in order.
        id: the number of a value of shape (len(keys), *shape).
    """

    keys: tuple[Any, ...]
    id: int


STEPS = {"floor", "ceil", "round", "trunc", "sign", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "xor", "not",
         "defined", "sign_hull", "const", "wrapped", "whole_quotient", "place", "within"}  # fmt: skip


class Tangents:
    """Derivatives of the values of a program, made when they are asked for."""

    def __init__(self, program: Program, seed: Stack | None = None):
        """Of a program that will grow; seed: the derivative of x, by default in all variables."""
        self.p, self._first, self._second = program, {}, {}
        self._seed = seed
        self._along: dict[int, Tangents] = {}
        self._agree = Agreement(program)

    def first(self, i: int) -> Stack | None:
        """The gradient of a value; None where it is zero."""
        return self._of(i, self._first, 1)

    def second(self, i: int) -> Stack | None:
        """The Hessian of a value; None where it is zero."""
        return self._of(i, self._second, 2)

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

    def _pruned(self, stack: Stack | None) -> Stack | None:
        """Without rows that are zero."""
        if stack is None or not stack.keys:
            return None
        value = self.p.nodes[stack.id].value
        if value is None:
            return stack
        zero = lambda end: ~np.broadcast_to(end, (*self.p.shape(stack.id), 1)).reshape(len(stack.keys), -1).any(1)  # noqa: E731
        used = np.flatnonzero(~(zero(value.lo) & zero(value.hi)))
        if len(used) == len(stack.keys):
            return stack
        return Stack(tuple(stack.keys[k] for k in used), self.p.rows(stack.id, used.tolist())) if len(used) else None

    # ------------------------------------------------------------ rules

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

    def _sorted(self, a: int, part: Stack, node: Any) -> Stack:
        """Each place has the derivative of an entry that may be in it."""
        shape, axis = (len(part.keys), *node.shape), node.params["axis"] - len(node.shape)
        return Stack(part.keys, self.p.emit("ranked", (a, part.id), shape, key=axis, axis=axis))

    def _unknown(self, i: int, firsts: list[Stack | None], order: int) -> Stack:
        """Anything, in the variables that go in."""
        variables = sorted({key for stack in firsts if stack is not None for key in stack.keys})
        keys: Any = variables if order == 1 else [(a, b) for a in variables for b in variables if a <= b]
        return Stack(tuple(keys), self.p.emit("unknown", (i,), (len(keys), *self.p.shape(i)), key=len(keys)))

    def _wide(self, stack: Stack, shape: Sequence[int]) -> Stack:
        """Of the value broadcast to a shape."""
        p, own = self.p, self.p.shape(stack.id)
        thin = p.reshape(stack.id, (own[0], *(1,) * (len(shape) + 1 - len(own)), *own[1:]))
        return Stack(stack.keys, p.broadcast(thin, (own[0], *shape)))

    def _parted(self, a: Stack, b: Stack) -> tuple[list[Any], list[Any], list[Any]]:
        both = [key for key in a.keys if key in set(b.keys)]
        return both, [key for key in a.keys if key not in set(both)], [key for key in b.keys if key not in set(both)]

    def _rows(self, stack: Stack, keys: Sequence[Any]) -> int:
        place = {key: k for k, key in enumerate(stack.keys)}
        return self.p.rows(stack.id, [place[key] for key in keys])

    def _gathered(self, parts: list[tuple[list[Any], int]]) -> Stack:
        """Rows of several stacks, in the order of their keys."""
        keys = [key for names, _ in parts for key in names]
        order = sorted(range(len(keys)), key=lambda k: keys[k])
        whole = self.p.concatenate([i for _, i in parts], 0)
        return Stack(tuple(keys[k] for k in order), self.p.rows(whole, order))

    def _sum(self, a: Stack | None, b: Stack | None, shape: Sequence[int], minus: bool = False) -> Stack | None:
        p, op = self.p, "sub" if minus else "add"
        if b is None:
            return None if a is None else self._wide(a, shape)
        b = self._wide(b, shape)
        if a is None:
            return Stack(b.keys, p.unary("neg", b.id)) if minus else b
        a = self._wide(a, shape)
        if a.keys == b.keys:
            return Stack(a.keys, p.emit(op, (a.id, b.id)))
        both, left, right = self._parted(a, b)
        parts = [(left, self._rows(a, left))] if left else []
        if right:
            rows = self._rows(b, right)
            parts.append((right, p.unary("neg", rows) if minus else rows))
        if both:
            parts.append((both, p.emit(op, (self._rows(a, both), self._rows(b, both)))))
        return self._gathered(parts)

    def _times(self, stack: Stack | None, factor: int, shape: Sequence[int]) -> Stack | None:
        """Rows times a value."""
        if stack is None:
            return None
        own = self.p.shape(stack.id)
        thin = self.p.reshape(stack.id, (own[0], *(1,) * (len(shape) + 1 - len(own)), *own[1:]))
        return self._pruned(Stack(stack.keys, self.p.mul(factor, thin)))

    def _cross(self, a: Stack | None, b: Stack | None, shape: Sequence[int]) -> Stack | None:
        """a_i b_j + a_j b_i of each pair."""
        p = self.p
        if a is None or b is None:
            return None
        a, b = self._wide(a, shape), self._wide(b, shape)
        terms: dict[Any, list[tuple[int, int]]] = {}
        for i, u in enumerate(a.keys):
            for j, v in enumerate(b.keys):
                terms.setdefault((min(u, v), max(u, v)), []).append((i, j))
        out = None
        for k in (0, 1):
            keys = [key for key, pairs in terms.items() if len(pairs) > k]
            if keys:
                left, right = zip(*(terms[key][k] for key in keys), strict=True)
                stack = self._gathered([(keys, p.mul(p.rows(a.id, left), p.rows(b.id, right)))])
                out = self._sum(out, self._doubled(stack, a, b, terms), shape)
        return self._pruned(out)

    def _squares(self, a: Stack, shape: Sequence[int]) -> Stack | None:
        """a_i a_j of each pair; a square where i = j, which is never negative."""
        p, a = self.p, self._wide(a, shape)
        left, right = (side.tolist() for side in np.triu_indices(len(a.keys), 1))
        parts: list[tuple[list[Any], int]] = [([(key, key) for key in a.keys], p.unary("square", a.id))]
        if left:
            off = [(a.keys[i], a.keys[j]) for i, j in zip(left, right, strict=True)]
            parts.append((off, p.mul(p.rows(a.id, left), p.rows(a.id, right))))
        return self._pruned(self._gathered(parts))

    def _doubled(self, stack: Stack, a: Stack, b: Stack, terms: dict[Any, list[tuple[int, int]]]) -> Stack:
        """a_i b_i stands twice in the second derivative of a product."""
        twice = [2.0 if i == j else 1.0 for i, j in stack.keys]
        if all(t == 1.0 for t in twice):
            return stack
        factor = np.array(twice).reshape(-1, *(1,) * (len(self.p.shape(stack.id)) - 1))
        return Stack(stack.keys, self.p.mul(self.p.const(factor), stack.id))

    def _moved(self, i: int, parts: list[Stack | None]) -> Stack | None:
        p, node = self.p, self.p.nodes[i]
        how, params, shape = node.params["how"], node.params, node.shape
        if how == "concatenate":
            keys = sorted({key for part in parts if part is not None for key in part.keys})
            if not keys:
                return None
            rows = [self._padded(part, keys, p.shape(j)) for part, j in zip(parts, node.ins, strict=True)]
            return Stack(tuple(keys), p.concatenate(rows, params["axis"] + 1))
        part = parts[0]
        if part is None:
            return None
        k, own = len(part.keys), p.shape(node.ins[0])
        if how == "reshape":
            out = p.reshape(part.id, (k, *shape))
        elif how == "broadcast":
            out = p.broadcast(p.reshape(part.id, (k, *params["thin"])), (k, *shape))
        elif how == "transpose":
            out = p.transpose(part.id, (0, *(d + 1 for d in params["order"])))
        elif how == "slice":
            out = p.cut(part.id, (slice(None), *params["cuts"]))
        elif how == "rows":
            swapped = (1, 0, *range(2, len(own) + 1))
            out = p.transpose(p.rows(p.transpose(part.id, swapped), params["index"]), swapped)
        else:
            size = math.prod(own)
            flat = p.transpose(p.reshape(part.id, (k, size)), (1, 0))
            out = p.reshape(p.transpose(p.rows(flat, params["index"].ravel()), (1, 0)), (k, *shape))
        return Stack(part.keys, out)

    def _padded(self, part: Stack | None, keys: Sequence[Any], shape: Sequence[int]) -> int:
        """With rows of zeros for the keys that a stack does not have."""
        p = self.p
        if part is None:
            return p.const(np.zeros((len(keys), *shape)))
        part = self._wide(part, shape)
        missing = [key for key in keys if key not in set(part.keys)]
        if not missing:
            return part.id
        return self._gathered([(list(part.keys), part.id), (missing, p.const(np.zeros((len(missing), *shape))))]).id

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
