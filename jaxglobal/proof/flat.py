"""A function as a flat list of operations on numbered values, each of them an array: what the proofs run over.

Equal operations are kept once, and what does not depend on x is enclosed once, when it is met. A value has a shape
without the batch of boxes, which is one more axis at the end when the list is run.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof import moves, patterns
from jaxglobal.proof.enclose import constant, one, some
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.node import Node

NEVER_NEGATIVE = {"abs", "square", "exp", "sqrt", "cosh", "logistic", "truth", "acos", "acosh", "erfc", "softmax",
                  "trigamma"}  # fmt: skip
KEEPS_SIGN = {"add", "mul", "max", "min", "sum", "move", "reciprocal", "powc", "ipow", "cbrt", "tanh", "sort", "log1p",
              "expm1", "sinh", "atan", "asinh", "atanh", "erf", "floor", "ceil", "round", "trunc", "asin"}  # fmt: skip
PARTIAL = {"log", "log1p", "sqrt", "reciprocal", "powc", "asin", "acos", "acosh", "atanh", "tan", "lgamma", "digamma",
           "trigamma", "xlogx"}  # fmt: skip
EXACT: dict[str, Any] = {  # results with their rounding errors
    "add": iv.two_sum,
    "sub": lambda a, b: iv.two_sum(a, -b),
    "mul": iv.two_product,
    "square": lambda a: iv.two_product(a, a),
}


class Program:
    """Values in the order in which they are made.

    Attributes:
        nodes: the values.
        x: the number of that of the variables.
        folded: what made constants that are not known exactly. Each such is a constant of its own: two with the same
            ends need not be equal.
    """

    def __init__(self, n: int, never_negative: bool = False, still: np.ndarray | None = None):
        """n: variables; never_negative: whether all lower bounds are zero or above; still: (n,) which do not move."""
        self.nodes: list[Node] = []
        self._known: dict[Any, int] = {}
        self.folded: dict[int, Node] = {}
        self.deriving = False  # the domain of a derivative is that of the function
        known = False if still is None or not np.any(still) else still[:, None]
        self.x = self._new(Node("x", {}, (), (n,), never_negative, still=known))

    def _new(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def shape(self, i: int) -> tuple[int, ...]:
        """Of a value."""
        return self.nodes[i].shape

    def const(self, value: Any) -> int:
        """A constant: an array of numbers, or an `Interval` with a batch of one."""
        undefined = nan = False
        if isinstance(value, Interval):
            if value.lo is not value.hi and np.array_equal(value.lo, value.hi):
                value = Interval(value.lo, value.lo)
            lo, hi = value
        else:
            array = np.asarray(value, float)[..., None]
            bad = ~np.isfinite(array)
            nan = some(np.isnan(array))
            undefined = nan is not False
            if bad.any():  # NaN is anything, an infinity what is beyond the largest number
                lo = np.where(bad, np.where(array > 0, np.finfo(float).max, -np.inf), array)
                hi = np.where(bad, np.where(array < 0, -np.finfo(float).max, np.inf), array)
                value = Interval(lo, hi)
            else:
                value = Interval(array, array)
            lo, hi = value
        key = ("const", lo.shape, lo.tobytes(), None if value.is_point else hi.tobytes(), undefined)
        if key not in self._known:
            shape = lo.shape[:-1]
            node = Node("const", {}, (), shape, bool(np.all(lo >= 0)), undefined, value, undefined, nan, nan, True)
            self._known[key] = self._new(node)
        return self._known[key]

    def number(self, i: int) -> np.ndarray | None:
        """The array of a constant that is known exactly, with a batch of one; else None."""
        value = self.nodes[i].value
        return value.lo if value is not None and value.is_point else None

    def is_const(self, i: int) -> bool:
        """Whether a value does not depend on x."""
        return self.nodes[i].value is not None

    def all_equal(self, i: int, number: float) -> bool:
        """Whether a value is a constant with this number everywhere."""
        array = self.number(i)
        return array is not None and bool(np.all(array == number))

    def emit(
        self, op: str, ins: Sequence[int], shape: Sequence[int] | None = None, key: Any = (), **params: Any
    ) -> int:
        """The number of the operation's result, that of an equal one if there is one.

        shape: of the result; by default that to which the operands broadcast.
        key: what tells its params from others.
        """
        ins = tuple(sorted(ins)) if op in ("add", "mul", "max", "min", "and", "or", "xor") else tuple(ins)
        whole = (op, ins, key)
        if whole not in self._known:
            self._known[whole] = self._make(op, ins, key, shape, params)
        return self._known[whole]

    def _make(self, op: str, ins: tuple[int, ...], key: Any, shape: Any, params: dict[str, Any]) -> int:
        simpler = self._simpler(op, ins, params)
        if simpler is not None:
            return simpler
        if shape is None:
            shape = np.broadcast_shapes(*(self.shape(i) for i in ins))
        operands = [self.nodes[i] for i in ins]
        never = op in NEVER_NEGATIVE or (op in KEEPS_SIGN and all(node.never_negative for node in operands))
        never = never or (op == "ipow" and params["y"] % 2 == 0)
        never = never or (op == "max" and any(node.never_negative for node in operands))
        never = never or (op == "pick" and operands[2].never_negative)
        never = never or (op == "select" and all(node.never_negative for node in operands[1:]))
        if op == "mul":
            params = {**params, "signs": tuple(node.never_negative for node in operands)}
        partial = (
            any(node.partial for node in operands)
            or op in PARTIAL
            and not (op == "sqrt" and operands[0].never_negative)
        )
        node = Node(op, params, ins, tuple(shape), never, partial)
        still = self._still(node)
        node = node._replace(
            still=still if isinstance(still, bool) or still.any() and not still.all() else bool(still.any())
        )
        if operands and all(o.value is not None for o in operands):
            return self._fold(node)
        return self._new(node)

    def _still(self, node: Node) -> Any:
        """Which entries of the result depend on nothing that moves."""
        ins = node.ins[:1] if node.op == "pick" else node.ins  # its stack has one more axis
        masks = [self.nodes[i].still for i in ins]
        if all(mask is True for mask in masks) or all(mask is False for mask in masks):
            return bool(masks) and masks[0]
        if node.op != "move" and all(isinstance(mask, bool) for mask in masks):
            return False
        wide = [np.broadcast_to(mask, (*self.shape(i), 1)) for i, mask in zip(ins, masks, strict=True)]
        if node.op == "move":
            return moves.forward(node, wide)
        if node.op in ("sum", "lse"):
            return wide[0].all(node.params["axes"])
        if node.op == "softmax":
            return np.broadcast_to(wide[0].all(node.params["axes"], keepdims=True), (*node.shape, 1))
        if node.op == "sort":
            return np.broadcast_to(wide[0].all(node.params["axis"], keepdims=True), (*node.shape, 1))
        return np.broadcast_to(np.logical_and.reduce(np.broadcast_arrays(*wide)), (*node.shape, 1))

    def _fold(self, node: Node) -> int:
        """The constant that an operation on constants makes."""
        values: list[Any] = [self.nodes[i].value for i in node.ins]
        if node.op in EXACT and all(v.is_point for v in values):
            with np.errstate(all="ignore"):
                exact, error = EXACT[node.op](*(v.lo for v in values))
            if np.all(error == 0):
                return self.const(np.broadcast_to(exact, (*node.shape, 1))[..., 0])
        with np.errstate(all="ignore"):
            if node.op == "reciprocal" and values[0].is_point and np.all(np.frexp(values[0].lo)[0] == 0.5):
                return self.const((1 / values[0].lo)[..., 0])  # powers of two
            out = one(node, [constant(self.nodes[i]) for i in node.ins])
        lo, hi = (np.broadcast_to(end, (*node.shape, 1)) for end in (out.lo, out.hi))
        if out.nan is not False:
            lo, hi = np.where(out.nan, -np.inf, lo), np.where(out.nan, np.inf, hi)
        i = self.const(Interval(np.ascontiguousarray(lo), np.ascontiguousarray(hi)))
        if out.nan is not False:
            i = self._new(self.nodes[i]._replace(undefined=True, partial=True, nan=out.nan, never=out.never))
        elif self.number(i) is None:
            i = self._new(self.nodes[i])
            self.folded[i] = node
        return i

    def _simpler(self, op: str, ins: tuple[int, ...], params: dict[str, Any]) -> int | None:
        """The same value by less, exactly; None where there is none."""
        if op in ("add", "sub", "mul"):
            a, b = ins
            shape = np.broadcast_shapes(self.shape(a), self.shape(b))
            for i, j in ((a, b), (b, a)):
                if self.shape(j) != shape:
                    continue
                if op == "mul" and self.all_equal(i, 1.0) or op in ("add", "sub") and self.all_equal(i, 0.0):
                    if op != "sub":
                        return j
                    return self.emit("neg", (b,)) if i == a else a
                if op == "mul" and self.all_equal(i, -1.0):
                    return self.emit("neg", (j,))
            gone = self.deriving or not any(self.nodes[i].partial for i in ins)
            if op == "mul" and gone and (self.all_equal(a, 0.0) or self.all_equal(b, 0.0)):
                return self.const(np.zeros(shape))
            if op == "sub" and a == b and gone:
                return self.const(np.zeros(shape))
            if op == "mul" and a == b:
                return self.emit("square", (a,))
            if op == "mul" and not params.get("plain") and not params.get("hides"):
                for i, j in ((a, b), (b, a)):
                    if (known := self._monomial(i, j) or patterns.product(self, i, j)) is not None:
                        return known
            if op == "add":
                for i, j in ((a, b), (b, a)):
                    if (known := patterns.total(self, i, j)) is not None:
                        return known
            if op == "sub" and (known := patterns.difference(self, a, b)) is not None:
                return known
            if op in ("add", "sub") and (known := self._expm1(a, b, op == "sub")) is not None:
                return known
            if op in ("add", "sub") and (square := self._quadratic(a, b, op == "sub")) is not None:
                return square
            if op == "add":
                for i, j in ((a, b), (b, a)):
                    if self.nodes[j].op == "neg" and not self.is_const(i):
                        return self.emit("sub", (i, self.nodes[j].ins[0]))
        if op == "log" and (known := patterns.logarithm(self, ins[0])) is not None:
            return known
        if op in ("eq", "ne") and ins[0] == ins[1]:  # the test for NaN
            defined = (
                self.emit("defined", ins[:1]) if self.nodes[ins[0]].partial else self.const(np.ones(self.shape(ins[0])))
            )
            return defined if op == "eq" else self.emit("not", (defined,))
        if op == "neg" and self.nodes[ins[0]].op in ("neg", "sub"):
            inner = self.nodes[ins[0]].ins
            return inner[0] if len(inner) == 1 else self.emit("sub", inner[::-1])
        if op == "square" and self.nodes[ins[0]].op in ("neg", "abs"):
            return self.emit("square", self.nodes[ins[0]].ins)
        if op == "abs" and self.nodes[ins[0]].never_negative:
            return ins[0]
        if op == "square" and self.nodes[ins[0]].op == "sqrt" and self.nodes[self.nodes[ins[0]].ins[0]].never_negative:
            return self.nodes[ins[0]].ins[0]
        if op == "ipow":
            if params["y"] == 1:
                return ins[0]
            if params["y"] == 2:
                return self.emit("square", ins)
            if params["y"] == 4:
                return self.emit("square", (self.emit("square", ins),))
        if op == "select" and all(i == ins[1] for i in ins[2:]) and not self.nodes[ins[0]].partial:
            return ins[1]
        if op == "select" and (which := self.number(ins[0])) is not None and np.all(which == which.flat[0]):
            chosen = ins[1 + int(which.flat[0])]
            return chosen if self.shape(chosen) == np.broadcast_shapes(*(self.shape(i) for i in ins)) else None
        return None

    def _monomial(self, product: int, u: int) -> int | None:
        """(c u) u as c u^2, with a constant c."""
        node = self.nodes[product]
        if node.op == "mul" and u in node.ins:
            c = node.ins[0] if node.ins[1] == u else node.ins[1]
            if self.is_const(c) and self.shape(u) == self.shape(product):
                return self.emit("mul", (c, self.emit("square", (u,))))
        return None

    def _expm1(self, a: int, b: int, minus: bool) -> int | None:
        """exp(u) - 1, or 1 - exp(u)."""
        for i, j in ((a, b), (b, a)):
            if (
                self.nodes[i].op != "exp"
                or self.is_const(i)
                or self.shape(i) != np.broadcast_shapes(*map(self.shape, (i, j)))
            ):
                continue
            if self.all_equal(j, 1.0 if minus else -1.0):
                out = self.unary("expm1", self.nodes[i].ins[0])
                return self.unary("neg", out) if minus and i == b else out
        return None

    def _scaled(self, i: int) -> tuple[np.ndarray, int]:
        """A value as a constant, known exactly, times another."""
        node = self.nodes[i]
        for c, u in (node.ins, node.ins[::-1]) if node.op == "mul" else ():
            if (array := self.number(c)) is not None and self.shape(u) == self.shape(i):
                return array, u
        return (np.full(1, -1.0), node.ins[0]) if node.op == "neg" else (np.ones(1), i)

    def _quadratic(self, i: int, j: int, minus: bool) -> int | None:
        """A u^2 + b u as one operation, which knows its vertex; None where i and j are not that."""
        (a, u), (b, v) = self._scaled(i), self._scaled(j)
        b = -b if minus else b
        if self.nodes[v].op == "square" and self.nodes[v].ins[0] == u:
            (a, u), (b, v) = (b, v), (a, u)
        if self.nodes[u].op != "square" or self.nodes[u].ins[0] != v or self.is_const(v) or not np.all(a):
            return None
        return self.emit("quadratic", (v,), self.shape(i), key=(a.tobytes(), a.shape, b.tobytes(), b.shape), a=a, b=b)

    def needed(self, outputs: Sequence[int], known: set[int] = frozenset()) -> list[int]:  # pyright: ignore
        """What has to be run for some values, in order, beyond what is known and constants."""
        need = set(outputs) - known
        for i in range(max(outputs, default=-1), -1, -1):
            if i in need:
                need.update(set(self.nodes[i].ins) - known)
        return [i for i in sorted(need) if self.nodes[i].op not in ("x", "const")]

    # ------------------------------------------------------------ shorthands for those who write operations

    def add(self, a: int, b: int) -> int:
        """A + b."""
        return self.emit("add", (a, b))

    def sub(self, a: int, b: int) -> int:
        """A - b."""
        return self.emit("sub", (a, b))

    def mul(self, a: int, b: int) -> int:
        """A b."""
        return self.emit("mul", (a, b))

    def scaled(self, a: int, number: float) -> int:
        """A number that is known exactly, times a."""
        return self.mul(self.const(number), a)

    def unary(self, op: str, a: int) -> int:
        """A function of one value."""
        return self.emit(op, (a,))

    def sum(self, a: int, axes: Sequence[int]) -> int:
        """Along axes."""
        axes = tuple(sorted(int(axis) for axis in axes))
        shape = [size for d, size in enumerate(self.shape(a)) if d not in axes]
        if all(self.shape(a)[d] == 1 for d in axes):
            return self.reshape(a, shape)
        return self.emit("sum", (a,), shape, key=axes, axes=axes)

    def move(self, how: str, ins: Sequence[int], shape: Sequence[int], key: Any, **params: Any) -> int:
        """Entries in other places; see moves.py."""
        return self.emit("move", ins, tuple(shape), key=(how, tuple(shape), key), how=how, **params)

    def reshape(self, a: int, shape: Sequence[int]) -> int:
        """The same entries in another shape."""
        if tuple(shape) == self.shape(a):
            return a
        return self.move("reshape", (a,), shape, ())

    def broadcast(self, a: int, shape: Sequence[int]) -> int:
        """As NumPy does it, from the last axis on."""
        thin = (1,) * (len(shape) - len(self.shape(a))) + self.shape(a)
        return a if tuple(shape) == self.shape(a) else self.move("broadcast", (a,), shape, thin, thin=thin)

    def transpose(self, a: int, order: Sequence[int]) -> int:
        """Axes in another order."""
        order = tuple(int(d) for d in order)
        if order == tuple(range(len(order))):
            return a
        return self.move("transpose", (a,), [self.shape(a)[d] for d in order], order, order=order)

    def cut(self, a: int, cuts: Sequence[slice]) -> int:
        """Some of the entries along each axis."""
        ends = [c.indices(size) for c, size in zip(cuts, self.shape(a), strict=True)]
        shape = [len(range(*end)) for end in ends]
        if shape == list(self.shape(a)) and all(step == 1 for *_, step in ends):
            return a
        cuts = tuple(slice(start, stop if stop >= 0 else None, step) for start, stop, step in ends)
        return self.move("slice", (a,), shape, str(cuts), cuts=cuts)

    def concatenate(self, parts: Sequence[int], axis: int) -> int:
        """Along an axis."""
        if len(parts) == 1:
            return parts[0]
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(i)[axis] for i in parts)
        sizes = tuple(self.shape(i)[axis] for i in parts)
        return self.move("concatenate", parts, shape, axis, axis=axis, sizes=sizes)

    def take(self, a: int, index: np.ndarray) -> int:
        """Of the flat entries of a, those at an array of places."""
        index = np.asarray(index, np.int64)
        size = math.prod(self.shape(a))
        flat = index.ravel()
        if (
            len(flat)
            and len(flat) <= size
            and flat[0] + len(flat) <= size
            and np.array_equal(flat, np.arange(flat[0], flat[0] + len(flat)))
        ):
            whole = self.reshape(a, (size,))
            return self.reshape(self.cut(whole, (slice(int(flat[0]), int(flat[0]) + len(flat)),)), index.shape)
        return self.move("take", (a,), index.shape, index.tobytes(), index=index)

    def rows(self, a: int, chosen: Sequence[int]) -> int:
        """Some of the entries along the first axis."""
        index = np.asarray(chosen, np.int64)
        if len(index) == self.shape(a)[0] and np.array_equal(index, np.arange(len(index))):
            return a
        if len(index) == 1:
            return self.cut(a, (slice(int(index[0]), int(index[0]) + 1), *(slice(None),) * (len(self.shape(a)) - 1)))
        return self.move("rows", (a,), (len(index), *self.shape(a)[1:]), index.tobytes(), index=index)
