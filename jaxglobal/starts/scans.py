"""Scans: values along the axes through the best point, and the coordinates where they promise to be lowest.

Where the variables act nearly alone, a line along one of them shows all of its minima at once, and the best of every
line together are the minimum of the whole [P]. A scan is a bet on that: `lines` are points spread evenly, `closer`
divides the intervals in which a lower value is the easiest to reach [S], and `proposals` reads from the values where
each line is lowest; these coordinates are then exchanged as those of other minima are (hops.py). `after` says when to
scan again: at once where that has lowered f; else more finely, as minima may have been missed, and as much later, so
that scans that find nothing take no larger share of a search.

What was measured (rastrigin and bueche_rastrigin of BBOB, ten variables, instances 0 to 4, one scan of 48 points a line
from the end of the first local search; no command repeats it): even points alone leave two to five coordinates wrong;
with half of the points where lower values are easy rastrigin is solved by one scan in five of five, bueche_rastrigin in
one, with 64 points in five.

[P] P. Posik, BBOB-benchmarking two variants of the line-search algorithm, GECCO (2009).
[S] S. Swarzberg, G. Seront and H. Bersini, S.T.E.P.: the easiest way to optimize a function, IEEE WCCI (1994).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxglobal.starts import hops
from jaxglobal.starts.elite import EliteSet

COARSEST = 48  # points of a line at first, the best point among them
FINEST = 512
EVEN = 1 / 2  # share of the points of a line that are spread evenly
CLOSER = 1 / 4  # so many more, of those there are, come at a time
BELOW = 0.01  # a lower value is lower by so much, of what the median of a line lies above its best
LOWEST = 4  # proposals for each line


class Schedule(NamedTuple):
    """The next scan."""

    fine: np.ndarray
    """() Points of a line."""
    rest: np.ndarray
    """() Rounds before it."""


def fresh() -> Schedule:
    """The first scan comes with the first round."""
    return Schedule(np.array(COARSEST), np.array(0))


def lines(pool: EliteSet, schedule: Schedule, rng: np.random.Generator) -> np.ndarray:
    """(k, n) The first points of the next scan, evenly spread in each line; none if it is not due."""
    if schedule.rest or not len(pool.f):
        return pool.x[:0]
    n, even = pool.x.shape[1], int(EVEN * schedule.fine)
    axis = hops.axes(n, min(n, max(hops.MOST_EXCHANGES // int(schedule.fine), 1)), rng)
    places = (np.arange(even) + rng.random()) / even
    return hops.moved(pool.x[0], np.repeat(axis, even), np.tile(places, len(axis)))


def closer(pool: EliteSet, schedule: Schedule, x: np.ndarray, f: np.ndarray) -> np.ndarray:
    """(m, n) The next points of a scan, from those so far, (k, n), and their values, (k,); none if it is complete."""
    divided = []
    for axis, places, values in of_each(pool, x, f):
        count = min(math.ceil(CLOSER * len(places)), int(schedule.fine) - len(places))
        divided += [(axis, place) for place in easiest(places, values, count)] if count > 0 else []
    axis, place = np.array(divided, float).reshape(-1, 2).T
    return hops.moved(pool.x[0], axis.astype(np.int64), place)


@np.errstate(over="ignore")  # the walls of a line
def easiest(t: np.ndarray, v: np.ndarray, count: int) -> np.ndarray:
    """(count,) Middles of the intervals with the easiest lower value. t, v: (k,) in ascending t.

    The difficulty of an interval is the least curvature of a parabola through its ends that reaches that value [S].
    """
    finite = np.sort(v[np.isfinite(v)])
    if not len(finite):
        return t[:0]
    best, median = finite[0], (finite[(len(finite) - 1) // 2] + finite[len(finite) // 2]) / 2
    height = np.sqrt(np.where(np.isfinite(v), v - best, np.inf) + BELOW * (median - best))
    width = t[1:] - t[:-1]
    difficulty = (height[1:] + height[:-1]) ** 2 / width**2
    return ((t[1:] + t[:-1]) / 2)[np.lexsort((-width, difficulty))[:count]]  # of equals the widest


def proposals(pool: EliteSet, x: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Which variable, and which value of it, (m, 2), from the points of a scan, (k, n), and their values, (k,)."""
    lines = of_each(pool, x, f)
    proposed = [(axis, place) for axis, places, values in lines for place in lowest(places, values)]
    return np.array(proposed, float).reshape(-1, 2)


def of_each(pool: EliteSet, x: np.ndarray, f: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Line by line of a scan: the variable, and its values with those of f, in ascending order, the best point too."""
    best = pool.x[0]
    of = np.argmax(x != best, axis=1)
    axes = np.flatnonzero(np.bincount(of))
    axis, place = np.concatenate([of, axes]), np.concatenate([x[np.arange(len(x)), of], best[axes]])
    order = np.lexsort((place, axis))
    axis, place, value = axis[order], place[order], np.concatenate([f, np.repeat(pool.f[:1], len(axes))])[order]
    again = np.zeros(len(axis), bool)
    again[1:] = (axis[1:] == axis[:-1]) & (place[1:] == place[:-1])
    place, value = place[~again], value[~again]
    ends = np.searchsorted(axis[~again], axes, side="right").tolist()
    for line, begin, end in zip(axes.tolist(), [0, *ends], ends, strict=False):
        yield line, place[begin:end], value[begin:end]


@np.errstate(over="ignore", invalid="ignore")
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


def after(schedule: Schedule, scanned: bool, fruitful: bool) -> Schedule:
    """The schedule after a round. scanned: whether there was a scan. fruitful: whether an exchange lowered f."""
    if not scanned:
        return schedule._replace(rest=np.maximum(schedule.rest - 1, 0))
    if fruitful:
        return schedule
    fine = np.minimum(2 * schedule.fine, FINEST)
    return Schedule(fine, fine // COARSEST)
