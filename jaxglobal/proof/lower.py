"""From a jaxpr to a flat program: calls inlined, loops written out, constants evaluated, everything unknown refused.

Custom rules of differentiation and `stop_gradient` are left out: what they give need not be the derivative of the
function, and only its values count here. The rules of primitives are in the files of the bases of `Lowering`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend.core import Literal

from jaxglobal.problem.keys import is_key
from jaxglobal.proof import exactly, linear, whole
from jaxglobal.proof.arithmetic import Arithmetic
from jaxglobal.proof.complexes import Complex, Complexes, is_complex
from jaxglobal.proof.constant import EXACT, by_jax, evaluate, has_keys, known
from jaxglobal.proof.flat import Program
from jaxglobal.proof.matrices import Matrices
from jaxglobal.proof.model import Model
from jaxglobal.proof.pieces import Pieces
from jaxglobal.proof.places import Places
from jaxglobal.proof.reductions import Reductions
from jaxglobal.proof.refused import Refused, Withheld, placed, refuse
from jaxglobal.proof.rows import Rows, depends
from jaxglobal.proof.searches import Searches
from jaxglobal.proof.writer import LARGEST

LONGEST = 2048  # steps of a loop that are written out
SAME = {"copy", "copy_p", "stop_gradient", "optimization_barrier", "device_put", "reduce_precision", "pvary"}
CALLS = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "checkpoint": "jaxpr",
    "remat": "jaxpr", "remat2": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}  # fmt: skip
STEPS = {"floor", "ceil", "round"}
LOOPS = {"scan", "while", "cond"}
UNARY = {
    "neg", "abs", "exp", "log", "log1p", "expm1", "sqrt", "cbrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "asin",
    "acos", "atan", "asinh", "acosh", "atanh", "logistic", "erf", "erfc", "lgamma", "digamma", "sign", "floor", "ceil",
    "square", "not", "erf_inv", "bessel_i0e", "bessel_i1e",
}  # fmt: skip
BINARY = {"add": "add", "add_any": "add", "sub": "sub", "mul": "mul", "max": "max", "min": "min", "and": "and",
          "or": "or", "xor": "xor", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "eq": "eq",
          "ne": "ne"}  # fmt: skip
REDUCTIONS = {"reduce_max": "max", "reduce_min": "min", "reduce_prod": "mul", "reduce_and": "and", "reduce_or": "or"}
RUNNING = {"cumsum": "add", "cumprod": "mul", "cummax": "max", "cummin": "min"}


class Lowering(Searches, Complexes, Reductions, Matrices, Places, Arithmetic):
    """Writes jaxprs into a program; see `Writer`."""

    def jaxpr(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        """The outputs for these arguments."""
        env = dict(zip(jaxpr.constvars, map(known, consts), strict=True)) | dict(zip(jaxpr.invars, args, strict=True))

        def read(atom: Any) -> Any:
            return (
                known(np.asarray(atom.val, getattr(atom.aval, "dtype", None)))
                if isinstance(atom, Literal)
                else env[atom]
            )

        for eqn in jaxpr.eqns:
            values = [read(atom) for atom in eqn.invars]
            fixed = has_keys(eqn) and all(isinstance(value, np.ndarray) or is_key(value) for value in values)
            outs = by_jax(jaxpr, eqn, values) if fixed else self.equation(eqn, values)
            env.update(zip(eqn.outvars, outs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def closed(self, closed: Any, args: Sequence[Any]) -> list[Any]:
        """The same of a jaxpr with its constants."""
        return self.jaxpr(getattr(closed, "jaxpr", closed), getattr(closed, "consts", ()), args)

    def equation(self, eqn: Any, args: list[Any]) -> list[Any]:
        """The results of an equation."""
        name, params = eqn.primitive.name, eqn.params
        if not eqn.outvars:  # a print
            return []
        if any(math.prod(var.aval.shape) > LARGEST for var in eqn.outvars):
            raise refuse(eqn, f"it makes an array of more than {LARGEST:,} entries")
        self.narrow |= name == "reduce_precision"
        if name == "custom_linear_solve":
            return self.linear_solve(eqn, [self.whole(arg) for arg in args], **params)
        if name in SAME:
            return args
        if name in CALLS:
            if (found := self.searched(eqn, args)) is not None:
                return [found]
            if (outs := self.determined(eqn, args)) is not None:
                return outs
            try:
                outs = self.closed(params[CALLS[name]], args)
            except Refused as error:
                raise placed(error, eqn) from None
            return [Withheld(placed(out.error, eqn)) if isinstance(out, Withheld) else out for out in outs]
        if name == "select_n" and isinstance(args[0], np.ndarray) and args[0].ndim == 0:
            return [args[1 + int(args[0])]]
        if (withheld := next((arg for arg in args if isinstance(arg, Withheld)), None)) is not None:
            return [withheld] * len(eqn.outvars)
        if any(isinstance(arg, Complex) for arg in args) or any(is_complex(var) for var in eqn.outvars):
            return self.complex_equation(eqn, [self.whole(arg) for arg in args])
        if any(isinstance(arg, Pieces) for arg in args):
            if name not in LOOPS and (found := self.in_pieces(eqn, args)) is not None:
                return found
            args = [self.whole(arg) for arg in args]
        if name == "scan":
            return self.scan(eqn, args)
        if name == "while":
            return self.loop(eqn, args, **params)
        if name == "cond":
            return self.cond(args, params["branches"])
        if all(isinstance(arg, np.ndarray) for arg in args) and (
            name in EXACT or all(a.dtype.kind in "biu" for a in args)
        ):
            return evaluate(eqn, args)
        if has_keys(eqn):
            raise refuse(eqn, "there is no rule for random keys that depend on x")
        ids = [self.id(arg) for arg in args]
        if name in STEPS:
            ids = [exactly.meant(self.program, i) for i in ids]
        rule = getattr(self, f"_{name.replace('-', '_')}", None)
        known = name in UNARY or name in BINARY or name in REDUCTIONS or name in RUNNING or rule is not None
        integers = eqn.outvars[0].aval.dtype.kind in "iu"
        if known and integers and name not in whole.MODULAR | whole.PLAIN:
            raise refuse(eqn, "there is no rule for whole numbers that depend on x")
        shape = tuple(eqn.outvars[0].aval.shape)
        if name in UNARY:
            out = self.program.unary(name, ids[0])
        elif name in BINARY:
            out = self.program.emit(BINARY[name], ids)
        elif name in REDUCTIONS:
            out = self.folded(REDUCTIONS[name], ids[0], params["axes"])
        elif name in RUNNING:
            out = self.running(RUNNING[name], ids[0], params["axis"], params["reverse"])
        elif rule is not None:
            out = rule(eqn, args, ids, shape, params)
        else:
            raise refuse(eqn, "there is no rule for it")
        outs = out if isinstance(out, list) else [self.program.broadcast(out, shape)]
        if integers and name in whole.MODULAR:
            outs = [whole.wrapped(self.program, i, eqn.outvars[0].aval.dtype) for i in outs]
        return [self.exactly(i, eqn.outvars[0].aval.dtype) for i in outs] if integers else outs

    def cond(self, args: list[Any], branches: Sequence[Any]) -> list[Any]:
        """Both branches, and a choice; one branch where the index is known."""
        which, rest = args[0], args[1:]
        if isinstance(which, np.ndarray):
            return self.closed(branches[int(np.clip(which, 0, len(branches) - 1))], rest)
        outs = [self.closed(branch, rest) for branch in branches]
        return [self.select(which, [self.id(case) for case in cases]) for cases in zip(*outs, strict=True)]

    def scan(self, eqn: Any, args: list[Any]) -> list[Any]:
        """Written out. What goes through it is told by its rank: JAX's names for the numbers of these have changed."""
        jaxpr, length, reverse = (eqn.params[name] for name in ("jaxpr", "length", "reverse"))
        if length > LONGEST:
            raise refuse(eqn, f"a loop of {length:,} steps is longer than {LONGEST:,}")
        rank = lambda variables: [len(v.aval.shape) for v in variables]  # noqa: E731
        pairs = zip(rank(eqn.outvars), rank(jaxpr.jaxpr.outvars), strict=True)
        num_carry = sum(outer == inner for outer, inner in pairs)
        pairs = zip(rank(eqn.invars), rank(jaxpr.jaxpr.invars), strict=True)
        num_consts = sum(outer == inner for outer, inner in pairs) - num_carry
        consts, carry, xs = args[:num_consts], args[num_consts : num_consts + num_carry], args[num_consts + num_carry :]
        rows: list[list[Any]] = []
        for k in reversed(range(length)) if reverse else range(length):
            outs = self.closed(jaxpr, [*consts, *carry, *(self.row(x, k) for x in xs)])
            carry = outs[:num_carry]
            rows.append(outs[num_carry:])
        rows = rows[::-1] if reverse else rows
        return [*carry, *(self.stacked(column) for column in zip(*rows, strict=True))]

    def loop(self, eqn: Any, args: list[Any], *, cond_jaxpr: Any, body_jaxpr: Any, cond_nconsts: int,
             body_nconsts: int) -> list[Any]:  # fmt: skip
        """A `while` whose condition does not depend on x, written out."""
        asked, does, carry = np.split(np.arange(len(args)), [cond_nconsts, cond_nconsts + body_nconsts])
        carry = [args[k] for k in carry]
        for _ in range(LONGEST):
            (goes_on,) = self.closed(cond_jaxpr, [*(args[k] for k in asked), *carry])
            if not isinstance(goes_on, np.ndarray):
                raise refuse(eqn, "the number of its steps depends on x")
            if not goes_on:
                return carry
            carry = self.closed(body_jaxpr, [*(args[k] for k in does), *carry])
        raise refuse(eqn, f"it takes more than {LONGEST:,} steps")

    def linear_solve(self, eqn: Any, args: list[Any], *, const_lengths: Any, jaxprs: Any) -> list[Any]:
        """A linear system, by its matrix: the function of the system at unit vectors."""
        p, given = self.program, sum(const_lengths)
        b = args[given:]
        if len(b) != 1 or (n := math.prod(eqn.outvars[0].aval.shape)) > linear.LARGEST:
            raise refuse(eqn, f"it has several unknowns, or more than {linear.LARGEST} numbers")
        shape, columns = eqn.outvars[0].aval.shape, []
        for unit in np.eye(n):
            (column,) = self.closed(jaxprs.matvec, [*args[: const_lengths.matvec], unit.reshape(shape)])
            columns.append(p.reshape(self.id(column), (n,)))
        rows = [[linear.entry(p, column, i) for column in columns] for i in range(n)]
        right = p.reshape(self.id(b[0]), (n,))
        x = linear.solved(p, rows, [linear.entry(p, right, i) for i in range(n)])
        return [p.reshape(p.concatenate([p.reshape(i, (1,)) for i in x], 0), shape)]


def model_of(
    jaxpr: Any, low: np.ndarray, sides: tuple[np.ndarray, np.ndarray] | None = None, still: np.ndarray | None = None
) -> Model:
    """The model of a closed jaxpr of a flat x in float64; low: (n,) the lower bounds.

    sides: the bounds of its second output, the rows of constraints, (m,) each; still: (n,) which variables do not move,
    since they are whole numbers or fixed.

    Raises:
        Refused: something in it has no rule.
    """
    lowering = Lowering(Program(len(low), bool(np.all(low >= 0)), still))
    f, *c = map(lowering.id, lowering.closed(jaxpr, [lowering.program.x]))
    rows = None if sides is None else Rows(c[0], *sides, depends(lowering.program, c[0], len(low)))
    return Model(lowering.program, f, lowering.narrow, rows)
