"""The starts of a level that are searched from: a reduced sample, as in [RT].

All starts of the level are screened; those are searched from that no near one beats, and the best others.

[RT] A. H. G. Rinnooy Kan and G. T. Timmer, Stochastic global optimization methods, part II: multi level methods,
     Mathematical Programming 39 (1987).
"""

import numpy as np

from jaxglobal.fit.fused import SCREENED
from jaxglobal.fit.places import APART, COMPARED, choose, place, sheets
from jaxglobal.fit.runs import Runs
from jaxglobal.starts.designs import Starts
from jaxglobal.status import Status

SEARCHED = 64  # starts of a level that are searched from, at least
SHARE = 32  # and one in so many


class Sample:
    """The sample of one level.

    Attributes:
        size: starts of the level.
        searched: starts that are searched from, at most.
    """

    def __init__(self, runs: Runs, sequence: Starts, index: int, guesses: np.ndarray):
        """guesses: (K, n) of the user's own."""
        self._runs, self._sequence, self._index, self._guesses = runs, sequence, index, guesses
        self._m = len(runs.regression.searched)
        self._each = sequence.size(index, self._m)
        self.size = self._each + len(guesses)
        self._placed = self.size + (len(sheets(runs.regression)) - 1) * self._each
        self.searched = min(max(SEARCHED, self.size // SHARE), self._placed)

    @property
    def spacing(self) -> float:
        """Of the starts of the level."""
        return self._sequence.spacing(self._index, self.size, self._m)

    def draw(self) -> tuple[np.ndarray, Status | None]:
        """The starts, (k, n), and the limit that has ended their screening, if any."""
        reg, count, status = self._runs.regression, max(SEARCHED, self.size // SHARE), None
        p = self._guesses
        f = np.full(len(p), -np.inf)  # the user's own come first
        unit = APART * (2.0 + np.arange(len(p))[:, None] + np.zeros(self._m))  # and are nobody's neighbours
        blocks = range(0, self._each, SCREENED)
        for sheet, first in [(sheet, first) for sheet in sheets(reg) for first in blocks]:
            many = min(SCREENED, self._each - first, max(self._runs.left, 1))
            block = self._sequence.points(self._index, first, int(many), self._m)
            points = place(reg, block, sheet)
            block = block + APART * sheet
            value = np.zeros(len(block))
            if self._placed > count:
                points, value = self._runs.screen(points, self._placed)
            unit, p, f = np.concatenate([unit, block]), np.concatenate([p, points]), np.concatenate([f, value])
            best = np.argsort(np.where(np.isnan(f), np.inf, f), kind="stable")[: max(COMPARED, count)]
            unit, p, f = unit[best], p[best], f[best]
            status = self._runs.limit()
            if status is not None:
                break
        f = np.where(np.isneginf(f), -np.finfo(float).max, f)
        return p[choose(unit, f, self.spacing, count)], status
