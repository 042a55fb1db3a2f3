"""From a jaxpr to a flat program: calls inlined, loops written out, constants evaluated, everything unknown refused.

Custom rules of differentiation and `stop_gradient` are left out: what they give need not be the derivative of the
function, and only its values count here.
"""

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Literal

from jaxglobal.problem.keys import is_key
from jaxglobal.proof import convolve, linear, whole
from jaxglobal.proof.agree import Agreement
from jaxglobal.proof.constant import EXACT, by_jax, evaluate, has_keys, known
from jaxglobal.proof.flat import Program
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.model import Model
from jaxglobal.proof.rows import Rows, depends

LONGEST = 2048  # steps of a loop that are written out
LARGEST = 2**22  # entries of a value
MOST_POWER = 2**20
SAME = {"copy", "copy_p", "stop_gradient", "optimization_barrier", "device_put", "reduce_precision", "pvary"}
CALLS = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "checkpoint": "jaxpr",
    "remat": "jaxpr", "remat2": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}  # fmt: skip
UNARY = {
    "neg", "abs", "exp", "log", "log1p", "expm1", "sqrt", "cbrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "asin",
    "acos", "atan", "asinh", "acosh", "atanh", "logistic", "erf", "erfc", "lgamma", "digamma", "sign", "floor", "ceil",
    "square", "not",
}  # fmt: skip
BINARY = {"add": "add", "add_any": "add", "sub": "sub", "mul": "mul", "max": "max", "min": "min", "and": "and",
          "or": "or", "xor": "xor", "atan2": "atan2", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "eq": "eq",
          "ne": "ne"}  # fmt: skip
REDUCTIONS = {"reduce_max": "max", "reduce_min": "min", "reduce_prod": "mul", "reduce_and": "and", "reduce_or": "or"}
RUNNING = {"cumsum": "add", "cumprod": "mul", "cummax": "max", "cummin": "min"}


class Refused(NotImplementedError):
    """No certificate: the function has something for which there is no sound rule."""

    def __str__(self) -> str:
        """The sentence."""
        return self.args[0]


def place(eqn: Any) -> str:
    """The line of the user's code that made an equation, as far as JAX knows it."""
    trace = getattr(eqn.source_info, "traceback", None)
    if trace is None:
        return ""
    ours = (os.path.dirname(jax.__file__) + os.sep, os.path.dirname(os.path.dirname(__file__)) + os.sep)
    for frame in trace.frames:
        if not frame.file_name.startswith(ours) and os.sep + "jax" + os.sep not in frame.file_name:
            return f" at {os.path.basename(frame.file_name)}:{frame.line_num}"
    return ""


def refuse(eqn: Any, why: str) -> Refused:
    """The error that names a primitive and, if it is known, its line."""
    return Refused(f"`fun` must have an enclosure in intervals; got {eqn.primitive.name!r}{place(eqn)}: {why}.", why)


class Withheld(NamedTuple):
    """In place of a value for which there is no rule: that is said where it is used."""

    error: Refused


