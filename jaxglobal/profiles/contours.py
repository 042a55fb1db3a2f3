"""Profiles of two parameters together: both held on a grid over where the confidence set can reach.

How far the set of both reaches along one is where the profile of that one passes the threshold of both; between these
ends, of every part of it, lie the points of the grid. Each is searched from the profiles of the two and from its
neighbours until none gets lower.
"""

from typing import Any

import numpy as np

from jaxglobal.profiles.line import Line, runs
from jaxglobal.profiles.study import GUESSES, SWEEPS, Study

SIDE = 24  # points along each part of the set
MARGIN = 0.08  # of its width beside it
SPARSE = 3  # one in so many of the grid, each way, is searched from starts of its own


def axis(line: Line, z: np.ndarray) -> np.ndarray:
    """The values of one side of the grid."""
    parts = []
    for first, last in runs(z <= 1):
        low, high = line.v[first], line.v[last]
        more = MARGIN * (high - low)
        parts.append(np.linspace(max(low - more, line.low), min(high + more, line.high), SIDE))
    return np.unique(np.concatenate(parts))


def contour(study: Study, first: Line, second: Line) -> tuple[Any, ...]:
    """The values along both, (A,) and (B,), the costs, (A, B), and the points, (A, B, n)."""
    points, n = study.points, len(study.x)
    a, b = (axis(line, study.heights(line)) for line in (first, second))
    shape, count = (len(a), len(b)), len(a) * len(b)
    boxes = np.repeat(np.stack([points.lower, points.upper])[None], count, axis=0)
    places = np.stack([part.ravel() for part in np.meshgrid(a, b, indexing="ij")], axis=1)
    for k, line in enumerate((first, second)):
        boxes[:, :, line.index] = places[:, k, None]
    guesses = np.full((count, GUESSES, n), np.nan)
    for row, place in zip(guesses, places, strict=True):
        known = [
            line.x[np.argmin(np.where(np.isfinite(line.f), abs(line.v - v), np.inf))]
            for line, v in zip((first, second), place, strict=True)
        ]
        known = [*known, study.x, *study.minima][:GUESSES]
        row[: len(known)] = known
    f, x = np.full(count, np.inf), np.zeros((count, n))
    i, j = np.unravel_index(np.arange(count), shape)
    sparse = (i % SPARSE == 0) & (j % SPARSE == 0)
    for wide in (True, False):
        which = np.flatnonzero(sparse == wide)
        if len(which):  # of a set that was interrupted a point may be known
            f[which], x[which] = points.search(boxes[which], guesses[which], wide)[:2]
    fresh = np.ones(shape, bool)
    for _ in range(SWEEPS):
        which = np.flatnonzero(fresh)
        if not len(which) or points.asked:
            break
        grid, near = x.reshape(*shape, n), np.full((len(which), GUESSES, n), np.nan)
        for row, at in zip(near, which, strict=True):
            for k, (di, dj) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
                p, q = i[at] + di, j[at] + dj
                if 0 <= p < shape[0] and 0 <= q < shape[1]:
                    row[k] = grid[p, q]
        near[:, 0] = np.where(np.isnan(near[:, 0]), x[which], near[:, 0])
        cost, where = points.search(boxes[which], near, False)[:2]
        lower = cost < f[which] - study.better
        f[which[lower]], x[which[lower]] = cost[lower], where[lower]
        fresh = np.zeros(shape, bool)
        for at in which[lower]:
            fresh[max(i[at] - 1, 0) : i[at] + 2, j[at]] = True
            fresh[i[at], max(j[at] - 1, 0) : j[at] + 2] = True
    return a, b, f.reshape(shape), x.reshape(*shape, n)
