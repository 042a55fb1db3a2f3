"""A function of a box: its flat program with derivatives, and what can be asked of it for batches of boxes.

It knows nothing of JAX, so that a process which only tests boxes need not import it.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof import contract, enclose
from jaxglobal.proof import intervals as iv
from jaxglobal.proof.enclosure import Enclosure, by_box, constant, either
from jaxglobal.proof.flat import Program
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.rows import Kept, Rows, kept
from jaxglobal.proof.stacks import Stack
from jaxglobal.proof.tangents import Tangents

DERIVED = 64  # variables, at most, of a function whose gradient is used
CURVED = 24  # and of one whose Hessian is
DEEP = 16  # operations one after the other in which variables meet again, from which mean value forms are used
LONGEST = 60_000  # operations with which a Hessian is still made


class Values(NamedTuple):
    """What a function may be in boxes.

    Attributes:
        all: every value of the program.
        f: the function.
        safe: where it is surely defined everywhere in the box.
        never: where it is surely defined nowhere in the box; False in none.
        smooth: where it has no jump either, in the box and at its faces: what holds for derivatives may be used.
        rows: the constraints, if there are any.
    """

    all: dict[int, Enclosure]
    f: Interval
    safe: Any
    smooth: Any
    never: Any = False
    rows: Kept | None = None


class Model:
    """fun, its gradient and its Hessian.

    Attributes:
        n: the number of variables.
        program: all operations.
        f: the number of the function's value.
        narrow: whether fun rounds to less than float64 somewhere.
        rows: the constraints, None where there are none.
    """

    def __init__(self, program: Program, f: int, narrow: bool = False, rows: Rows | None = None):
        """program: of a flat x; f: the number of the function's value."""
        self.n = program.shape(program.x)[0]
        self.program, self.f, self.narrow = program, f, narrow
        if self.program.nodes[self.f].op == "const":  # a function of nothing is still one of x
            zero = self.program.sum(self.program.mul(self.program.x, self.program.x), (0,))
            self.f = self.program.emit("add", (self.f, self.program.emit("min", (zero, self.program.const(0.0)))))
        self.rows = rows
        self.plan = self.program.needed([self.f] if rows is None else [self.f, rows.id])
        self.tangents = Tangents(self.program)

    @functools.cached_property
    def gradient(self) -> Stack | None:
        """Rows of the gradient that are not zero."""
        return self.tangents.first(self.f)

    @functools.cached_property
    def hessian(self) -> Stack | None:
        """Pairs of the Hessian that are not zero."""
        return self.tangents.second(self.f)

    @property
    def derives(self) -> bool:
        """Whether the gradient is used."""
        return self.n <= DERIVED

    @functools.cached_property
    def curves(self) -> bool:
        """Whether the Hessian is used."""
        if not self.derives or self.n > CURVED or len(self.plan) * self.n > LONGEST:
            return False
        kinks = {"unknown", "rem", "atan2"}
        return not any(self.program.nodes[i].op in kinks for i in self.program.needed([self.f]))

    @functools.cached_property
    def gradient_plan(self) -> list[int]:
        """Operations of the gradient beyond those of the value."""
        return [] if self.gradient is None else self.program.needed([self.gradient.id], {self.program.x, *self.plan})

    @functools.cached_property
    def hessian_plan(self) -> list[int]:
        """Operations of the Hessian beyond those of the gradient."""
        known = {self.program.x, *self.plan, *self.gradient_plan}
        return [] if self.hessian is None else self.program.needed([self.hessian.id], known)

    @functools.cached_property
    def row_gradients(self) -> Stack | None:
        """Rows of the gradients of the constraints that are not zero."""
        return None if self.rows is None else self.tangents.first(self.rows.id)

    @functools.cached_property
    def row_plan(self) -> list[int]:
        """Operations of these beyond those of the gradient."""
        known = {self.program.x, *self.plan, *self.gradient_plan}
        return [] if self.row_gradients is None else self.program.needed([self.row_gradients.id], known)

    # ------------------------------------------------------------ what may be asked, in NumPy or in a traced program

    def value(self, X: Interval, forced: Mapping[int, Interval] = enclose.NOTHING) -> Values:
        """The function in boxes, (n, B); forced: what else is known of some values, see disjunction.py."""
        values = {self.program.x: Enclosure(*X)}
        enclose.run(self.program.nodes, self.plan, values, forced)
        return self._values(values, X.lo.shape[-1])

    def centred(self, X: Interval, c: np.ndarray, at: Values) -> Values:
        """The same, narrower: mean value forms about c bound what is made on the way; at: the values at c."""
        nodes, D = self.program.nodes, iv.sub(X, Interval(c, c))
        values = {self.program.x: Enclosure(*X)}
        for i, stack, plan in self.way:
            enclose.run(nodes, [i], values)
            if stack is not None:
                enclose.run(nodes, plan, values)
                values[i] = narrower(values[i], values[stack.id], stack.keys, D, at.all[i])
        return self._values(values, X.lo.shape[-1])

    @functools.cached_property
    def way(self) -> list[tuple[int, Stack | None, list[int]]]:
        """Operations in order; those in which variables meet again with their slopes, and what these need.

        Empty where no such operations follow on each other often: the natural extension is as good there.
        """
        nodes, known, out = self.program.nodes, {self.program.x}, []
        depth: dict[int, int] = {}
        for i in self.plan if self.derives else ():
            ins, stack, plan = nodes[i].ins, None, []
            known.add(i)
            depth[i] = max((depth.get(j, 0) for j in ins), default=0)
            keys = [set(s.keys) for j in ins if (s := self.tangents.first(j)) is not None]
            if nodes[i].op in ("add", "sub", "mul") and len(keys) == 2 and keys[0] & keys[1]:
                stack = self.tangents.first(i)
                stack = None if stack is None or self.program.is_const(stack.id) else stack
            if stack is not None:
                depth[i] += 1
                plan = self.program.needed([stack.id], known)
                known.update(plan)
            out.append((i, stack, plan))
        return out if max(depth.values(), default=0) >= DEEP else []

    def _values(self, values: dict[int, Enclosure], batch: int) -> Values:
        out = values[self.f]
        f = Interval(*(np.broadcast_to(end, batch) for end in out.interval))
        safe = np.broadcast_to(True if out.nan is False else ~out.nan, batch)
        rough = either(out.jump, out.edge)
        smooth = safe if rough is False else safe & ~rough
        rows = None if self.rows is None else kept(self.rows, self._of(values, self.rows.id), batch)
        return Values(values, f, safe, smooth, out.never, rows)

    def narrowed(
        self, seen: Values, cut: Any, forced: Mapping[int, Interval] = enclose.NOTHING
    ) -> tuple[Interval, Any]:
        """The part of each box where fun is defined, fun <= cut and the rows may hold; in which boxes there is none."""
        return self.pinned(seen, cut, forced)[:2]

    def pinned(
        self, seen: Values, cut: Any, forced: Mapping[int, Interval] = enclose.NOTHING
    ) -> tuple[Interval, Any, dict[int, Interval]]:
        """The same, and what the values of the program are in that part."""
        batch = seen.f.lo.shape[-1]
        targets = {**forced, self.f: Interval(np.full(batch, -INF), np.full(batch, 1.0) * cut)}
        if self.rows is None or seen.rows is None:
            new, empty, held = contract.backward(self.program.nodes, self.plan, seen.all, targets, self.program.x)
            return new, either(empty, seen.never), held
        sides = (np.repeat(side[:, None], batch, 1) for side in (self.rows.lower, self.rows.upper))
        targets[self.rows.id] = Interval(*sides)
        new, empty, held = contract.backward(self.program.nodes, self.plan, seen.all, targets, self.program.x)
        return new, either(empty | seen.rows.none, seen.never), held

    def slope(
        self,
        seen: Values,
    ) -> tuple[Interval, Any]:
        """The gradient in the boxes of `seen`, (n, B), all real numbers where it may not be used; where it may jump."""
        batch = seen.f.lo.shape[-1]
        stack = self.gradient
        if stack is None:
            zero = np.zeros((self.n, batch))
            none = np.zeros(batch, bool)
            return self._unless(seen.smooth, Interval(zero, zero)), none
        enclose.run(self.program.nodes, [i for i in self.gradient_plan if i not in seen.all], seen.all)
        out = self._of(seen.all, stack.id)
        nan = by_box(np.isnan(out.lo) | np.isnan(out.hi))
        bad = either(either(out.nans, nan), ~seen.smooth)
        rows = self._spread(out.interval, stack.keys, self.n, batch)
        rough = either(out.jump, out.edge)
        return self._unless(~bad, rows), np.broadcast_to(False if rough is False else rough, batch)

    def row_slopes(self, seen: Values) -> tuple[Interval, np.ndarray]:
        """The Jacobian of the rows in the boxes whose slopes were taken, (n, m, B), and where it may be used."""
        rows, batch, stack = self.rows, seen.f.lo.shape[-1], self.row_gradients
        if rows is None or seen.rows is None:
            raise ValueError("`model` must have rows.")
        J = np.zeros((2, self.n, len(rows.lower), batch))
        if stack is None:
            return Interval(*J), seen.rows.smooth
        enclose.run(self.program.nodes, self.row_plan, seen.all)
        out = self._of(seen.all, stack.id)
        for side, end in zip(J, out.interval, strict=True):
            side[list(stack.keys)] = np.broadcast_to(end, (len(stack.keys), len(rows.lower), batch))
        bad = either(out.nans, by_box(np.isnan(J).any(0)))
        return Interval(*J), seen.rows.smooth if bad is False else seen.rows.smooth & ~bad

    def row_curvature(self, seen: Values) -> tuple[Interval, bool]:
        """The Hessians of the rows in boxes whose slopes were taken, (n, n, m, B), and whether they have no kink."""
        rows, batch, n = self.rows, seen.f.lo.shape[-1], self.n
        if rows is None:
            raise ValueError("`model` must have rows.")
        first, second = self.row_gradients, self.tangents.second(rows.id)
        H = np.zeros((2, n, n, len(rows.lower), batch))
        if first is None:
            return Interval(*H), True
        out = self._of(seen.all, first.id)
        smooth = out.nans is False and out.jump is False and out.edge is False
        if second is None:
            return Interval(*H), smooth
        enclose.run(self.program.nodes, self.program.needed([second.id], set(seen.all)), seen.all)
        out = self._of(seen.all, second.id)
        for side, end in zip(H, out.interval, strict=True):
            for (i, j), part in zip(second.keys, np.broadcast_to(end, (len(second.keys), *H.shape[3:])), strict=True):
                side[i, j] = side[j, i] = part
        return Interval(*H), smooth and out.nans is False and not np.isnan(H).any()

    def curvature(
        self,
        seen: Values,
        kinked: Any,
    ) -> tuple[Interval, Any]:
        """The Hessian in the boxes whose slopes were taken, (n, n, B), and where it may be used."""
        batch, n = seen.f.lo.shape[-1], self.n
        usable = seen.smooth & ~kinked
        stack = self.hessian
        if stack is None:
            zero = np.zeros((n, n, batch))
            return Interval(zero, zero), usable
        enclose.run(self.program.nodes, self.hessian_plan, seen.all)
        out = self._of(seen.all, stack.id)
        usable = usable & ~np.broadcast_to(out.nans, batch)
        index = np.full((n, n), len(stack.keys))
        for k, (i, j) in enumerate(stack.keys):
            index[i, j] = index[j, i] = k
        rows = [
            np.concatenate([np.broadcast_to(end, (len(stack.keys), batch)), np.zeros((1, batch))])
            for end in out.interval
        ]
        H = Interval(rows[0][index], rows[1][index])
        usable = usable & np.isfinite(H.lo).all((0, 1)) & np.isfinite(H.hi).all((0, 1))
        return H, usable

    def _of(self, values: dict[int, Enclosure], i: int) -> Enclosure:
        node = self.program.nodes[i]
        if node.value is None:
            return values[i]
        return constant(node)

    def _spread(self, rows: Interval, keys: Any, size: int, batch: int) -> Interval:
        """Rows that are not zero, among zeros."""
        wide = [np.broadcast_to(end, (len(keys), batch)) for end in rows]
        if len(keys) == size:
            return Interval(*wide)
        index = np.full(size, len(keys))
        index[list(keys)] = np.arange(len(keys))
        return Interval(*(np.concatenate([end, np.zeros((1, batch))])[index] for end in wide))

    def _unless(self, good: Any, rows: Interval) -> Interval:
        return Interval(np.where(good, rows.lo, -INF), np.where(good, rows.hi, INF))


def narrower(a: Enclosure, slopes: Enclosure, keys: Any, D: Interval, at: Enclosure) -> Enclosure:
    """A value in the mean value form, at + slopes (x - c), where that holds; D: x - c, (n, B)."""
    G = Interval(slopes.lo, slopes.hi)
    like = (len(keys), *(1,) * (G.lo.ndim - 2), -1)
    d = Interval(*(end[list(keys)].reshape(like) for end in D))
    form = iv.add(at.interval, iv.total(iv.mul(G, d), (0,)))
    bad = either(either(a.nans, at.nans), either(slopes.nans, either(a.jump, a.edge)))
    lo, hi = np.fmax(a.lo, form.lo), np.fmin(a.hi, form.hi)
    if bad is not False:
        lo, hi = np.where(bad, a.lo, lo), np.where(bad, a.hi, hi)
    return a._replace(lo=lo, hi=hi)
