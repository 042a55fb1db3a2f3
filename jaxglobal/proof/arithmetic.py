"""Quotients, powers, choices, orders and whole numbers, as a lowering writes them: made of the program's operations."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxglobal.proof import whole
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.refused import Refused, Withheld, refuse
from jaxglobal.proof.special import LARGEST
from jaxglobal.proof.writer import Writer

MOST_POWER = 2**20


class Arithmetic(Writer):
    """A rule for each primitive, by its name."""

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
        a, b = (p.number(i) for i in ids)
        if a is not None and b is not None and np.all(b):  # of two floats it is one
            return p.const(np.fmod(a, b)[..., 0])
        turns = p.unary("trunc", p.mul(ids[0], p.unary("reciprocal", ids[1])))
        plain = p.sub(ids[0], p.mul(ids[1], turns))  # knows of a, but not that it is less than b
        return p.emit("both", (plain, p.emit("rem", ids))) if p.is_const(ids[1]) else plain

    def _atan2(self, eqn, args, ids, shape, params):
        """Where y is zero on both sides of the cut along negative x: by the sign of y, where that is decided."""
        p, y = self.program, ids[0]
        plain = p.emit("atan2", ids)
        if p.is_const(y) or p.nodes[y].never_negative:
            return plain
        sides = [p.emit("atan2", ids, key=side, side=side) for side in (1, -1)]
        below = p.emit("lt", (y, p.const(np.zeros(p.shape(y)))))
        return p.emit("both", (plain, p.emit("select", (below, *sides))))

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

    def _igamma(self, eqn, args, ids, shape, params):
        return self.incomplete(eqn, "igamma", ids, shape)

    def _igammac(self, eqn, args, ids, shape, params):
        return self.incomplete(eqn, "igammac", ids, shape)

    def _regularized_incomplete_beta(self, eqn, args, ids, shape, params):
        return self.incomplete(eqn, "betainc", ids, shape)

    def incomplete(self, eqn: Any, op: str, ids: Sequence[int], shape: Any) -> int:
        """An incomplete gamma or beta function, of positive constants and x."""
        numbers = [self.program.number(i) for i in ids[:-1]]
        if any(number is None or not np.all((number > 0) & (number <= LARGEST)) for number in numbers):
            raise refuse(eqn, f"only its last argument may depend on x, and the others must be in (0, {LARGEST:g}]")
        by = [np.broadcast_to(number, (*shape, 1)) for number in numbers if number is not None]
        key = tuple(part.tobytes() for part in by)
        return self.program.emit(op, (self.program.broadcast(ids[-1], shape),), shape, key=key, by=by)

    def _clamp(self, eqn, args, ids, shape, params):
        return self.program.emit("min", (self.program.emit("max", (ids[1], ids[0])), ids[2]))

    def _select_n(self, eqn, args, ids, shape, params):
        return self.select(ids[0], ids[1:])

    def select(self, which: int, cases: Sequence[int]) -> int:
        """A choice, which has no jump where its two cases agree at the switch."""
        agree = len(cases) == 2 and not self.program.is_const(which) and self._agree.holds(which, *cases)
        return self.program.emit("select", (which, *cases), key=agree, continuous=agree)

    def _is_finite(self, eqn, args, ids, shape, params):
        """Where a value is defined; an overflow is not looked at, as real numbers have none."""
        return self.program.emit("eq", (ids[0], ids[0]))

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

    def _sort(self, eqn, args, ids, shape, params):
        if params["num_keys"] == 1 and len(shape) == 1 and (order := self.order(ids[0])) is not None:
            return [self.program.take(i, order) for i in ids]
        if len(ids) > 1:
            raise refuse(eqn, "only the sorted values themselves have a rule")
        return self.program.emit("sort", ids, key=params["dimension"], axis=params["dimension"])

    def order(self, key: int) -> np.ndarray | None:
        """The places from which sorted constants come; None where they are none, or not known well enough."""
        value = self.program.nodes[key].value
        if value is None or self.program.nodes[key].undefined:
            return None
        lo, hi = (np.broadcast_to(end, (*self.program.shape(key), 1))[..., 0] for end in value)
        order = np.argsort(lo, kind="stable")
        apart = np.all(hi[order[:-1]] < lo[order[1:]])
        return order if apart or value.is_point else None

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
