"""The pool, or elite set: the best distinct points at which local searches have ended, from which hops are made.

Where minima have copies (a cluster of atoms may be turned, its atoms renumbered), the best of them would fill the pool;
so it has at most two points of one value (what that is worth: hops.py).
"""

import math
from typing import NamedTuple

import numpy as np

POOL = 64  # points in the pool
SAME_PLACE = 1e-9  # two points so near are one, in units of the box
SAME_BASIN = 1e-3  # ... and so near if their values agree
SAME_VALUE = 1e-9  # of the size of f, and of the range of the pool; more where values are rounded more
ALIKE = 2  # points of one value in the pool
BLOCK = 2**20  # numbers of an array of differences, at most


class EliteSet(NamedTuple):
    """The best distinct points so far, best first, newest first among equals; n free variables."""

    x: np.ndarray
    """(m, n) In the unit box."""
    f: np.ndarray
    """(m,)"""
    sure: np.ndarray
    """(m,) Whether a search has converged there."""
    born: np.ndarray
    """(m,) When each entered, in searches."""
    seen: np.ndarray
    """() Searches so far."""
    distinct: np.ndarray
    """() Points that have entered, those that were dropped since too."""


def empty(n: int) -> EliteSet:
    """No point yet."""
    zero = np.zeros((), np.int64)
    return EliteSet(np.zeros((0, n)), np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64), zero, zero)


def enter(pool: EliteSet, x: np.ndarray, f: np.ndarray, sure: np.ndarray, same: float = SAME_VALUE) -> EliteSet:
    """The pool with the ends of more searches, (k, n) and (k,), in their order.

    sure: (k,) whether they converged. same: relative difference of values that are one.
    """
    ascending = np.argsort(f, kind="stable")
    ascending = ascending[np.isfinite(f[ascending])]
    first = few_alike(f[ascending], same)
    coming = np.concatenate([ascending[first], ascending[~first]])[:POOL]
    ends = x, f, sure, int(pool.seen) + np.arange(len(f))
    leaves = [np.concatenate([old, new[coming]]) for old, new in zip(pool[:4], ends, strict=True)]
    m = len(pool.f)  # of these have entered
    for i in coming:
        points, values = leaves[0][:m], leaves[1][:m]
        apart = np.abs(points - x[i]).max(axis=1, initial=0.0)
        with np.errstate(over="ignore"):  # of values up to the largest that there are
            span = np.abs(f[i]) + (np.ptp(values) if m else 0.0)
            together = (apart < SAME_BASIN) & (np.abs(values - f[i]) <= same * span)
        known = np.flatnonzero(together | (apart < SAME_PLACE))
        place = known[0] if len(known) else m
        if place == m or f[i] < values[place]:
            for leaf, end in zip(leaves[: 3 if place < m else 4], ends, strict=False):
                leaf[place] = end[i]
        m += place == m
    x, value, sure, born = (leaf[:m] for leaf in leaves)
    order = np.lexsort((-born, value))
    order = order[few_alike(value[order], same)][:POOL]
    distinct = np.asarray(pool.distinct + m - len(pool.f))
    return EliteSet(x[order], value[order], sure[order], born[order], np.asarray(int(pool.seen) + len(f)), distinct)


def few_alike(f: np.ndarray, same: float) -> np.ndarray:
    """(m,) Whether each of these values, ascending, is among the first ALIKE that are the same."""
    place = np.arange(len(f))
    with np.errstate(over="ignore"):  # of values up to the largest that there are
        width = np.max(f, initial=-np.inf) - np.min(f, initial=np.inf)
        begins = np.diff(f, prepend=-np.inf) > same * (np.abs(f) + width)
    return place - np.maximum.accumulate(np.where(begins, place, 0)) < ALIKE


def nearest_of(pool: EliteSet, x: np.ndarray) -> np.ndarray:
    """(k,) Which point of the pool is nearest to each of x, (k, n)."""
    blocks = np.array_split(x, -(-max(x.size, 1) * len(pool.f) // BLOCK))
    return np.concatenate([np.argmin(np.max(np.abs(block[:, None] - pool.x), axis=2), axis=1) for block in blocks])


def lowest_of(pool: EliteSet) -> float:
    """The best value of the pool."""
    return float(pool.f[0]) if len(pool.f) else math.inf
