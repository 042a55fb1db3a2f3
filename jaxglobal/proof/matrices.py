"""Factors of small matrices, and systems with them, as a lowering writes them: entry by entry; see linear.py."""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from jaxglobal.proof import linear
from jaxglobal.proof.complexes import is_complex
from jaxglobal.proof.refused import Withheld, refuse
from jaxglobal.proof.writer import Writer

CALLS = ("det", "slogdet", "inv")


@functools.lru_cache(maxsize=64)
def function(text: str, shape: tuple[int, ...], dtype: Any) -> str | None:
    """Which of JAX's functions of a matrix of a shape and kind has a jaxpr; None where none has."""
    for batched in range(len(shape) - 1):
        for name in CALLS:
            fun = getattr(jax.numpy.linalg, name)
            for _ in range(batched):
                fun = jax.vmap(fun)
            (eqn,) = jax.make_jaxpr(fun)(jax.ShapeDtypeStruct(shape, dtype)).eqns
            if str(eqn.params["jaxpr"]) == text:
                return name
    return None


class Matrices(Writer):
    """A rule for each primitive, by its name."""

    def _cholesky(self, eqn, args, ids, shape, params):
        if shape[-1] > linear.LARGEST:
            raise refuse(eqn, f"its matrix has more than {linear.LARGEST} rows")
        return linear.each(self.program, 2, ids, lambda a: linear.cholesky(self.program, a))

    def _triangular_solve(self, eqn, args, ids, shape, params):
        p, (a, b), lower = self.program, ids, params["lower"]
        if p.shape(a)[-1] > linear.LARGEST:
            raise refuse(eqn, f"its matrix has more than {linear.LARGEST} rows")
        turned = lambda i: p.transpose(i, (*range(len(p.shape(i)) - 2), len(p.shape(i)) - 1, len(p.shape(i)) - 2))  # noqa: E731
        if params["transpose_a"] == params["left_side"]:
            a, lower = turned(a), not lower
        b = b if params["left_side"] else turned(b)
        rule = lambda a, b: linear.triangular(p, a, b, lower, params["unit_diagonal"])  # noqa: E731
        out = linear.each(p, 2, (a, b), rule)
        return out if params["left_side"] else turned(out)

    def determined(self, eqn: Any, args: Sequence[Any]) -> list[Any] | None:
        """What a call of `det`, `slogdet` or `inv` makes; None where the equation is no such call."""
        closed, var = eqn.params.get("jaxpr"), eqn.invars[0] if eqn.invars else None
        if eqn.params.get("name") not in CALLS or len(args) != 1 or closed.consts or var is None:
            return None
        shape, square = tuple(var.aval.shape), len(var.aval.shape) >= 2 and var.aval.shape[-1] == var.aval.shape[-2]
        if not square or is_complex(var) or shape[-1] > linear.LARGEST:
            return None
        if (name := function(str(closed), shape, var.aval.dtype)) is None:
            return None
        p, n = self.program, shape[-1]
        verified = lambda op, own: linear.each(p, 2, [self.id(args[0])], lambda a: p.emit(op, (a,), own))  # noqa: E731
        if name == "inv":
            return [verified("inverse", (n, n))] if n > linear.CRAMER else None
        rule = lambda a: linear.determinant(p, [[linear.entry(p, a, i, j) for j in range(n)] for i in range(n)])  # noqa: E731
        det = linear.each(p, 2, [self.id(args[0])], rule)
        if name == "det":
            return [det]
        size = verified("logdet", ()) if n > linear.CRAMER else p.unary("log", p.unary("abs", det))
        return [p.unary("sign", det), size]

    def _lu(self, eqn, args, ids, shape, params):
        return [Withheld(refuse(eqn, "its factors depend on pivots, which depend on x"))] * len(eqn.outvars)
