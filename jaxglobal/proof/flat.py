"""A function as a straight-line program (code list): operations on numbered values, each of them an array.

Common subexpressions are kept once, and constants are folded, with their rounding errors. The shape of a value is that
of one box; when the program is run, the batch of boxes is one more axis at the end.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof import moves, simplify
from jaxglobal.proof.enclose import one
from jaxglobal.proof.enclosure import constant, some
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.node import BY_ENTRY, Node
from jaxglobal.proof.writing import Writing

NEVER_NEGATIVE = {"abs", "square", "exp", "sqrt", "cosh", "logistic", "truth", "acos", "acosh", "erfc", "softmax",
                  "trigamma", "igamma", "igammac", "betainc", "bessel_i0", "bessel_i0e", "bessel_i1_slope",
                  "bessel_i1e_over"}  # fmt: skip
KEEPS_SIGN = {"add", "mul", "max", "min", "sum", "move", "reciprocal", "powc", "ipow", "cbrt", "tanh", "sort", "log1p",
              "expm1", "sinh", "atan", "asinh", "atanh", "erf", "floor", "ceil", "round", "trunc", "asin"}  # fmt: skip
PARTIAL = {"log", "log1p", "sqrt", "reciprocal", "powc", "asin", "acos", "acosh", "atanh", "tan", "lgamma", "digamma",
           "trigamma", "xlogx", "igamma", "igammac", "betainc", "erf_inv", "inverse", "logdet"}  # fmt: skip
EXACT: dict[str, Any] = {  # results with their rounding errors
    "add": iv.two_sum,
    "sub": lambda a, b: iv.two_sum(a, -b),
    "mul": iv.two_product,
    "square": lambda a: iv.two_product(a, a),
}


class Program(Writing):
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
        simpler = simplify.simpler(self, op, ins, params)
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
        never = never or (op == "map" and operands[0].never_negative and params["matrix"].interval.lo.min() >= 0)
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
        if node.op not in BY_ENTRY:
            return all(np.all(mask) for mask in masks)
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

    def needed(self, outputs: Sequence[int], known: set[int] = frozenset()) -> list[int]:  # pyright: ignore
        """What has to be run for some values, in order, beyond what is known and constants."""
        need = set(outputs) - known
        for i in range(max(outputs, default=-1), -1, -1):
            if i in need:
                need.update(set(self.nodes[i].ins) - known)
        return [i for i in sorted(need) if self.nodes[i].op not in ("x", "const")]
