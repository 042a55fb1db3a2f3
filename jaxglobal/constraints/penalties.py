"""With what penalty the searches of a Lagrangian begin.

With the first one the objective leads a search far before the rows count; where the feasible region is small, or in
many parts, that is away from it for good. Two kinds of searches stay near with a large penalty: those from the lowest
feasible point that was looked at, which would be lost to all that learns from ends of searches, and every other one
where most have ended infeasible.
"""

from typing import Any

import numpy as np

from jaxglobal.constraints import feasible, lagrangian
from jaxglobal.status import LocalStatus

LARGE = 1e4


class Penalties:
    """What decides them.

    Attributes:
        ended: searches that ended infeasible, and all, as far as these are told.
    """

    def __init__(self, dtype: Any):
        """Nothing is known. dtype: of x."""
        self.ended = np.zeros(2, np.int64)
        self._above = feasible.above(dtype)
        self._points: dict[int, tuple[np.ndarray, float]] = {}  # the lowest feasible one of each problem, and its rank

    def looked(self, x: np.ndarray, rank: np.ndarray, problem: np.ndarray) -> None:
        """Points that were looked at, (k, n), their ranks and their problems, each (k,)."""
        order = np.lexsort((rank, problem))
        for i in order[np.flatnonzero(np.diff(problem[order], prepend=-1))]:
            _, before = self._points.get(int(problem[i]), (None, self._above))
            if rank[i] < before:
                self._points[int(problem[i])] = x[i].copy(), float(rank[i])

    def count(self, status: np.ndarray) -> None:
        """How searches have ended, (k,)."""
        self.ended = self.ended + [np.sum(status == LocalStatus.INFEASIBLE), len(status)]

    def of(self, x: np.ndarray, number: np.ndarray, problem: Any) -> np.ndarray:
        """(k, 1) Those of the searches of these numbers from x, (k, n), of these problems."""
        known = [self._points.get(int(i)) for i in np.broadcast_to(problem, len(x))]
        stays = [point is not None and np.array_equal(point[0], start) for point, start in zip(known, x, strict=True)]
        infeasible, ended = self.ended
        other = (number % 2 == 1) & (2 * infeasible > ended)
        return np.where(other | np.array(stays, bool), LARGE, lagrangian.PENALTY)[:, None]

    def save(self) -> dict[str, np.ndarray]:
        """What decides them, as arrays."""
        x, rank = ([point[k] for point in self._points.values()] for k in (0, 1))
        of = np.array([*self._points], np.int64)
        return {"lowest_of": of, "lowest_x": np.array(x), "lowest_rank": np.array(rank), "ended_as": self.ended}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        points = zip(arrays["lowest_x"], arrays["lowest_rank"], strict=True)
        self._points = {int(i): (x, float(rank)) for i, (x, rank) in zip(arrays["lowest_of"], points, strict=True)}
        self.ended = arrays["ended_as"]
