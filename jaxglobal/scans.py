"""Scans: values along the axes through the best point, and the coordinates where they promise to be lowest.

Where the variables act nearly alone, a line along one of them shows all of its minima at once, and the best of every
line together are the minimum of the whole [P]. A scan is a bet on that: `lines` are the points to be evaluated,
`proposals` reads from their values where each line is lowest, and these coordinates are then exchanged as those of
other minima are (hops.py). `after` says when to scan again: at once where that has lowered f; else more finely, as
minima may have been missed, and as much later, so that scans that find nothing take no larger share of a search.

[P] P. Posik, BBOB-benchmarking two variants of the line-search algorithm, GECCO (2009).
"""

from typing import NamedTuple

import numpy as np

from jaxglobal import hops
from jaxglobal.hops import Pool

COARSEST = 48  # points of a line at first
FINEST = 512
LOWEST = 4  # proposals for each line


class Plan(NamedTuple):
    """The next scan."""

    fine: np.ndarray
    """() Points of a line."""
    rest: np.ndarray
    """() Rounds before it."""


def fresh() -> Plan:
    """The first scan comes with the first round."""
    return Plan(np.array(COARSEST), np.array(0))


def lines(pool: Pool, plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """(k, n) The points of the next scan, line after line, evenly spread in each; none if it is not due."""
    if plan.rest or not len(pool.f):
        return pool.x[:0]
    n, fine = pool.x.shape[1], int(plan.fine)
    axis = hops.axes(n, min(n, max(hops.MOST_EXCHANGES // fine, 1)), rng)
    places = (np.arange(fine) + rng.random()) / fine
    return hops.moved(pool.x[0], np.repeat(axis, fine), np.tile(places, len(axis)))


def proposals(pool: Pool, plan: Plan, x: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Which variable, and which value of it, (m, 2), from the points of a scan, (k, n), and their values, (k,)."""
    proposed, best = [], pool.x[0]
    for first in range(0, len(x), int(plan.fine)):
        line = x[first : first + int(plan.fine)]
        axis = int(np.argmax(np.any(line != best, axis=0)))
        places, order = np.unique(np.append(line[:, axis], best[axis]), return_index=True)
        values = np.append(f[first : first + len(line)], pool.f[0])[order]
        proposed += [(axis, place) for place in lowest(places, values)]
    return np.array(proposed, float).reshape(-1, 2)


def lowest(t: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(m,) The lowest minima of the parabolas through neighbouring points, best first. t, v: (k,) in ascending t."""
    left, right = t[1:-1] - t[:-2], t[2:] - t[1:-1]
    finite = np.isfinite(v[:-2]) & np.isfinite(v[1:-1]) & np.isfinite(v[2:])
    inner = np.flatnonzero(finite & (v[1:-1] <= np.minimum(v[:-2], v[2:])) & (v[1:-1] < np.maximum(v[:-2], v[2:])))
    left, right, middle, low = left[inner], right[inner], t[1:-1][inner], v[1:-1][inner]
    rise = (v[2:][inner] - low) / right  # v is low + slope d + curvature d^2 at a distance d from the middle
    curvature = (rise + (v[:-2][inner] - low) / left) / (left + right)
    slope = rise - curvature * right
    order = np.argsort(low - slope**2 / (4 * curvature), kind="stable")[:LOWEST]
    return (middle - slope / (2 * curvature))[order]


def after(plan: Plan, scanned: bool, fruitful: bool) -> Plan:
    """The plan after a round. scanned: whether there was a scan. fruitful: whether an exchange lowered f."""
    if not scanned:
        return plan._replace(rest=np.maximum(plan.rest - 1, 0))
    if fruitful:
        return plan
    fine = np.minimum(2 * plan.fine, FINEST)
    return Plan(fine, fine // COARSEST)
