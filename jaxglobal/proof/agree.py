"""Whether the two cases of a `where` agree where its condition switches, so that it has no jump there.

The cases are read as polynomials, with fractions as coefficients, in values of the program that are not looked into.
At the switch one value equals another, or a constant; put in, the two polynomials must be the same. That proves it in
exact arithmetic; where it proves nothing, a jump is assumed.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from jaxglobal.proof import pieces
from jaxglobal.proof.exactly import AT, EXACT, root
from jaxglobal.proof.flat import Program

TERMS = 64  # of a polynomial, at most
Polynomial = dict[tuple[tuple[Any, int], ...], Fraction]


def number(value: Any) -> Polynomial:
    """A constant."""
    value = Fraction(value)
    return {(): value} if value else {}


def add(p: Polynomial, q: Polynomial, factor: int = 1) -> Polynomial:
    """P + factor q."""
    out = dict(p)
    for term, c in q.items():
        out[term] = out.get(term, Fraction(0)) + factor * c
    return {term: c for term, c in out.items() if c}


def mul(p: Polynomial, q: Polynomial) -> Polynomial | None:
    """P q; None where it is too long."""
    out: Polynomial = {}
    for s, c in p.items():
        for t, d in q.items():
            powers = dict(s)
            for symbol, k in t:
                powers[symbol] = powers.get(symbol, 0) + k
            term = tuple(sorted(powers.items(), key=repr))
            out[term] = out.get(term, Fraction(0)) + c * d
    return {term: c for term, c in out.items() if c} if len(out) <= TERMS else None


class Agreement:
    """Looks at choices of one program."""

    def __init__(self, program: Program):
        """Knows nothing yet."""
        self.p, self._known = program, {}

    def holds(self, which: int, no: int, yes: int) -> bool:
        """Whether case `no` equals case `yes` wherever the condition switches."""
        key = (which, no, yes)
        if key not in self._known:
            self._known[key] = self._holds(which, no, yes)
        return self._known[key]

    def _holds(self, which: int, no: int, yes: int) -> bool:
        node = self.p.nodes[self._root(which)]
        while node.op == "not":
            node = self.p.nodes[self._root(node.ins[0])]
        if node.op not in ("lt", "le", "gt", "ge"):
            return False
        cases = self._cases(*node.ins)
        try:
            return bool(cases) and all(self._same(case, no, yes) for case in cases)
        except (_TooLong, RecursionError):
            return False

    def _cases(self, a: int, b: int) -> list[dict[int, Any]]:
        """What may be put in for values where a = b."""
        for u, v in ((a, b), (b, a)):
            c = self.p.number(v)
            if c is None or not np.all(c == c.flat[0]):
                continue
            c, inner = Fraction(float(c.flat[0])), self._root(u)
            if self.p.nodes[inner].op == "abs" and c >= 0:
                r = self._root(self.p.nodes[inner].ins[0])
                return [{inner: c, r: c}, {inner: c, r: -c}]
            if self.p.nodes[inner].op == "square" and c >= 0 and (size := root(c)) is not None:
                r = self._root(self.p.nodes[inner].ins[0])
                return [{inner: c, r: size}, {inner: c, r: -size}]
            minus = self.p.nodes[inner]
            if minus.op == "sub" and c == 0:
                return [{inner: c, self._root(minus.ins[0]): self._root(minus.ins[1])}]
            return [{inner: c}]
        return [{self._root(a): self._root(b)}] if not self.p.is_const(a) and not self.p.is_const(b) else []

    def _root(self, i: int) -> int:
        """A value without the operations that only spread it out along further first axes.

        Whatever is left is read entry by entry, from the last axis on, as NumPy broadcasts; so one number means the
        same entry wherever it stands.
        """
        while (node := self.p.nodes[i]).op == "move":
            inner = self.p.shape(node.ins[0])
            new = node.params["thin"] if node.params["how"] == "broadcast" else node.shape
            if node.params["how"] not in ("reshape", "broadcast") or _core(new) != _core(inner):
                break
            i = node.ins[0]
        return i

    def _same(self, put: dict[int, Any], no: int, yes: int) -> bool:
        known: dict[int, Polynomial] = {}
        return add(self._read(no, put, known), self._read(yes, put, known), -1) == {}

    def _read(self, i: int, put: dict[int, Any], known: dict[int, Polynomial]) -> Polynomial:
        i = self._root(i)
        if i not in known:
            known[i] = self._written(i, put, known)
        return known[i]

    def _written(self, i: int, put: dict[int, Any], known: dict[int, Polynomial]) -> Polynomial:
        p, node = self.p, self.p.nodes[i]
        if i in put:
            value = put[i]
            return number(value) if isinstance(value, Fraction) else {((value, 1),): Fraction(1)}
        if node.op == "const":
            array = p.number(i)
            if array is None or not np.all(array == array.flat[0]):
                raise _TooLong  # arrays of different numbers are not looked into
            return number(float(array.flat[0]))
        if len(known) > 400:
            raise _TooLong
        read: Callable[[int], Polynomial] = lambda k: self._read(node.ins[k], put, known)  # noqa: E731
        if node.op in ("add", "sub"):
            return add(read(0), read(1), 1 if node.op == "add" else -1)
        if node.op == "neg":
            return add({}, read(0), -1)
        if node.op == "quadratic":
            a, b = node.params["a"], node.params["b"]
            if a.size > 1 or b.size > 1 or (square := mul(read(0), read(0))) is None:
                return {((i, 1),): Fraction(1)}
            return add(mul(number(float(a.flat[0])), square) or {}, mul(number(float(b.flat[0])), read(0)) or {})
        if node.op in ("mul", "square", "ipow"):
            return self._product(node, read)
        if node.op in AT and (c := _constant(read(0))) is not None and (value := AT[node.op](c)) is not None:
            return number(value)
        if node.op == "select" and (case := self._chosen(node, put, known)) is not None:
            return self._read(case, put, known)
        if node.op == "pick":
            v = put.get(self._root(p.nodes[node.params["of"][0]].ins[0]))
            if isinstance(v, Fraction) and (value := pieces.value(p, node, v)) is not None:
                return number(value)
        if node.op in ("max", "min"):
            first, second = _constant(read(0)), _constant(read(1))
            if first is not None and second is not None:
                return number(max(first, second) if node.op == "max" else min(first, second))
        return {((i, 1),): Fraction(1)}

    def _chosen(self, node: Any, put: dict[int, Any], known: dict[int, Polynomial]) -> int | None:
        """The case of a choice whose condition compares two numbers."""
        which = self.p.nodes[self._root(node.ins[0])]
        if which.op not in ("lt", "le", "gt", "ge") or len(node.ins) != 3:
            return None
        a, b = (_constant(self._read(k, put, known)) for k in which.ins)
        return None if a is None or b is None else node.ins[2 if EXACT[which.op](a, b) else 1]

    def _product(self, node: Any, read: Callable[[int], Polynomial]) -> Polynomial:
        if node.op == "mul":
            out = mul(read(0), read(1))
        else:
            base, out = read(0), number(1)
            for _ in range(2 if node.op == "square" else node.params["y"]):
                out = None if out is None else mul(out, base)
        if out is None:
            raise _TooLong
        return out


def _core(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without first axes of one entry."""
    while shape[:1] == (1,):
        shape = shape[1:]
    return shape


class _TooLong(Exception):
    """Nothing is proven."""


def _constant(p: Polynomial) -> Fraction | None:
    return Fraction(0) if not p else p.get(()) if len(p) == 1 else None
