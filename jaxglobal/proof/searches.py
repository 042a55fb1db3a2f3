"""Searches in sorted tables, and what is made of them, as a lowering writes them: see pieces.py.

A call is known to be JAX's own `searchsorted`, by whichever method, by its jaxpr: that which JAX makes for it.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxglobal.proof import pieces, whole
from jaxglobal.proof.pieces import Pieces
from jaxglobal.proof.refused import Withheld, refuse
from jaxglobal.proof.writer import Writer

METHODS = ("scan", "scan_unrolled", "sort", "compare_all")
ELEMENTWISE = {
    "neg", "abs", "exp", "log", "log1p", "expm1", "sqrt", "cbrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "square",
    "sign", "not", "add", "sub", "mul", "div", "max", "min", "and", "or", "xor", "lt", "le", "gt", "ge", "eq", "ne",
    "pow", "integer_pow", "rsqrt", "rem", "select_n", "clamp", "convert_element_type", "is_finite", "logistic", "copy",
}  # fmt: skip


@functools.lru_cache(maxsize=64)
def side(text: str, table: tuple[Any, ...], query: tuple[Any, ...]) -> str | None:
    """On which side a jaxpr searches a table for numbers, both given by shape and kind; None where it does not."""
    for batched in range(len(query[0]) + 1):
        for method in METHODS:
            for way in ("left", "right"):
                fun = functools.partial(jax.numpy.searchsorted, side=way, method=method)
                for _ in range(batched):
                    fun = jax.vmap(fun, (None, 0))
                (eqn,) = jax.make_jaxpr(fun)(*(jax.ShapeDtypeStruct(*aval) for aval in (table, query))).eqns
                if str(eqn.params["jaxpr"]) == text:
                    return way
    return None


class Searches(Writer):
    """Searches, and operations on what is in pieces."""

    def searched(self, eqn: Any, args: Sequence[Any]) -> Any:
        """The count that a call of `searchsorted` makes; None where the equation is no such call."""
        if "searchsorted" not in str(eqn.params.get("name")) or len(args) != 2:
            return None
        avals = [(tuple(var.aval.shape), var.aval.dtype) for var in (*eqn.invars, *eqn.outvars)]
        closed, (table, v) = eqn.params["jaxpr"], args
        if closed.consts or len(avals[0][0]) != 1 or (way := side(str(closed), *avals[:2])) is None:
            return None
        if (knots := pieces.knots_of(self.program, self.id(table))) is None:
            return Withheld(refuse(eqn, "its table is not constant and sorted"))
        if len(knots.lo) >= whole.MOST:
            return Withheld(refuse(eqn, f"its table has {whole.MOST:,} entries or more"))
        count, dtype = pieces.place(self.program, self.id(v), knots, way == "right"), avals[2][1]
        if self.program.is_const(count):
            return self.exactly(count, dtype)
        shape = self.program.shape(count)
        rows = np.arange(len(knots.lo) + 1, dtype=dtype).reshape(-1, *(1,) * len(shape))
        return Pieces(count, np.broadcast_to(rows, (len(rows), *shape)))

    def in_pieces(self, eqn: Any, args: Sequence[Any]) -> list[Any] | None:
        """The results of an equation piece by piece; None where something else goes in, or entries are mixed."""
        p, places = self.program, {arg.place for arg in args if isinstance(arg, Pieces)}
        if len(places) != 1 or not all(aligned(eqn, args, p.shape(place)) for place in places):
            return None
        (place,) = places
        v, axes, stacks = p.nodes[place].ins[0], [], []
        for arg in args:
            if not isinstance(arg, (Pieces, np.ndarray)) and arg != v and not p.is_const(arg):
                return None
            own = isinstance(arg, Pieces) or not isinstance(arg, np.ndarray) and arg == v
            stacks.append(arg.stack if isinstance(arg, Pieces) else pieces.within(p, place) if own else arg)
            axes.append(0 if own else None)
        if eqn.primitive.name == "gather" and axes[0] is not None and p.shape(place):
            return None  # an entry may be another's, which is in another piece
        size = len(p.nodes[place].params["knots"].lo) + 1
        avals = [
            jax.ShapeDtypeStruct((*(() if axis is None else (size,)), *var.aval.shape), var.aval.dtype)
            for axis, var in zip(axes, eqn.invars, strict=True)
        ]
        fun = jax.vmap(lambda *args: eqn.primitive.bind(*args, **eqn.params), tuple(axes), axis_size=size)
        outs = self.closed(jax.make_jaxpr(fun)(*avals), stacks)
        return [Pieces(place, out) for out in outs]

    def whole(self, arg: Any) -> Any:
        """What is in pieces, as one value."""
        if not isinstance(arg, Pieces):
            return arg
        return pieces.picked(self.program, arg.place, super().id(arg.stack))

    def id(self, value: Any) -> int:
        """The number of a value in the program."""
        return super().id(self.whole(value))


def aligned(eqn: Any, args: Sequence[Any], shape: tuple[int, ...]) -> bool:
    """Whether an operation keeps the entries of the first axes, of this shape, apart."""
    name, params, d = eqn.primitive.name, eqn.params, len(shape)
    outs, ins = [tuple(var.aval.shape) for var in eqn.outvars], [tuple(var.aval.shape) for var in eqn.invars]
    first = tuple(range(d))
    if d == 0:
        return True
    if any(out[:d] != shape for out in outs):
        return False
    if name in ELEMENTWISE:
        return all(own in ((), outs[0]) for own in ins)
    if name in ("reshape", "squeeze", "expand_dims"):
        return ins[0][:d] == shape
    if name == "broadcast_in_dim":
        return tuple(params["broadcast_dimensions"][:d]) == first and ins[0][:d] == shape
    if name == "gather":
        how = params["dimension_numbers"]
        return min(how.offset_dims, default=d) >= d and not how.operand_batching_dims
    if name.startswith("reduce_") and "axes" in params:
        return min(params["axes"]) >= d
    if name == "concatenate":
        return params["dimension"] >= d
    if name == "dot_general":
        return all(tuple(batch[:d]) == first for batch in params["dimension_numbers"][1])
    return False
