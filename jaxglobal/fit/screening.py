"""The starts of a level of a fit: all are screened, block by block; the best are those that are searched from.

Those come first that no near one beats, then the best others: a reduced sample, as in [RT].

[RT] A. H. G. Rinnooy Kan and G. T. Timmer, Stochastic global optimization methods, part II: multi level methods,
     Mathematical Programming 39 (1987).
"""

from collections.abc import Iterator

import numpy as np

from jaxglobal.fit.data import Data
from jaxglobal.fit.fused import SCREENED
from jaxglobal.fit.places import APART, COMPARED, choose, place, sheets
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.runs import Runs
from jaxglobal.starts.designs import Starts

SEARCHED = 64  # starts of a level that are searched from, at least
SHARE = 32  # and one in so many


class Screening:
    """The starts of one level that have been screened so far.

    Attributes:
        size: starts of the level, guesses among them.
        spacing: of them, in units of the box.
        searched: how many of them are searched from, at most.
    """

    def __init__(self, regression: Regression, sequence: Starts, index: int, guesses: np.ndarray):
        """guesses: (K, n) of the user's own, of this level."""
        m = len(regression.searched)
        self._regression, self._sequence, self._index = regression, sequence, index
        self._count = sequence.size(index, m)
        self.size = self._count + len(guesses)
        self.spacing = sequence.spacing(index, self.size, m)
        self._placed = self.size + (len(sheets(regression)) - 1) * self._count
        self._most = max(SEARCHED, self.size // SHARE)
        self.searched = min(self._most, self._placed)
        self._p = guesses
        self._f = np.full(len(guesses), -np.inf)  # the user's own come first
        # and are nobody's neighbours
        self._unit = APART * (2.0 + np.arange(len(guesses))[:, None] + np.zeros(m))

    def blocks(self, runs: Runs, data: Data) -> Iterator[None]:
        """Screens the starts, in blocks, if not all are searched from anyway."""
        firsts = range(0, self._count, SCREENED)
        for sheet, first in [(sheet, first) for sheet in sheets(self._regression) for first in firsts]:
            many = min(SCREENED, self._count - first, max(runs.left, 1))
            unit = self._sequence.points(self._index, first, int(many), len(self._regression.searched))
            p, f = place(self._regression, unit, sheet), np.zeros(len(unit))
            if self._placed > self._most:
                p, f = runs.screen(data, p, self._placed)
            self._add(unit + APART * sheet, p, f)
            yield None

    def _add(self, unit: np.ndarray, p: np.ndarray, f: np.ndarray) -> None:
        """Keeps the best."""
        unit, p, f = np.concatenate([self._unit, unit]), np.concatenate([self._p, p]), np.concatenate([self._f, f])
        best = np.argsort(np.where(np.isnan(f), np.inf, f), kind="stable")[: max(COMPARED, self._most)]
        self._unit, self._p, self._f = unit[best], p[best], f[best]

    def starts(self) -> np.ndarray:
        """(k, n) Those to search from."""
        f = np.where(np.isneginf(self._f), -np.finfo(float).max, self._f)
        return self._p[choose(self._unit, f, self.spacing, self._most)]
