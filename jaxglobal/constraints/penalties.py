"""With what penalty the searches of a Lagrangian begin.

With the first one the objective leads a search far before the rows count; where the feasible region is small, or in
many parts, that is away from it for good. Two kinds of searches stay near with a large penalty: those from the lowest
feasible point that was looked at, which would be lost to all that learns from ends of searches, and every other one
of a problem where most have ended infeasible. How they ended counts whenever no lane works on the problem, as when
points of it are looked at: so neither the clock nor the order of the answers has a part in it.
"""

from typing import Any

import numpy as np

from jaxglobal.constraints import feasible, lagrangian
from jaxglobal.status import LocalStatus

LARGE = 1e4


class Penalties:
    """What decides them."""

    def __init__(self, dtype: Any):
        """Nothing is known. dtype: of x."""
        self._ended: dict[int, np.ndarray] = {}  # searches of each problem that ended infeasible, and all, that count
        self._news: dict[int, np.ndarray] = {}  # the same of those that ended since
        self._above = feasible.above(dtype)
        self._points: dict[int, tuple[np.ndarray, float]] = {}  # the lowest feasible one of each problem, and its rank

    def looked(self, x: np.ndarray, rank: np.ndarray, problem: np.ndarray) -> None:
        """Points that were looked at, (k, n), their ranks and their problems, each (k,)."""
        self.settle(problem)
        order = np.lexsort((rank, problem))
        for i in order[np.flatnonzero(np.diff(problem[order], prepend=-1))]:
            _, before = self._points.get(int(problem[i]), (None, self._above))
            if rank[i] < before:
                self._points[int(problem[i])] = x[i].copy(), float(rank[i])

    def count(self, status: np.ndarray, problem: np.ndarray) -> None:
        """How searches of these problems have ended, each (k,)."""
        for i in np.unique(problem).tolist():
            mine = status[problem == i]
            self._news[i] = self._news.get(i, 0) + np.array([np.sum(mine == LocalStatus.INFEASIBLE), len(mine)])

    def settle(self, problems: np.ndarray) -> None:
        """None of the searches of these problems is under way: how they ended counts."""
        for i in np.unique(problems).tolist():
            if i in self._news:
                self._ended[i] = self._ended.get(i, 0) + self._news.pop(i)

    def of(self, x: np.ndarray, number: np.ndarray, problem: Any) -> np.ndarray:
        """(k, 1) Those of the searches of these numbers from x, (k, n), of these problems."""
        of = np.broadcast_to(problem, len(x)).tolist()
        known = [self._points.get(i) for i in of]
        stays = [point is not None and np.array_equal(point[0], start) for point, start in zip(known, x, strict=True)]
        infeasible, ended = np.array([self._ended.get(i, (0, 0)) for i in of]).reshape(-1, 2).T
        other = (number % 2 == 1) & (2 * infeasible > ended)
        return np.where(other | np.array(stays, bool), LARGE, lagrangian.PENALTY)[:, None]

    def save(self) -> dict[str, np.ndarray]:
        """What decides them, as arrays."""
        x, rank = ([point[k] for point in self._points.values()] for k in (0, 1))
        of = np.array([*self._points], np.int64)
        counts = [(i, *count, k) for k, kept in enumerate((self._ended, self._news)) for i, count in kept.items()]
        counts = np.array(counts, np.int64).reshape(-1, 4)
        return {"lowest_of": of, "lowest_x": np.array(x), "lowest_rank": np.array(rank), "ended_as": counts}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        points = zip(arrays["lowest_x"], arrays["lowest_rank"], strict=True)
        self._points = {int(i): (x, float(rank)) for i, (x, rank) in zip(arrays["lowest_of"], points, strict=True)}
        self._ended, self._news = (
            {int(i): np.array(count) for i, *count, where in arrays["ended_as"] if where == k} for k in range(2)
        )
