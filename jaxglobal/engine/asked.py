"""Lanes whose points somebody is asked for: a person, a simulator, a pool of processes; each point has a number."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxglobal.engine.still_lanes import StillLanes


class Asked(NamedTuple):
    """Points to evaluate.

    Attributes:
        ids: (k,) a number for each, to tell its value by.
        x: (k, n) the points.
        problem: (k,) the problem of each; 0 where there is one.
        value_only: (k,) whether no search is there, so that a gradient is not looked at.
    """

    ids: np.ndarray
    x: np.ndarray
    problem: np.ndarray
    value_only: np.ndarray


class AskedLanes(StillLanes):
    """Lanes that give their points away, each once, and take what is told of them by its number."""

    best: tuple[float, np.ndarray, np.ndarray] | None

    @property
    def movable(self) -> bool:
        """Whether a run would change anything: something has been told, or no lane is at work."""
        return bool(np.any(self._told)) or self.news or not self.busy

    @property
    def held(self) -> bool:
        """Whether values were told of which a run returns none before others have been told too."""
        return bool(self.wanted.told) and not self.news

    @property
    def out(self) -> int:
        """What points that are out will cost when they are told, in halves of an evaluation: a value alone is one."""
        return 2 * int(np.sum((self._ids >= 0) & ~self._told)) + len(self.wanted.out)

    @property
    def waiting(self) -> int:
        """The points that nobody has been asked for."""
        return len(self.open_lanes) + len(self.wanted.waiting)

    @property
    def open_lanes(self) -> np.ndarray:
        """The lanes whose point has not been asked yet."""
        return np.flatnonzero((self.at_work[:, 0] >= 0) & (self._ids < 0))

    def ask(self, k: int) -> Asked:
        """Up to k points that nobody has been asked for."""
        searched = self.give(self.open_lanes[:k])
        count = min(k - len(searched.ids), len(self.wanted.waiting))
        if count <= 0:
            return searched
        ids = self._serial + np.arange(count)
        self._serial += count
        looks = self.wanted.give(ids)
        x, of = np.array([look.x for look in looks]), np.array([look.problem for look in looks], np.int64)
        return Asked(
            np.concatenate([searched.ids, ids]),
            np.concatenate([searched.x, x]),
            np.concatenate([searched.problem, of]),
            np.arange(len(searched.ids) + count) >= len(searched.ids),
        )

    def give(self, chosen: np.ndarray) -> Asked:
        """The points of these open lanes, from now on out."""
        self._ids[chosen] = self._serial + np.arange(len(chosen))
        self._serial += len(chosen)
        x = np.asarray(self.lane.trial)[:, chosen].T.copy()
        return Asked(self._ids[chosen], x, np.maximum(self.at_work[chosen, 1], 0), np.zeros(len(chosen), bool))

    def tell(self, ids: Sequence[int] | np.ndarray, f: np.ndarray, g: np.ndarray) -> None:
        """Takes values, (k,), and gradients, (k, n), at asked points; those of searches that were cut are dropped.

        Slopes in variables that searches hold count as zero, whatever they are.

        Raises:
            ValueError: a point was never asked, or has been told before.
        """
        lanes, known = self.lanes_of(ids)
        for ident, value, alone in zip(ids, f, self.value_only(ids), strict=True):
            if alone:
                self.tell_look(int(ident), np.array([value]))
        width = np.asarray(self.region.width)
        moves = (width[self.at_work[lanes, 1]] if self._own else width) > 0
        self._told[lanes], self._f[lanes], self._g[lanes] = True, f[known], np.where(moves, g[known], 0)
        self.spent = self.spent.add(len(lanes), ticks=len(lanes))
        for lane in lanes:
            if np.isfinite(self._f[lane]) and (self.best is None or self._f[lane] < self.best[0]):
                self.best = float(self._f[lane]), np.asarray(self.lane.trial)[:, lane].copy(), self._g[lane].copy()

    def value_only(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """(k,) Which of these points no search is at."""
        return np.array([int(number) in self.wanted.out for number in ids], bool)

    def tell_look(self, ident: int, told: np.ndarray) -> None:
        """Takes what was told at a point where no search is."""
        self.wanted.tell(ident, told)
        self.spent = self.spent.add(values=1)

    @property
    def untouched(self) -> bool:
        """Whether no point was ever asked for."""
        return self._serial == 0

    def lanes_of(self, ids: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The lanes that wait for points of these numbers, (k,), and whose number one waits for, a mask of k.

        Raises:
            ValueError: see `tell`.
        """
        ids = np.asarray(ids, np.int64)
        if np.any((ids < 0) | (ids >= self._serial)):
            raise ValueError(
                f"`ids` must be those of points that were asked; got {ids[(ids < 0) | (ids >= self._serial)][0]}."
            )
        where = {int(number): lane for lane, number in enumerate(self._ids) if number >= 0}
        known = np.array([int(number) in where for number in ids], bool)
        lanes = np.array([where[int(number)] for number in ids[known]], np.int64)
        if np.any(self._told[lanes]) or len(np.unique(ids)) < len(ids):
            raise ValueError("`ids` must be told once; one of them has been told before.")
        return lanes, known
