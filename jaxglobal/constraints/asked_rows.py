"""Searches under constraints of which a person tells values and slopes, point by point; see told_lanes.py."""

from typing import Any

import numpy as np

from jaxglobal.constraints.told import beside, key_of
from jaxglobal.constraints.told_lanes import ToldLanes
from jaxglobal.constraints.told_rows import ToldRows
from jaxglobal.evidence import minima
from jaxglobal.local.descent import Rules as LocalRules


class ConstrainedAskedLanes(ToldLanes):
    """Lanes whose points the user evaluates. Where the multipliers have changed, a point is one that was told."""

    def told(self, ids: np.ndarray, f: np.ndarray, g: np.ndarray, c: np.ndarray, J: np.ndarray, rows: ToldRows) -> None:
        """Takes values, (k,), and gradients, (k, n), and of the rows that are told c, (k, m), and their slopes.

        See `AskedLanes.tell`.
        """
        lanes, known = self.lanes_of(ids)
        g = np.where(self.moves, g, 0)
        for k in np.flatnonzero(self.value_only(ids)):
            look = self.wanted.out[int(ids[k])]
            values, slopes = rows.all_of(look.x[None], c[k : k + 1], J[k : k + 1])
            slopes = np.where(self.moves, slopes, 0)
            self.tell_look(int(ids[k]), np.concatenate([[f[k]], values[0], g[k].astype(float), slopes[0].ravel()]))
        x = self._x(np.asarray(self.lane.trial)[:, lanes].T)
        c, J = rows.all_of(x, c[known], J[known])
        J = np.where(self.moves, J, 0)
        for lane, place, *told in zip(lanes, x, f[known], c, g[known].astype(float), J, strict=True):
            if np.isfinite(told[0]) and np.all(np.isfinite(told[1])):
                self._seen.add(place, tuple(told))
            self._tell_lane(int(self._ids[lane]), *beside(told))

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """See `ToldLanes`."""
        super().deal(starts, first_step, number, problem)
        self._again()

    def run(
        self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int | None = None
    ) -> minima.Ended:
        """See `ToldLanes`."""
        ended = super().run(rules, drain, allowed, most_ticks)
        self._again()
        return ended

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """See `ToldLanes`."""
        super().load(arrays)
        self._again()

    def _again(self) -> None:
        """Tells the lanes that stand at a point that was told before."""
        lanes = self.open_lanes
        x = self._x(np.asarray(self.lane.trial)[:, lanes].T)
        there = np.array([key_of(place) in self._seen.known for place in x], bool)
        for ident, place in zip(self.give(lanes[there]).ids, x[there], strict=True):
            self._tell_lane(int(ident), *beside(self._seen.known[key_of(place)]))
