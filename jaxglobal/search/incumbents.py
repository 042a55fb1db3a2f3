"""What has been found of many problems: the best point of each, its counts, and its distinct minima, in arrays."""

from typing import Any

import numpy as np

from jaxglobal.evidence import minima, stopping
from jaxglobal.evidence.distinct import Distinct, Minima
from jaxglobal.evidence.minima import Ended
from jaxglobal.problem import lattice
from jaxglobal.problem.family import Family
from jaxglobal.result import Unseen
from jaxglobal.search import traced
from jaxglobal.status import NOT_BEGUN

ARRAYS = "x f start status nit nfev nstarts begun tied".split()


class Incumbents:
    """What has been found of P problems.

    Attributes:
        x: (P, n) the best points.
        f: (P,) their values, or ranks under constraints; +inf where there is none.
        start: (P,) the numbers of the searches that found them; of equal values the lowest number counts.
        status: (P,) why each has ended, an index of `limits.STATUSES`; 0 before.
        nit: (P,) levels.
        nfev: (P,) evaluations.
        nstarts: (P,) local searches.
        begun: (P,) whether any of these could begin.
        tied: (P,) whether another point has the same value.
        distinct: the minima.
    """

    def __init__(self, problems: Family, rules: stopping.Rules, above: float):
        """Nothing. above: from where on a value is the rank of an infeasible point."""
        self._problems, self._rules, self._above = problems, rules, above
        count, n, dtype = problems.count, problems.structure.n, problems.structure.dtype
        lower, upper = problems.box[..., 0, :], problems.box[..., 1, :]
        centre = lattice.rounded(lower + (upper - lower) / 2, problems.whole)
        self.x = np.broadcast_to(centre, (count, n)).astype(dtype)
        self.f = np.full(count, np.inf, dtype)
        self.start, self.status = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.nit, self.nfev, self.nstarts = (np.zeros(count, np.int64) for _ in range(3))
        self.begun, self.tied = np.zeros(count, bool), np.zeros(count, bool)
        self.distinct = Distinct(count, n, dtype, None if rules.unseen is None else minima.KEPT)

    def feasible(self, problem: Any = slice(None)) -> Any:
        """The best values of these problems so far, +inf where there is none."""
        return self._valued(self.f[problem])

    def _valued(self, f: np.ndarray) -> np.ndarray:
        return np.where(f < self._above, f, np.inf).astype(f.dtype)

    def count(self, problem: np.ndarray, ended: Ended) -> None:
        """Counts local searches of these problems, (k,), that ended."""
        np.add.at(self.nstarts, problem, 1)
        self.begun[problem[~np.isin(ended.status, NOT_BEGUN)]] = True

    def improve(self, problem: np.ndarray, ended: Ended) -> None:
        """The best search of each problem is the one of the lowest value, and of equal values of the lowest start."""
        x, f, start = ended.x, ended.f, ended.start
        order = np.lexsort((start, f, problem))
        first = np.flatnonzero(np.diff(problem[order], prepend=-1))
        lowest, ids = order[first], problem[order][first]
        wins = (f[lowest] < self.f[ids]) | ((f[lowest] == self.f[ids]) & (start[lowest] < self.start[ids]))
        old_f, old_x = self.f[ids], self.x[ids]
        won = ids[wins]
        self.f[won], self.x[won], self.start[won] = f[lowest[wins]], x[lowest[wins]], start[lowest[wins]]
        tolerance = traced.SAME * (1 + np.abs(self.f))
        with np.errstate(over="ignore", invalid="ignore"):
            stays = np.isfinite(old_f) & (old_f - self.f[ids] <= tolerance[ids])
            self.tied[ids] = stays & (self.tied[ids] | self._elsewhere(ids, old_x))
            ties = (f - self.f[problem] <= tolerance[problem]) & self._elsewhere(problem, x)
        self.tied[problem[ties]] = True

    def _elsewhere(self, problem: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Whether each x lies apart from the best point of the problem."""
        _, width = self._corner(problem)
        return np.any((np.abs(x - self.x[problem]) > traced.APART * width) & (width > 0), axis=-1)

    def _corner(self, problem: Any) -> tuple[np.ndarray, np.ndarray]:
        """The lower bounds and the widths of the boxes of these problems."""
        box = self._problems.box[problem] if self._problems.box.ndim == 3 else self._problems.box
        return box[..., 0, :], box[..., 1, :] - box[..., 0, :]

    def merge(self, problem: np.ndarray, ended: Ended, even: np.ndarray) -> None:
        """Takes local searches of these problems that ended into the distinct minima, which are feasible.

        even: (k,) whether the start of each is one of those that are spread evenly over the box.
        """
        lower, width = self._corner(problem)
        feasible = ended._replace(problem=problem, f=self._valued(ended.f))
        self.distinct.add(feasible, lower, width, self._rules.fatol, even)

    def full(self, problem: Any) -> Any:
        """Of which of these problems more minima were found than are kept, where those not seen are asked for."""
        return self.distinct.full[problem] & (self._rules.unseen is not None)

    def hits(self, problem: np.ndarray) -> np.ndarray:
        """(k,) The searches of these problems that ended at the best value, if enough minima are kept to tell."""
        if len(self.distinct.f) < stopping.MET:
            return np.full(len(problem), stopping.MET)
        f, searches = self.distinct.f[:, problem], self.distinct.searches[:, problem]
        return minima.hits(self.feasible(problem), f, searches, self._rules.fatol, self._rules.frtol)

    def unseen(self, problem: int) -> Unseen | None:
        """What the minima of a problem say about those not yet seen."""
        lower, width = self._corner(problem)
        return self.distinct.unseen(problem, lower, width, self._rules.fatol, self._rules.frtol)

    def covered(self, problem: np.ndarray) -> np.ndarray:
        """Of which of these problems hardly any minimum is left to be seen, where that is asked for."""
        if self._rules.unseen is None:
            return np.zeros(len(problem), bool)
        return np.array([stopping.covered(self._rules, self.unseen(int(p))) is not None for p in problem], bool)

    def minima(self) -> Minima:
        """The distinct minima of each problem."""
        lower, width = self._corner(slice(None))
        return self.distinct.merged(lower, width, self._rules.fatol, self._rules.frtol)

    def save(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        distinct = {f"distinct_{name}": field for name, field in self.distinct.fields.items()}
        return {f"found_{name}": getattr(self, name) for name in ARRAYS} | distinct

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        for name in ARRAYS:
            setattr(self, name, arrays[f"found_{name}"])
        for name in self.distinct.fields:
            setattr(self.distinct, name, arrays[f"distinct_{name}"])