class Lowering:
    """Writes jaxprs into a program. A value is a number of the program, or a NumPy array that is known exactly.

    Attributes:
        program: what is written into.
        narrow: whether the function rounds to less than float64 somewhere, which is left out.
    """

    def __init__(self, program: Program):
        """An empty one."""
        self.program, self.narrow, self._agree = program, False, Agreement(program)

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

    def id(self, value: Any) -> int:
        """The number of a value in the program."""
        return self.program.const(value) if isinstance(value, np.ndarray) else value

    def equation(self, eqn: Any, args: list[Any]) -> list[Any]:
        """The results of an equation."""
        name, params = eqn.primitive.name, eqn.params
        if not eqn.outvars:  # a print
            return []
        if any(math.prod(var.aval.shape) > LARGEST for var in eqn.outvars):
            raise refuse(eqn, f"it makes an array of more than {LARGEST:,} entries")
        self.narrow |= name == "reduce_precision"
        if name == "custom_linear_solve":
            return self.linear_solve(eqn, args, **params)
        if name in SAME:
            return args
        if name in CALLS:
            try:
                return self.closed(params[CALLS[name]], args)
            except Refused as error:  # what JAX traces inside has lost the user's line
                if " at " in str(error) or not place(eqn):
                    raise
                raise Refused(
                    str(error).replace(f": {error.args[1]}", f"{place(eqn)}: {error.args[1]}"), error.args[1]
                ) from None
        for arg in args:
            if isinstance(arg, Withheld):
                raise arg.error
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
        rule = getattr(self, f"_{name.replace('-', '_')}", None)
        known = name in UNARY or name in BINARY or name in REDUCTIONS or name in RUNNING or rule is not None
        integers = eqn.outvars[0].aval.dtype.kind in "iu"
        if known and integers and name not in whole.MODULAR | whole.PLAIN:
            raise refuse(eqn, "there is no rule for whole numbers that depend on x")
        if any(var.aval.dtype.kind == "c" for var in eqn.outvars):
            raise refuse(eqn, "there is no rule for complex numbers")
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

    def exactly(self, i: int, dtype: Any) -> Any:
        """Whole numbers that do not depend on x as an array: they may be indices."""
        number = self.program.number(i)
        if number is None or not np.all(number == np.rint(number)) or np.any(abs(number) > 2.0**53):
            return i
        return np.broadcast_to(number, (*self.program.shape(i), 1))[..., 0].astype(dtype)

    # ------------------------------------------------------------ control flow

    def cond(self, args: list[Any], branches: Sequence[Any]) -> list[Any]:
        """Both branches, and a choice; one branch where the index is known."""
        which, rest = args[0], args[1:]
        if isinstance(which, np.ndarray):
            return self.closed(branches[int(np.clip(which, 0, len(branches) - 1))], rest)
        outs = [self.closed(branch, rest) for branch in branches]
        return [self.select(which, [self.id(case) for case in cases]) for cases in zip(*outs, strict=True)]

    def select(self, which: int, cases: Sequence[int]) -> int:
        """A choice, which has no jump where its two cases agree at the switch."""
        agree = len(cases) == 2 and not self.program.is_const(which) and self._agree.holds(which, *cases)
        return self.program.emit("select", (which, *cases), key=agree, continuous=agree)

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

    def row(self, x: Any, k: int) -> Any:
        """One entry along the first axis."""
        if isinstance(x, np.ndarray) or is_key(x):
            return known(x[k])
        p = self.program
        return p.reshape(p.rows(x, [k]), p.shape(x)[1:])

    def stacked(self, rows: Sequence[Any]) -> Any:
        """Values along a new first axis."""
        if all(isinstance(row, np.ndarray) for row in rows):
            return np.stack(rows)
        p, ids = self.program, [self.id(row) for row in rows]
        return p.concatenate([p.reshape(i, (1, *p.shape(i))) for i in ids], 0)

    # ------------------------------------------------------------ reductions

    def folded(self, op: str, a: int, axes: Sequence[int]) -> int:
        """A reduction by a tree of pairs."""
        p = self.program
        for axis in sorted(axes, reverse=True):
            size = p.shape(a)[axis]
            while size > 1:
                half = size // 2
                pick = lambda start, stop, v=a, d=axis: p.cut(  # noqa: E731
                    v, [slice(start, stop) if k == d else slice(None) for k in range(len(p.shape(v)))]
                )
                pairs = p.emit(op, (pick(0, half), pick(half, 2 * half)))
                a = pairs if size % 2 == 0 else p.concatenate([pairs, pick(2 * half, size)], axis)
                size -= half
            a = p.reshape(a, [n for d, n in enumerate(p.shape(a)) if d != axis])
        return a

    def running(self, op: str, a: int, axis: int, reverse: bool) -> int:
        """A running sum or the like, step by step."""
        p, size = self.program, self.program.shape(a)[axis]
        pick = lambda k: p.cut(a, [slice(k, k + 1) if d == axis else slice(None) for d in range(len(p.shape(a)))])  # noqa: E731
        parts: list[int] = []
        for k in reversed(range(size)) if reverse else range(size):
            parts.append(pick(k) if not parts else p.emit(op, (parts[-1], pick(k))))
        return p.concatenate(parts[::-1] if reverse else parts, axis)

    def _reduce_sum(self, eqn, args, ids, shape, params):
        return self.program.sum(ids[0], params["axes"])

    def _dot_general(self, eqn, args, ids, shape, params):
        """A product of operands that are spread out, and a sum."""
        p = self.program
        (lc, rc), (lb, rb) = params["dimension_numbers"]
        left, right = (p.shape(i) for i in ids)
        lf = [d for d in range(len(left)) if d not in (*lc, *lb)]
        rf = [d for d in range(len(right)) if d not in (*rc, *rb)]
        batch, inner = [left[d] for d in lb], [left[d] for d in lc]
        a = p.reshape(p.transpose(ids[0], (*lb, *lf, *lc)), [*batch, *(left[d] for d in lf), *(1 for _ in rf), *inner])
        b = p.reshape(p.transpose(ids[1], (*rb, *rf, *rc)), [*batch, *(1 for _ in lf), *(right[d] for d in rf), *inner])
        outer = len(lb) + len(lf) + len(rf)
        if math.prod(np.broadcast_shapes(p.shape(a), p.shape(b))) > LARGEST:
            raise refuse(eqn, f"it makes more than {LARGEST:,} products")
        return p.sum(p.mul(a, b), range(outer, outer + len(inner))) if inner else p.mul(a, b)

    def _conv_general_dilated(self, eqn, args, ids, shape, params):
        if math.prod(shape) * math.prod(self.program.shape(ids[1])[1:]) > LARGEST:
            raise refuse(eqn, f"it makes more than {LARGEST:,} products")
        if (out := convolve.convolved(self.program, ids[0], ids[1], params)) is None:
            raise refuse(eqn, "there is no rule for batches in groups")
        return out

    # ------------------------------------------------------------ small matrices

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

    def _lu(self, eqn, args, ids, shape, params):
        return [Withheld(refuse(eqn, "its factors depend on pivots, which depend on x"))] * len(eqn.outvars)

    def linear_solve(self, eqn: Any, args: list[Any], *, const_lengths: Any, jaxprs: Any) -> list[Any]:
        """A linear system, by its matrix: the function of the system at unit vectors."""
        p, given = self.program, sum(const_lengths)
        b = args[given:]
        if len(b) != 1 or (n := math.prod(eqn.outvars[0].aval.shape)) > linear.LARGEST:
            raise refuse(eqn, f"it has several unknowns, or more than {linear.LARGEST} numbers")
        if isinstance(b[0], Withheld):
            raise b[0].error
        shape, columns = eqn.outvars[0].aval.shape, []
        for unit in np.eye(n):
            (column,) = self.closed(jaxprs.matvec, [*args[: const_lengths.matvec], unit.reshape(shape)])
            columns.append(p.reshape(self.id(column), (n,)))
        rows = [[linear.entry(p, column, i) for column in columns] for i in range(n)]
        right = p.reshape(self.id(b[0]), (n,))
        x = linear.solved(p, rows, [linear.entry(p, right, i) for i in range(n)])
        return [p.reshape(p.concatenate([p.reshape(i, (1,)) for i in x], 0), shape)]

    # ------------------------------------------------------------ entries in other places

    def _reshape(self, eqn, args, ids, shape, params):
        return self.program.reshape(ids[0], shape)

    _squeeze = _expand_dims = _reshape

    def _broadcast_in_dim(self, eqn, args, ids, shape, params):
        thin = [1] * len(shape)
        for d, size in zip(params["broadcast_dimensions"], self.program.shape(ids[0]), strict=True):
            thin[d] = size
        return self.program.broadcast(self.program.reshape(ids[0], thin), shape)

    def _transpose(self, eqn, args, ids, shape, params):
        return self.program.transpose(ids[0], params["permutation"])

    def _slice(self, eqn, args, ids, shape, params):
        strides = params["strides"] or (1,) * len(shape)
        return self.program.cut(
            ids[0], [slice(*c) for c in zip(params["start_indices"], params["limit_indices"], strides, strict=True)]
        )

    def _tile(self, eqn, args, ids, shape, params):
        a = self.program.shape(ids[0])
        thin = [size for old in a for size in (1, old)]
        wide = [size for many, old in zip(params["reps"], a, strict=True) for size in (many, old)]
        return self.program.reshape(self.program.broadcast(self.program.reshape(ids[0], thin), wide), shape)

    def _unstack(self, eqn, args, ids, shape, params):
        axis, rank = params["axis"], len(self.program.shape(ids[0]))
        picks = [[slice(k, k + 1) if d == axis else slice(None) for d in range(rank)] for k in range(len(eqn.outvars))]
        return [self.program.reshape(self.program.cut(ids[0], pick), shape) for pick in picks]

    def _stack(self, eqn, args, ids, shape, params):
        axis = params["axis"]
        thin = [*shape[:axis], 1, *shape[axis + 1 :]]
        return self.program.concatenate([self.program.reshape(i, thin) for i in ids], axis)

    def _argmax(self, eqn, args, ids, shape, params):
        return self.first(eqn, ids[0], params["axes"], "max")

    def _argmin(self, eqn, args, ids, shape, params):
        return self.first(eqn, ids[0], params["axes"], "min")

    def first(self, eqn: Any, a: int, axes: Sequence[int], op: str) -> int:
        """Where along an axis a value is greatest or least; of conditions the first that holds, or does not."""
        p, (axis,) = self.program, axes
        if p.nodes[a].partial:
            raise refuse(eqn, "its operand may be NaN")
        order = (axis, *(d for d in range(len(p.shape(a))) if d != axis))
        rows = p.transpose(a, order)
        if p.shape(rows)[0] > whole.MOST:
            raise refuse(eqn, f"it chooses among more than {whole.MOST:,} entries")
        rows = [self.id(self.row(rows, k)) for k in range(p.shape(rows)[0])]
        if eqn.invars[0].aval.dtype != bool:
            return whole.first(p, rows, op)
        out = p.const(np.zeros(p.shape(rows[0])))
        for k in reversed(range(len(rows))):
            cases = (out, p.const(np.full(p.shape(rows[0]), float(k))))
            out = p.emit("select", (rows[k], *(cases if op == "max" else cases[::-1])))
        return out

    def _rev(self, eqn, args, ids, shape, params):
        return self.program.cut(
            ids[0], [slice(None, None, -1 if d in params["dimensions"] else 1) for d in range(len(shape))]
        )

    def _concatenate(self, eqn, args, ids, shape, params):
        return self.program.concatenate(ids, params["dimension"])

    def _split(self, eqn, args, ids, shape, params):
        axis, ends = params["axis"], np.cumsum([0, *params["sizes"]])
        rank = len(self.program.shape(ids[0]))
        return [
            self.program.cut(ids[0], [slice(int(a), int(b)) if d == axis else slice(None) for d in range(rank)])
            for a, b in zip(ends[:-1], ends[1:], strict=True)
        ]

    def moved(self, eqn: Any, args: list[Any], ids: list[int], values: Sequence[int], params: dict[str, Any]) -> int:
        """Anything else that moves entries: the primitive itself is asked where from, once."""
        p, places, at, parts = self.program, list(args), 1, []
        for k in values:
            size = math.prod(p.shape(ids[k]))
            places[k] = np.arange(at, at + size, dtype=np.int64).reshape(p.shape(ids[k]))
            parts.append(p.reshape(ids[k], (size,)))
            at += size
        if not all(isinstance(place, np.ndarray) for place in places):
            raise refuse(eqn, "its index depends on x")
        if "fill_value" in params:
            params = {**params, "fill_value": 0}
        (index,) = evaluate(eqn, places, params)
        if index.min(initial=1) < 1 or index.max(initial=1) >= at:
            raise refuse(eqn, "its index is out of range")
        return p.take(p.concatenate(parts, 0), index - 1)

    def _gather(self, eqn, args, ids, shape, params):
        if isinstance(args[1], np.ndarray):
            return self.moved(eqn, args, ids, [0], params)
        if (out := whole.gathered(self.program, ids[0], ids[1], params)) is None:
            raise refuse(eqn, "its index depends on x")
        return out

    def _dynamic_slice(self, eqn, args, ids, shape, params):
        if all(isinstance(start, np.ndarray) for start in args[1:]):
            return self.moved(eqn, args, ids, [0], params)
        if (out := whole.sliced(self.program, ids[0], args[1:], params["slice_sizes"])) is None:
            raise refuse(eqn, "its index depends on x")
        return out

    def _dynamic_update_slice(self, eqn, args, ids, shape, params):
        return self.moved(eqn, args, ids, [0, 1], params)

    def _pad(self, eqn, args, ids, shape, params):
        return self.moved(eqn, args, ids, [0, 1], params)

    def _scatter(self, eqn, args, ids, shape, params):
        return self.moved(eqn, args, ids, [0, 2], params)

    def _scatter_add(self, eqn, args, ids, shape, params):
        """As a sum over the updates of each place; the primitive is asked where one of each goes."""
        p, size = self.program, math.prod(self.program.shape(ids[2]))
        if not isinstance(args[1], np.ndarray):
            raise refuse(eqn, "its index depends on x")
        if size * math.prod(shape) > LARGEST:
            raise refuse(eqn, "it has too many updates")
        zero, unit = np.zeros(shape), np.eye(size).reshape(size, *p.shape(ids[2]))
        place = lambda u: eqn.primitive.bind(zero, args[1], u, **params)  # noqa: E731
        with jax.ensure_compile_time_eval():
            goes = np.asarray(jax.vmap(place)(jax.numpy.asarray(unit)))
        ids[2] = p.reshape(ids[2], (size, *(1 for _ in shape)))
        spread = p.emit("mul", (p.const(goes), ids[2]), key="hides", hides=True)  # NaN goes to its own place only
        return p.add(ids[0], p.sum(spread, (0,)))

    # ------------------------------------------------------------ the rest

    def _div(self, eqn, args, ids, shape, params):
        if eqn.outvars[0].aval.dtype.kind in "iu":
            return self.whole_quotient(eqn, ids)
        return self.program.mul(ids[0], self.program.unary("reciprocal", ids[1]))

    def whole_quotient(self, eqn: Any, ids: Sequence[int]) -> int:
        """A whole number by a constant one, towards zero."""
        by = self.program.number(ids[1])
        if by is None or not np.all((by == by.flat[0]) & (by > 0)):
            raise refuse(eqn, "a whole number is divided by what is not one positive constant")
        return self.program.emit("whole_quotient", ids[:1], key=float(by.flat[0]), by=float(by.flat[0]))

    def _rem(self, eqn, args, ids, shape, params):
        p, dtype = self.program, eqn.outvars[0].aval.dtype
        if dtype.kind in "iu":
            return whole.wrapped(p, p.sub(ids[0], p.mul(ids[1], self.whole_quotient(eqn, ids))), dtype)
        if p.is_const(ids[1]):
            return p.emit("rem", ids)
        return p.sub(ids[0], p.mul(ids[1], p.unary("trunc", p.mul(ids[0], p.unary("reciprocal", ids[1])))))

    def _rsqrt(self, eqn, args, ids, shape, params):
        return self.program.unary("reciprocal", self.program.unary("sqrt", ids[0]))

    def _exp2(self, eqn, args, ids, shape, params):
        log2 = Interval(np.full(1, np.nextafter(np.log(2), 0)), np.full(1, np.nextafter(np.log(2), 1)))
        return self.program.unary("exp", self.program.mul(ids[0], self.program.const(log2)))

    def _log2(self, eqn, args, ids, shape, params):
        log2 = Interval(np.full(1, np.nextafter(np.log(2), 0)), np.full(1, np.nextafter(np.log(2), 1)))
        by = self.program.unary("reciprocal", self.program.const(log2))
        return self.program.mul(self.program.unary("log", ids[0]), by)

    def _polynomial(self, eqn, args, ids, shape, params):
        """Horner's scheme: x, and the coefficients from the constant on."""
        x, out = ids[0], ids[-1]
        for coefficient in reversed(ids[1:-1]):
            out = self.program.add(self.program.mul(out, x), coefficient)
        return out

    def _round(self, eqn, args, ids, shape, params):
        return self.program.unary("round", ids[0])

    def _integer_pow(self, eqn, args, ids, shape, params):
        return self.whole_power(ids[0], params["y"])

    def whole_power(self, a: int, y: int) -> int:
        """A to a whole power."""
        if abs(y) > MOST_POWER:
            raise Refused(f"`fun` must have an enclosure in intervals; got a power of {y:,}, above {MOST_POWER:,}.", "")
        if y < 0:
            return self.program.unary("reciprocal", self.whole_power(a, -y))
        if y == 0:
            return self.program.const(np.ones(self.program.shape(a)))
        return self.program.emit("ipow", (a,), key=y, y=y)

    def _pow(self, eqn, args, ids, shape, params):
        """Whole powers of any number; all others of what is not negative."""
        p, (a, b) = self.program, ids
        power = p.number(b)
        if power is None:
            out = p.emit("exp", (p.mul(b, p.unary("log", a)),), key="hides", hides=True)  # 1 to the power NaN is 1
            if p.nodes[a].never_negative:
                return out
            # Of a negative number JAX knows whole powers, which b may be anywhere.
            a, b, out = (p.broadcast(i, shape) for i in (a, b, out))
            negative = p.emit("lt", (a, p.const(np.zeros(shape))))
            return p.emit("select", (negative, out, p.emit("anything", (a, b))))
        y, which = np.unique(power, return_inverse=True)
        if len(y) > 64:
            raise refuse(eqn, "it has more than 64 different powers")
        parts = [self.power(p.broadcast(a, shape), float(k)) for k in y]
        out, which = parts[0], np.broadcast_to(which.reshape(power.shape)[..., 0], shape)
        for k in range(1, len(y)):
            out = p.emit("select", (p.const(1.0 * (which == k)), out, parts[k]))
        return out

    def power(self, a: int, y: float) -> int:
        """A to one constant power."""
        p = self.program
        if y == int(y):
            return self.whole_power(a, int(y))
        if y == 0.5:
            return p.emit("sqrt", (a,), key="hides", hides=True)
        return p.emit("powc", (a,), key=y, y=y)

    def _clamp(self, eqn, args, ids, shape, params):
        return self.program.emit("min", (self.program.emit("max", (ids[1], ids[0])), ids[2]))

    def _select_n(self, eqn, args, ids, shape, params):
        if isinstance(args[0], np.ndarray) and args[0].ndim == 0:
            return ids[1 + int(args[0])]
        return self.select(ids[0], ids[1:])

    def _is_finite(self, eqn, args, ids, shape, params):
        """Where a value is defined; an overflow is not looked at, as real numbers have none."""
        return self.program.emit("eq", (ids[0], ids[0]))

    def _sort(self, eqn, args, ids, shape, params):
        if len(ids) > 1:
            raise refuse(eqn, "only the sorted values themselves have a rule")
        return self.program.emit("sort", ids, key=params["dimension"], axis=params["dimension"])

    def _top_k(self, eqn, args, ids, shape, params):
        """The greatest values, from the greatest on; NaN is greater than any, as JAX sorts it."""
        p, axis, k = self.program, params.get("axis", len(shape) - 1) % len(shape), params["k"]
        out = p.emit("sort", ids, key=axis, axis=axis)
        size = p.shape(out)[axis]
        ends = slice(size - 1, size - 1 - k if k < size else None, -1)
        out = p.cut(out, [ends if d == axis else slice(None) for d in range(len(shape))])
        return [out, Withheld(refuse(eqn, "only the sorted values themselves have a rule"))]

    def _convert_element_type(self, eqn, args, ids, shape, params):
        new, old = np.dtype(params["new_dtype"]), eqn.invars[0].aval.dtype
        self.narrow |= new.kind == "f" and new.itemsize < 8 and old.kind == "f"
        if new.kind in "iu" and old.kind == "f":  # out of range it is the nearest that there is, of NaN zero
            p, range_of = self.program, np.iinfo(new)
            least, most, zero = (p.const(np.full((), float(end))) for end in (range_of.min, range_of.max, 0))
            cut = p.emit("min", (p.emit("max", (p.unary("trunc", ids[0]), least)), most))
            return p.emit("select", (p.emit("eq", (ids[0], ids[0])), zero, cut))
        if new.kind in "iu" and old.kind in "iu" and (new.itemsize < old.itemsize or new.kind != old.kind):
            return whole.wrapped(self.program, ids[0], new)
        if new.kind == "b" and old.kind != "b":
            return self.program.emit("ne", (ids[0], self.program.const(np.zeros(()))))
        return ids[0]


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
