"""Whole numbers under constraints that are told: which searches are of one point alone, and what rows change by.

A row of whole numbers alone has no slope to be scaled by. So the values at a few points are asked for before the first
search, and until a slope of a row is told, it is taken to be such a row. Where one is violated no search of the other
variables helps, and where nothing moves there is nothing to search: that search is the point where it begins.
"""

import numpy as np

from jaxglobal.constraints import feasible, finishing, lagrangian
from jaxglobal.constraints.lagrangian import Packed
from jaxglobal.constraints.subject import SAMPLE, Subject
from jaxglobal.problem import lattice
from jaxglobal.starts import lastlook


def sample(subject: Subject) -> np.ndarray:
    """Points at which values say what rows change by, (k, n), each once."""
    frame, whole = subject.frame, subject.whole
    unit = lastlook.points(SAMPLE, len(whole), np.random.default_rng(0))
    unit = np.unique(lattice.snapped(unit, lattice.values(frame.low, frame.high, whole)), axis=0)
    return lattice.rounded(frame.low + frame.width * unit, whole)


def flat(subject: Subject, slopes: np.ndarray) -> np.ndarray:
    """(m,) What rows that have had no slope so far change by, 0 of the others. slopes: (m, n) that are told now."""
    return np.where(np.any(np.nan_to_num(slopes), axis=1), 0.0, subject.frame.spread)


def of_one_point(subject: Subject, packed: np.ndarray, c: np.ndarray, J: np.ndarray) -> np.ndarray:
    """A packed start, (k,), that ends at once where no search can help. c, J: the rows, (m,), and their slopes."""
    over = feasible.violations(c, J, subject.frame, subject.least) > subject.most
    if not subject.still and not np.any(over & (subject.frame.spread > 0)):
        return packed
    ends = (np.full(1, number) for number in finishing.ONCE)
    parts = lagrangian.unpack(packed, subject.rows.m)._replace(**dict(zip(Packed._fields[-3:], ends, strict=True)))
    return lagrangian.pack(parts).astype(packed.dtype)


def is_of_one_point(parts: Packed) -> bool:
    """Whether such a search has ended. parts: of it, each (1, k)."""
    return bool(parts.most[0, 0] == finishing.ONCE[-1])
