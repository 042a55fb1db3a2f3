"""Sparse rows of derivatives, and their arithmetic as operations of a program.

A derivative is a stack: one row for each variable, or pair of variables, in which it is not zero everywhere.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof.flat import Program


class Stack(NamedTuple):
    """Rows of derivatives.

    Attributes:
        keys: variables, or pairs (i, j) with i <= j, in order.
        id: the number of a value of shape (len(keys), *shape).
    """

    keys: tuple[Any, ...]
    id: int


class Stacks:
    """Sums, products and moves of stacks of one program."""

    def __init__(self, program: Program):
        """Of a program that will grow."""
        self.p = program

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

    def _doubled(self, stack: Stack, a: Stack, b: Stack, terms: dict[Any, list[tuple[int, int]]]) -> Stack:
        """a_i b_i stands twice in the second derivative of a product."""
        twice = [2.0 if i == j else 1.0 for i, j in stack.keys]
        if all(t == 1.0 for t in twice):
            return stack
        factor = np.array(twice).reshape(-1, *(1,) * (len(self.p.shape(stack.id)) - 1))
        return Stack(stack.keys, self.p.mul(self.p.const(factor), stack.id))

    def _squares(self, a: Stack, shape: Sequence[int]) -> Stack | None:
        """a_i a_j of each pair; a square where i = j, which is never negative."""
        p, a = self.p, self._wide(a, shape)
        left, right = (side.tolist() for side in np.triu_indices(len(a.keys), 1))
        parts: list[tuple[list[Any], int]] = [([(key, key) for key in a.keys], p.unary("square", a.id))]
        if left:
            off = [(a.keys[i], a.keys[j]) for i, j in zip(left, right, strict=True)]
            parts.append((off, p.mul(p.rows(a.id, left), p.rows(a.id, right))))
        return self._pruned(self._gathered(parts))

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
