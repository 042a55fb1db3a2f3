"""A last look at the box before a search ends: fresh points by their values alone, and which of them are promising.

A point is searched from if it is lower than all points within the critical distance of [RT], those of known minima
included: a basin of the size that the points can resolve shows, and one that is known is not searched again.

Differs from [RT]:
1. One sample, and of it the lowest points alone, as it comes when a search is about to end.
2. A latin hypercube in place of random points: even in each variable, for any number of them.

[RT] A. Rinnooy Kan and G. Timmer, Stochastic global optimization methods II, Math. Program. 39 (1987).
[R] M. Roberts, The unreasonable effectiveness of quasirandom sequences (2018): a root of x^(n+1) = x + 1 for the steps.
"""

import math
from typing import Any

import numpy as np

SEARCHES = 8  # from the points of a look, at most
LOWEST = 1024  # points of which promising ones are chosen
AT_ONCE = 8  # points that are compared with those below them at first; from block to block twice as many
NUMBERS = 2**18  # distances at a time, at most
SIGMA = 2.0  # of the critical distance; convergence asks for more than 0


def points(count: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """(count, n) Points of the unit box, one in each of `count` slices of every variable."""
    slices = rng.permuted(np.tile(np.arange(count)[:, None], (1, n)), axis=0)
    return (slices + rng.random((count, n))) / count


def scattered(number: Any, n: int, xp: Any = np) -> Any:
    """(k, n) Points of the unit box, those of these numbers, (k,), of a sequence that fills it evenly [R].

    xp: jnp where it is traced.
    """
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (n + 1))
    step = (1 / root) ** np.arange(1, n + 1) % 1
    return (0.5 + xp.asarray(number)[:, None] * xp.asarray(step)[None]) % 1


def promising(x: np.ndarray, f: np.ndarray, known: np.ndarray, count: int, values: Any = 0) -> tuple[np.ndarray, float]:
    """Of points (k, n) with values (k,), at most `count` that are the lowest around; and how far around.

    known: (m, n) the minima so far. values: (n,) of each variable that is whole, 0 of the others: points of another
    assignment are not around, and each assignment has its share of the points.
    """
    values = np.broadcast_to(values, x.shape[1:])
    whole = values > 0
    reach = critical_distance(max(len(x) // int(np.prod(values, where=whole)), 1), int(np.sum(~whole)))
    apart = np.where(whole, values * (1 + reach), 1.0)
    x, known = x * apart, known * apart
    order = np.argsort(f, kind="stable")[:LOWEST]
    order = order[np.isfinite(f[order])]
    ranked = np.concatenate([known, x[order]])  # by value, those that are known first
    lengths = np.sum(ranked**2, axis=1)
    chosen, first, size = order[:0], len(known), AT_ONCE
    while first < len(ranked) and len(chosen) < count:
        block = slice(first, min(first + size, len(ranked)))
        # Twice a product is at least this much where two points lie so near each other: |a - b|^2 <= reach^2.
        near = 2 * ranked[block] @ ranked[: block.stop].T >= lengths[block, None] + (lengths[: block.stop] - reach**2)
        alone = ~np.any(np.tril(near, first - 1), axis=1)
        chosen = np.append(chosen, order[first - len(known) + np.flatnonzero(alone)])
        first, size = block.stop, max(min(2 * size, NUMBERS // len(ranked)), 1)
    return chosen[:count], reach


def critical_distance(k: int, n: int) -> float:
    """[RT] eq. 12, for k points of the unit box in n variables."""
    log = (math.lgamma(1 + n / 2) + math.log(SIGMA * math.log(max(k, 3)) / k)) / n
    return math.exp(log) / math.sqrt(math.pi)
