"""Constructive disjunction [1]: a box in which a step is undecided is looked at once for each of its values.

Where `floor(v)` is k or k + 1, v is at least k + 1 in the one case and at most k + 1 in the other, which narrows the
variables; so v - floor(v) is as narrow as anywhere, and an entry of a table that is looked up is known. What all cases
allow is left of the box, and the least of their bounds holds in it.

[1] G. Trombettoni and G. Chabert, Constructive interval disjunction, CP (2007).
"""

from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof.enclosure import Enclosure
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.model import Model

DEPTH = 3  # steps that are decided in turn: a cell of a table in three coordinates
SWITCHES = {"floor", "ceil", "round", "trunc", "sign", "lt", "le", "gt", "ge", "place"}


class Cases(NamedTuple):
    """Boxes, each with what some steps are in it.

    Attributes:
        X: (n, C) the boxes.
        row: (C,) which of the boxes that went in.
        forced: of each step that was decided, the ends of its entries, with C as last axis.
    """

    X: Interval
    row: np.ndarray
    forced: dict[int, Interval]

    def some(self, which: np.ndarray) -> "Cases":
        """Those of a mask, or at some places."""
        forced = {i: Interval(end.lo[..., which], end.hi[..., which]) for i, end in self.forced.items()}
        return Cases(Interval(self.X.lo[:, which], self.X.hi[:, which]), self.row[which], forced)


def switches(model: Model) -> list[int]:
    """The steps of a function, and of its constraints, that may be decided."""
    nodes = model.program.nodes
    return [i for i in model.plan if nodes[i].op in SWITCHES and not nodes[i].params.get("closed")]


def decided(model: Model, X: Interval, cut: float) -> tuple[Interval, np.ndarray, np.ndarray]:
    """The part of each box, (n, B), where fun <= cut, lower bounds of fun, and in which boxes nothing is left."""
    batch = X.lo.shape[1]
    lo, hi, low = np.full_like(X.lo, INF), np.full_like(X.hi, -INF), np.full(batch, INF)
    todo = Cases(X, np.arange(batch), {})
    for depth in range(DEPTH + 1):
        seen = model.value(todo.X, todo.forced)
        new, empty = model.narrowed(seen, cut, todo.forced)
        alive = ~np.broadcast_to(empty, len(todo.row))
        left = Interval(np.fmax(todo.X.lo, new.lo), np.fmin(todo.X.hi, new.hi))
        node, entry = undecided(model, seen.all, alive) if depth < DEPTH else (np.full(len(todo.row), -1),) * 2
        end = alive & (node < 0)
        np.minimum.at(low, todo.row[end], seen.f.lo[end])
        for d in range(model.n):
            np.minimum.at(lo[d], todo.row[end], left.lo[d, end])
            np.maximum.at(hi[d], todo.row[end], left.hi[d, end])
        if not (node >= 0).any():
            break
        values = {i: seen.all[i] for i in np.unique(node[node >= 0]).tolist()}
        todo = split(model, todo._replace(X=left), values, node, entry)
    return Interval(lo, hi), low, lo[0] > hi[0]


def undecided(model: Model, values: dict[int, Enclosure], alive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first step of each box of which an entry takes one of two or three values, and that entry; -1 for none."""
    node, entry = np.full((2, len(alive)), -1)
    for i in switches(model):
        out, operands = values[i], [values[j].nans for j in model.program.nodes[i].ins if j in values]
        gap = out.hi - out.lo
        two = np.broadcast_to((gap == 1) | (gap == 2), (*model.program.shape(i), len(alive))).reshape(-1, len(alive))
        fine = alive & (node < 0) & two.any(0)
        for nan in operands:  # of NaN a comparison is false, whatever its sides
            fine = fine if nan is False else fine & ~nan
        node, entry = np.where(fine, i, node), np.where(fine, np.argmax(two, 0), entry)
    return node, entry


def split(model: Model, cases: Cases, values: dict[int, Enclosure], node: np.ndarray, entry: np.ndarray) -> Cases:
    """Two cases of each in which a step is undecided."""
    which = np.flatnonzero(node >= 0)
    count = len(which)
    out = cases.some(np.concatenate([which, which]))
    forced = dict(out.forced)
    for i, value in values.items():
        shape = model.program.shape(i)
        old = forced.get(i, Interval(np.full((*shape, 2 * count), -INF), np.full((*shape, 2 * count), INF)))
        lo, hi = (end.reshape(-1, 2 * count).copy() for end in old)
        ends = [np.broadcast_to(end, (*shape, len(node))).reshape(-1, len(node)) for end in (value.lo, value.hi)]
        k = np.flatnonzero(node[which] == i)
        for side in (0, 1):
            at = entry[which[k]], k + side * count
            lo[at] = ends[side][entry[which[k]], which[k]]  # up to the one below the greatest, and the greatest
            hi[at] = ends[1][entry[which[k]], which[k]] - (1 - side)
        forced[i] = Interval(lo.reshape(old.lo.shape), hi.reshape(old.hi.shape))
    return out._replace(forced=forced)


def gained(old: Interval, was: np.ndarray, new: Interval, low: np.ndarray, dead: np.ndarray, cut: float) -> Any:
    """Where it was worth it: a box is dropped, or half of a side, or of what its bound lacks."""
    narrower = ((np.fmin(new.hi, old.hi) - np.fmax(new.lo, old.lo)) < 0.5 * (old.hi - old.lo)).any(0)
    return dead | (low > cut) | narrower | (low > 0.5 * (was + cut))
