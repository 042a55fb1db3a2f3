"""Constraints lower <= c(x) <= upper in boxes: which rows of c are surely kept, surely violated, or may bind.

A row that is undefined somewhere (NaN) is not kept there.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof import moves
from jaxglobal.proof.enclosure import Enclosure, either
from jaxglobal.proof.flat import Program
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.node import BY_ENTRY


class Rows(NamedTuple):
    """The rows of all constraints.

    Attributes:
        id: the number of their value, of shape (m,).
        lower, upper: (m,) their bounds; equal ones make an equality.
        depends: (m, n) on which variables they depend.
    """

    id: int
    lower: np.ndarray
    upper: np.ndarray
    depends: np.ndarray


class Kept(NamedTuple):
    """What is known of the rows in boxes.

    Attributes:
        c: (m, B) their values.
        safe: (B,) where they are surely defined everywhere in the box.
        smooth: (B,) where they have no jump either, in the box and at its faces.
        none: (B,) where no point keeps them.
        all: (B,) where every point does.
        below: (m, B) where a row is everywhere less than its upper bound.
        above: (m, B) where it is everywhere more than its lower bound.
        loose: (B,) where all are both, and smooth: nothing about a point of the box hangs on them.
    """

    c: Interval
    safe: np.ndarray
    smooth: np.ndarray
    none: np.ndarray
    all: np.ndarray
    below: np.ndarray
    above: np.ndarray
    loose: np.ndarray


def kept(rows: Rows, out: Enclosure, batch: int) -> Kept:
    """From the enclosure of the rows in a batch of boxes."""
    m = len(rows.lower)
    c = Interval(*(np.broadcast_to(end, (m, batch)) for end in out.interval))
    lower, upper = rows.lower[:, None], rows.upper[:, None]
    safe = ~np.broadcast_to(out.nans, batch)
    rough = either(out.jump, out.edge)
    smooth = safe if rough is False else safe & ~rough
    below, above = c.hi < upper, c.lo > lower
    inside = ((c.lo >= lower) & (c.hi <= upper)).all(0)
    none = ((c.lo > upper) | (c.hi < lower) | out.never).any(0)
    return Kept(c, safe, smooth, none, inside & safe, below, above, (below & above).all(0) & smooth)


def depends(p: Program, i: int, n: int) -> np.ndarray:
    """On which of the n variables each entry of a value depends, (*shape, n)."""
    known: dict[int, Any] = {}
    for j in sorted({i, p.x, *p.needed([i])}):
        node = p.nodes[j]
        if j == p.x:
            known[j] = np.eye(n, dtype=bool)
            continue
        ins = [known.get(k, np.zeros((*p.shape(k), n), bool)) for k in node.ins[: 1 if node.op == "pick" else None]]
        if node.op == "move":
            known[j] = moves.forward(node, ins)
        elif node.op in ("sum", "lse"):
            known[j] = ins[0].any(node.params["axes"])
        elif node.op not in BY_ENTRY:
            some = [part.reshape(-1, n).any(0) for part in ins]
            known[j] = np.broadcast_to(np.logical_or.reduce([np.zeros(n, bool), *some]), (*node.shape, n))
        else:
            wide = [np.broadcast_to(part.reshape(*(1,) * (len(node.shape) + 1 - part.ndim), *part.shape),
                                    (*node.shape, n)) for part in ins]  # fmt: skip
            known[j] = np.logical_or.reduce(wide)
    return known[i]
