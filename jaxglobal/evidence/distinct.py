"""The distinct minima of many problems, a bounded number of each, in arrays over all of them.

As in minima.py, searches that end in the same cell of a lattice in (x, f) count as one minimum, of which the best point
is kept, and each problem keeps the cells that come first in the order of the lattice. That order knows nothing of when
searches end, so that what is kept, and how often it was found, does not depend on it either.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from jaxglobal.evidence import minima
from jaxglobal.evidence.minima import Ended
from jaxglobal.evidence.unseen import estimate
from jaxglobal.result import Unseen

MOST = 16  # cells of each problem, where no more are needed to say how many have not been seen
NUMBERS = 2**23  # in the points of all, at most; but one of each problem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Minima:
    """The distinct minima of many problems, the best first; where a problem has fewer, NaN and a count of 0.

    Attributes:
        x: their points, in the user's structure, with leading axes (P, M).
        fun: (P, M) their values.
        count: (P, M) the local searches that ended there.
    """

    x: Any
    fun: np.ndarray
    count: np.ndarray


class Distinct:
    """The cells of P problems with the lowest values, in no order; axes (M, P), along which NumPy reduces soon."""

    def __init__(self, count: int, n: int, dtype: np.dtype, most: int | None = None):
        """None. most: cells of each problem, at most `MOST` by default."""
        most = int(min(max(NUMBERS // (count * max(n, 1)), 1), MOST if most is None else most))
        self.value, self.key = np.full((most, count), np.inf), np.zeros((most, count), np.uint64)
        self.x, self.f = np.full((most, count, n), np.nan, dtype), np.full((most, count), np.inf, dtype)
        self.start, self.searches = np.zeros((most, count), np.int64), np.zeros((most, count), np.int64)
        self.even, self.evenly = np.zeros((most, count), np.int64), np.zeros(count, np.int64)
        self.full = np.zeros(count, bool)  # a cell had no room

    @property
    def fields(self) -> dict[str, np.ndarray]:
        """All of it, by name."""
        return vars(self)

    def add(
        self, ended: Ended, lower: np.ndarray, width: np.ndarray, fatol: float, even: np.ndarray | None = None
    ) -> None:
        """Takes in local searches that ended; lower, width: (n,) or (k, n) the boxes of their problems.

        even: (k,) whether the start of each is one of those that are spread evenly over the box, by default none.
        """
        finite = np.isfinite(ended.f)
        if even is not None:
            np.add.at(self.evenly, ended.problem[even & finite], 1)
        if not np.any(finite):
            return
        even = np.zeros(len(finite), bool) if even is None else even
        x, f, start, problem, even = (field[finite] for field in (*ended[:3], ended.problem, even))
        width, lower = (side[finite] if np.ndim(side) == 2 else side for side in (width, lower))
        value, key = minima.lattice_value(f, fatol), minima.cell_key(x, lower, width)
        # One entry a cell of each problem, and of these the first: thousands of searches of a problem may end at once.
        chosen, order, first = minima.lowest_of_each(minima.mixed(key, value, problem), f, start)
        searches, even = np.diff(np.append(first, len(f))), np.add.reduceat(even[order].astype(np.int64), first)
        order = np.lexsort((key[chosen], value[chosen], problem[chosen]))
        chosen, searches, even = chosen[order], searches[order], even[order]
        mine = problem[chosen]
        turn = np.arange(len(mine)) - np.searchsorted(mine, mine)  # one cell of each problem at a time
        self.full[mine[turn >= len(self.f)]] = True
        fields = mine, value[chosen], key[chosen], x[chosen], f[chosen], start[chosen], searches, even
        for k in range(min(int(np.max(turn)) + 1, len(self.f))):
            self._enter(*(field[turn == k] for field in fields))

    def _enter(
        self, p: np.ndarray, value: np.ndarray, key: np.ndarray, x: np.ndarray, f: np.ndarray, start: np.ndarray,
        searches: np.ndarray, even: np.ndarray,
    ) -> None:  # fmt: skip
        """Takes in a cell of each of the problems p, (k,), of which no two are the same."""
        values, keys = self.value[:, p], self.key[:, p]
        same = (keys == key) & (values == value)
        known, last = np.any(same, axis=0), np.max(values, axis=0)
        at_last = np.argmax(np.where(values == last, keys | np.uint64(1), 0), axis=0)  # the key of a corner is 0
        place = np.where(np.isinf(last), np.argmax(np.isinf(values), axis=0), at_last)  # that is free, or the last
        place = np.where(known, np.argmax(same, axis=0), place)
        new = ~known & ((value < last) | ((value == last) & (key < keys[place, np.arange(len(p))])))
        f_there, start_there = self.f[place, p], self.start[place, p]
        better = new | (known & ((f < f_there) | ((f == f_there) & (start < start_there))))
        self.searches[place, p] = np.where(new, searches, self.searches[place, p] + known * searches)
        self.even[place, p] = np.where(new, even, self.even[place, p] + known * even)
        self.full[p] |= ~known & np.isfinite(last)
        at = place[better], p[better]
        self.value[at], self.key[at], self.f[at], self.start[at] = value[better], key[better], f[better], start[better]
        self.x[at] = x[better]

    def unseen(self, problem: int, lower: np.ndarray, width: np.ndarray, fatol: float, frtol: float) -> Unseen | None:
        """What the minima of a problem say about those not yet seen; None where there are more than are kept.

        lower, width: (n,). None too where no search from an even start has ended.
        """
        if self.full[problem] or not self.evenly[problem]:
            return None
        merged = minima.merge(self._archive(problem), lower, width, fatol, frtol)
        hit = merged.even > 0
        return estimate(merged.even[hit], int(self.evenly[problem]), int(np.sum(~hit)))

    def _archive(self, problem: int) -> minima.Archive:
        kept = np.isfinite(self.f[:, problem])
        value, key, x, f, start, searches, even = (
            field[kept, problem]
            for field in (self.value, self.key, self.x, self.f, self.start, self.searches, self.even)
        )
        return minima.Archive(value, key, x, f, start, np.zeros_like(start), searches, even)

    def merged(self, lower: np.ndarray, width: np.ndarray, fatol: float, frtol: float) -> Minima:
        """The distinct minima; cells that a plane of the lattice happens to separate are one, as in `minima.merge`.

        lower, width: (n,) or (P, n). The points are (P, M, n).
        """
        x, f, count, start = self.x, self.f, self.searches, self.start
        crowded = np.flatnonzero(np.sum(np.isfinite(f), axis=0) > MOST)
        if len(crowded):  # the lowest cells may be those of few minima
            x, f, count, start = x.copy(), f.copy(), count.copy(), start.copy()
            f[:, crowded] = np.inf
        for p in crowded.tolist():
            low, wide = (np.broadcast_to(side, (f.shape[1], x.shape[2]))[p] for side in (lower, width))
            one = minima.merge(self._archive(p), low, wide, fatol, frtol)
            k = len(one.f)
            x[:k, p], f[:k, p], count[:k, p], start[:k, p] = one.x, one.f, one.searches, one.start
        order = np.lexsort((start, f), axis=0)
        used = min(max(int(np.max(np.sum(np.isfinite(f), axis=0), initial=0)), 1), MOST)
        order, problems = order[:used], np.arange(f.shape[1])
        x, f, count = x[order, problems], f[order, problems], count[order, problems]
        side = 2 * minima.cell_side(float(np.finfo(x.dtype).eps)) * np.broadcast_to(width, x.shape[1:])
        tolerance = np.maximum(fatol, max(frtol, 2.0 ** -minima.value_bits(f.dtype)) * np.abs(f))
        stays = np.isfinite(f)
        for later in range(1, used):
            for earlier in range(later):
                near = stays[later] & stays[earlier]
                near[near] = f[later, near] - f[earlier, near] <= tolerance[later, near]
                near[near] = np.all(np.abs(x[later, near] - x[earlier, near]) <= side[near], axis=1)
                count[earlier, near] += count[later, near]
                stays[later, near] = False
        first = np.argsort(~stays, axis=0, kind="stable")[: max(int(np.max(np.sum(stays, axis=0), initial=0)), 1)]
        stays, x, f, count = (np.swapaxes(field[first, problems], 0, 1) for field in (stays, x, f, count))
        return Minima(
            np.where(stays[:, :, None], x, np.nan).astype(x.dtype),
            np.where(stays, f, np.nan),
            np.where(stays, count, 0),
        )
