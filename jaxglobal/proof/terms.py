"""Derivatives of a sum of terms that are functions of few affine values, entry by entry, as in a rotated function.

With f = sum_t g(a_t, b_t, ...), where a = A x + a0 and so on, the gradient is A'g_a + B'g_b + ..., and the Hessian the
sum of g_aa A A' and g_ab (A B' + B A') of each term: two linear maps of the partial derivatives of g, which are as many
as there are affine values, not as many as there are variables.
"""

import math
from typing import Any

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof import mapped, maps
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.slopes import slopes
from jaxglobal.proof.stacks import Stack

AFFINE = {"x", "add", "sub", "neg", "move", "sum", "map"}  # of affine values


class Terms:
    """The sums of one program; along: makes derivatives in the directions of some values."""

    def __init__(self, program: Any, first: Any, along: Any):
        """first(i): the gradient of a value; along(ids): derivatives in these values, entry by entry."""
        self.p, self._first, self._along = program, first, along
        self._affine: dict[int, bool] = {}
        self._known: dict[int, Any] = {}

    def holds(self, i: int) -> bool:
        """Whether sum i is of such terms, of fewer affine values than there are variables."""
        p, terms = self.p, self.p.nodes[i].ins[0]
        if i not in self._known:
            n, shape = p.shape(p.x)[0], p.shape(terms)
            whole = len(p.nodes[i].params["axes"]) == len(shape)
            atoms = self._atoms(terms) if whole and not p.is_const(i) else None
            pairs = 0 if atoms is None else len(atoms) * (len(atoms) + 1) // 2
            few = 0 < pairs * math.prod(shape) * n * (n + 1) // 2 <= mapped.MOST and pairs < n
            jacobians = [self._jacobian(k, shape) for k in atoms] if atoms is not None and few else []
            few &= all(maps.inside(iv.size(J).hi, maps.LARGE**0.5) for J in jacobians)
            self._known[i] = (jacobians, self._along(atoms)) if few else None
        return self._known[i] is not None

    def derivative(self, i: int, order: int) -> Stack | None:
        """Of sum i; None where it is zero."""
        terms, (jacobians, along) = self.p.nodes[i].ins[0], self._known[i]
        part = along.first(terms) if order == 1 else along.second(terms)
        return None if part is None else self._mapped(part, jacobians, self.p.shape(terms), order, self.p.shape(i))

    def _atoms(self, terms: int) -> list[int] | None:
        """The affine values of which the terms are made, entry by entry."""
        p, atoms, seen, todo = self.p, [], {terms}, [terms]
        while todo:
            j = todo.pop()
            node = p.nodes[j]
            if p.is_const(j):
                continue
            if self.affine(j):
                atoms.append(j)
                continue
            if node.op not in ("add", "sub", "mul") and slopes(p, node.op, node.ins[0], j, node.params) is None:
                return None
            todo += [k for k in node.ins if k not in seen]
            seen.update(node.ins)
        return sorted(atoms)

    def affine(self, i: int) -> bool:
        """Whether a value is affine in x."""
        p = self.p
        for j in [*p.needed([i], set(self._affine)), i]:  # in order, so that nothing recurses deeply
            node = p.nodes[j]
            of = [p.is_const(k) or k == p.x or self._affine.get(k, False) for k in node.ins]
            linear = node.op in AFFINE or node.op == "mul" and any(p.is_const(k) for k in node.ins)
            self._affine[j] = j == p.x or linear and all(of)
        return self._affine[i]

    def _jacobian(self, i: int, shape: Any) -> Interval:
        """That of an affine value, (n, terms)."""
        n = self.p.shape(self.p.x)[0]
        J, stack = np.zeros((2, n, *shape)), self._first(i)
        if stack is not None:
            for side, end in zip(J, self.p.nodes[stack.id].value, strict=True):
                rows = end[..., 0].reshape(len(stack.keys), *(1,) * (len(shape) - end.ndim + 2), *end.shape[1:-1])
                side[list(stack.keys)] = rows
        return Interval(*J.reshape(2, n, -1))

    def _mapped(self, part: Stack, jacobians: list[Interval], shape: Any, order: int, out: Any) -> Stack | None:
        """The partial derivatives through the map to those in x."""
        p, n = self.p, self.p.shape(self.p.x)[0]
        if order == 1:
            keys: list[Any] = list(range(n))
            parts = [jacobians[k] for k in part.keys]
        else:
            left, right = np.triu_indices(n)
            keys = list(zip(left.tolist(), right.tolist(), strict=True))
            pick = lambda J, rows: Interval(J.lo[rows], J.hi[rows])  # noqa: E731
            parts = []
            for k, m in part.keys:
                A, B = jacobians[k], jacobians[m]
                M = times(pick(A, left), pick(B, right))
                parts.append(M if k == m else added(M, times(pick(A, right), pick(B, left))))
        lo, hi = (np.concatenate(ends, 1) for ends in zip(*parts, strict=True))
        used = np.flatnonzero(((lo != 0) | (hi != 0)).any(1))
        if not len(used):
            return None
        M = mapped.matrix_of(Interval(lo[used][..., None], hi[used][..., None]))
        wide = p.broadcast(
            p.reshape(
                part.id, (len(part.keys), *(1,) * (len(shape) + 1 - len(p.shape(part.id))), *p.shape(part.id)[1:])
            ),
            (len(part.keys), *shape),
        )
        return Stack(tuple(keys[k] for k in used), mapped.mapping(p, wide, M, (len(used), *out)))


def added(a: Interval, b: Interval) -> Interval:
    """Sums of constants, exactly where one of them is zero."""
    lo, hi = iv.add(a, b)
    for one, other in ((a, b), (b, a)):
        none = (other.lo == 0) & (other.hi == 0)
        lo, hi = np.where(none, one.lo, lo), np.where(none, one.hi, hi)
    return Interval(lo, hi)


def times(a: Interval, b: Interval) -> Interval:
    """The products of constants, exactly where they are zero or one of them is one or minus one."""
    exact, error = iv.two_product(a.lo, b.lo)
    known = (a.lo == a.hi) & (b.lo == b.hi) & (error == 0)
    lo, hi = iv.mul(a, b)
    return Interval(np.where(known, exact, lo), np.where(known, exact, hi))
